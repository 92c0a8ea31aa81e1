import assert from "node:assert/strict";
import { Live, SLEEP } from "./live.ts";
import { isRunning, processesOf, sendSignal, untilGone } from "./live_host.ts";

/** The environment that has a process die at a fault point. */
function dieAt(live: Live, command: string, point: string): Record<string, string> {
  return { IAPEER_TEST_FAULT: `${command} ${point} 1 ${live.root}/faults.log` };
}

const LAUNCH = ["launch", "--identity", "claude-bob", "--", ...SLEEP];

/** The servers that run for a test. */
async function servers(live: Live): Promise<number[]> {
  return (await processesOf(live.base)).filter(({ command }) => /^\S*tmux -D /.test(command))
    .map(({ pid }) => pid);
}

Deno.test("a process dies at the fault point that a test names, and nobody inherits the name", async () => {
  await using live = await Live.open();
  const env = dieAt(live, "launch", "launch:reported");
  const { signal } = await live.cli(LAUNCH, { env });
  assert.equal(signal, "SIGKILL");
  assert.match(Deno.readTextFileSync(`${live.root}/faults.log`), /^launch:reported \d+\n$/);
  const told = (await processesOf(live.base)).filter(({ command }) =>
    command.includes("IAPEER_TEST_FAULT")
  );
  assert.deepEqual(told, []);
  const record = Deno.readTextFileSync(live.ctx.paths.session("claude-bob"));
  assert(!record.includes("IAPEER_TEST_FAULT"), record);
});

Deno.test("a session that came up and died after its launch was killed is recorded, though its canary was killed too", async () => {
  await using live = await Live.open();
  await live.cli(LAUNCH, { env: dieAt(live, "launch", "launch:reported") });
  const [server] = await servers(live);
  const canary = (await processesOf(live.base)).find(({ command }) => / canary /.test(command))!;
  sendSignal(canary.pid, "SIGKILL");
  await untilGone(canary.pid, "the canary");
  sendSignal(server!, "SIGKILL");
  await live.until("the server is gone", async () => !await isRunning(server!));
  assert.equal((await live.tickOf("claude-bob")).outcome, "reaped-gone");
  const records = live.records("server-exit", "claude-bob");
  assert.deepEqual(records.map((one) => [one["server_pid"], one["cause"]]), [
    [String(server), "unobserved"],
  ]);
});

Deno.test("an interrupted launch whose server is held up is not ended for it", async () => {
  await using live = await Live.open();
  await live.cli(LAUNCH, { env: dieAt(live, "launch", "launch:reported") });
  const [server] = await servers(live);
  sendSignal(server!, "SIGSTOP");
  await live.tick();
  assert(await isRunning(server!));
  sendSignal(server!, "SIGCONT");
  assert.equal((await live.tickOf("claude-bob")).outcome, "alive");
  assert.equal((await live.status("claude-bob")).server?.pid, server);
  assert.deepEqual(live.records("server-exit"), []);
});

Deno.test("a canary that hangs while it brings up a server is ended with it", async () => {
  await using live = await Live.open();
  const launching = live.start(LAUNCH);
  const server = await live.until("the server", async () => (await servers(live))[0]);
  const canary = (await processesOf(live.base)).find(({ command }) => / canary /.test(command))!;
  sendSignal(canary.pid, "SIGSTOP");
  launching.kill("SIGKILL");
  await launching.ended;
  await live.tick();
  sendSignal(canary.pid, "SIGCONT");
  const { state } = await live.status("claude-bob");
  if (state === "alive") return; // It was faster than the signal: there is nothing to see.
  await untilGone(server, "the server");
  await untilGone(canary.pid, "the canary");
  assert.deepEqual(live.records("server-exit"), []);
  assert.deepEqual(await live.processes(), []);
});

for (
  const point of [
    "settle:death-settled",
    "tick:settled",
    "tick:restart-due",
    "launch:starting-written",
    "launch:canary-spawned",
  ]
) {
  Deno.test(`a restart that is due is made up for after a tick that died at ${point}`, async () => {
    await using live = await Live.open();
    const session = await live.launch("claude-bob", ["--restart", "always"]);
    sendSignal(session.serverPid, "SIGKILL");
    await live.record("server-exit", "claude-bob");
    await untilGone(session.canaryPid, "the canary");
    const env = dieAt(live, "supervise", point);
    assert.equal((await live.cli(["supervise", "--once"], { env })).signal, "SIGKILL");
    await live.until("it runs again", async () => {
      await live.tick();
      return (await live.status("claude-bob")).state === "alive";
    });
    assert.equal((await servers(live)).length, 1);
    assert.equal(live.records("server-exit").length, 1);
  });
}

Deno.test("a session that is stopped after a tick died is not started again", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", ["--restart", "always"]);
  sendSignal(session.serverPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  await live.cli(["supervise", "--once"], { env: dieAt(live, "supervise", "tick:settled") });
  assert.equal((await live.cli(["stop", "claude-bob"])).code, 3);
  assert.equal((await live.tickOf("claude-bob")).outcome, "stopped");
  assert.equal((await live.status("claude-bob")).state, "stopped");
});

for (const point of ["attach:client-changed", "attach:note-begun", "attach:armed"]) {
  Deno.test(`a canary that was killed at ${point} leaves no client behind for long`, async () => {
    await using live = await Live.open();
    const session = await live.launch("claude-bob");
    sendSignal(session.canaryPid, "SIGKILL");
    await untilGone(session.canaryPid, "the canary");
    if (point === "attach:note-begun") {
      await live.tick();
      const { canary } = await live.status("claude-bob");
      sendSignal(canary.pid!, "SIGKILL");
      await untilGone(canary.pid!, "the canary in attach mode");
    }
    await live.cli(["supervise", "--once"], { env: dieAt(live, "canary", point) });
    await live.until("the canary has died", () =>
      live.decisions("canary-failed").length === 1 ||
      Deno.readTextFileSync(`${live.root}/faults.log`).includes(point));
    await live.until("one canary and one client", async () => {
      await live.tick();
      const { canary } = await live.status("claude-bob");
      const clients = (await processesOf(live.base)).filter(({ command }) =>
        / wait-for iap-canary-claude-bob/.test(command)
      );
      return canary.state === "armed" && clients.length === 1;
    });
    sendSignal(session.serverPid, "SIGKILL");
    await live.record("server-exit", "claude-bob");
  });
}

Deno.test("a restart that fails is tried again, and no more than the crash-loop guard allows", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", ["--restart", "always"]);
  sendSignal(session.serverPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  const env = dieAt(live, "canary", "own:locked");
  const outcome = async () =>
    JSON.parse((await live.cli(["supervise", "--once", "--json"], { env })).stdout)[0].outcome;
  assert.equal(await outcome(), "skipped-error");
  assert.equal(await outcome(), "skipped-error");
  assert.equal(await outcome(), "crash-loop");
  assert.equal((await live.status("claude-bob")).state, "crash-loop");
  await live.ok(["start", "claude-bob"]);
  assert.equal((await live.status("claude-bob")).state, "alive");
});

Deno.test("a restart after a program's own end is made up for after a tick that died in it", async () => {
  await using live = await Live.open();
  const go = `${live.base}/go`;
  const argv = ["sh", "-c", '[ -e "$1" ] || { : >"$1"; exit 3; }; exec sleep 10000', "sh", go];
  const session = await live.launch("claude-bob", ["--restart", "on-failure"], argv);
  await live.record("session-exit", "claude-bob");
  await untilGone(session.canaryPid, "the canary");
  const env = dieAt(live, "supervise", "launch:starting-written");
  assert.equal((await live.cli(["supervise", "--once"], { env })).signal, "SIGKILL");
  await live.until("it runs again", async () => {
    await live.tick();
    return (await live.status("claude-bob")).state === "alive";
  });
  await live.ok(["stop", "claude-bob"]);
  assert.equal((await live.tickOf("claude-bob")).outcome, "stopped");
  assert.deepEqual(live.records("server-exit"), []);
});
