import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parseLine } from "../lib/logfmt.ts";
import { assertRecorded, Live } from "./live.ts";
import { isRunning, processesOf, run, type Running, sendSignal, untilGone } from "./live_host.ts";

/** A canary in the foreground on somebody else's server, once it is armed. */
async function armed(
  live: Live,
  { sock, pid }: { sock: string; pid: number },
): Promise<Running> {
  const canary = live.start(["canary", "--identity", "claude-bob", "--sock", sock]);
  const line = await live.until("it is armed", () => /^.*\n/.exec(canary.stdout())?.[0]);
  assert.equal(line, `ARMED identity=claude-bob server_pid=${pid} mode=attach\n`);
  return canary;
}

const waiting = async (live: Live) =>
  (await processesOf(live.base)).filter(({ command }) => command.includes(" wait-for "));

Deno.test("a canary in the foreground prints the record of somebody else's server and leaves", async () => {
  await using live = await Live.open();
  const theirs = await live.foreignServer("theirs");
  const canary = await armed(live, theirs);
  await live.until("its client waits", async () => (await waiting(live)).length === 1);
  sendSignal(theirs.pid, "SIGKILL");
  const { code, stdout, stderr } = await canary.ended;
  assert.equal(code, 0, stderr);
  const [, record] = stdout.split("\n");
  assert.equal(
    record,
    (await Deno.readTextFile(live.ctx.paths.exitsLog)).split("\n")[0],
    "the very line",
  );
  const fields = parseLine(record!);
  assert.deepEqual(
    ["ev", "identity", "server_pid", "cause", "wait_rc", "witness", "mode"].map((key) =>
      fields.get(key)
    ),
    ["server-exit", "claude-bob", String(theirs.pid), "vanished", "1", "canary", "attach"],
  );
  assert.equal(live.records("server-exit").length, 1);
  assert.deepEqual(live.snapshots(theirs.pid).length, 1);
  assert.match(await live.ok(["deaths", "claude-bob"]), new RegExp(fields.get("death")!));
  assert.deepEqual(await live.processes(), []);
});

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  Deno.test(`${signal} to a canary in the foreground: it leaves, nothing is recorded`, async () => {
    await using live = await Live.open();
    const theirs = await live.foreignServer("theirs");
    const canary = await armed(live, theirs);
    await live.until("its client waits", async () => (await waiting(live)).length === 1);
    canary.kill(signal);
    const { code, stdout, stderr } = await canary.ended;
    assert.equal(code, 0, stderr);
    assert.equal(stdout.split("\n").length, 2, "ARMED and nothing else");
    await live.until("its client is gone", async () => (await waiting(live)).length === 0);
    assert(await isRunning(theirs.pid));
    assert.deepEqual(live.records("server-exit"), []);
    assert.deepEqual(await live.ok(["deaths", "--json"]), "[]\n");
    await armed(live, theirs);
  });

  Deno.test(`${signal} to the canary of a session: it leaves, the next tick arms another`, async () => {
    await using live = await Live.open();
    const session = await live.launch("claude-bob");
    sendSignal(session.canaryPid, signal);
    await untilGone(session.canaryPid, "the canary");
    assert(await isRunning(session.serverPid));
    assert.deepEqual(live.records("server-exit"), []);
    assert.equal((await live.tickOf("claude-bob")).outcome, "alive");
    const { canary } = await live.status("claude-bob");
    assert.deepEqual([canary.state, canary.mode], ["armed", "attach"]);
  });
}

Deno.test("a second canary on one identity is refused", async () => {
  await using live = await Live.open();
  const theirs = await live.foreignServer("theirs");
  await armed(live, theirs);
  const args = ["canary", "--identity", "claude-bob", "--sock", theirs.sock];
  const { code, stdout, stderr } = await live.cli(args);
  assert.equal(code, 1);
  assert.equal(stdout, "");
  assert.match(stderr, /another canary watches it already; see: iapeer status claude-bob/);
});

Deno.test("twenty ensureCanary at once, in four processes: one canary", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.canaryPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  const script = fileURLToPath(new URL("./fixtures/ensure_canary.ts", import.meta.url));
  const args = ["run", "--quiet", "--allow-all", script, live.root, "claude-bob", "5"];
  const answers = (await Promise.all(
    Array.from({ length: 4 }, () => run(Deno.execPath(), args, { env: live.env() })),
  )).flatMap(({ stdout }) => JSON.parse(stdout));
  assert.equal(answers.length, 20);
  assert.equal(answers.filter((answer) => answer === "spawned").length, 1);
  assert.equal(answers.filter((answer) => answer === "already").length, 19);
  const { canary } = await live.status("claude-bob");
  const canaries = (await processesOf(live.base)).filter(({ command }) =>
    / canary .*--identity /.test(command)
  );
  assert.deepEqual(canaries.map(({ pid }) => pid), [canary.pid]);
  const again = await run(Deno.execPath(), [...args.slice(0, -1), "1"], { env: live.env() });
  assert.equal(again.stdout, '["already"]', "a second ensure");
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, { ...session, canaryPid: canary.pid! }, { cause: "vanished" });
});

Deno.test("ensureCanary has nothing to watch once the server is gone", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  await live.ok(["stop", "claude-bob"]);
  const script = fileURLToPath(new URL("./fixtures/ensure_canary.ts", import.meta.url));
  for (const identity of [session.identity, "claude-nobody"]) {
    const args = ["run", "--quiet", "--allow-all", script, live.root, identity, "1"];
    const { stdout } = await run(Deno.execPath(), args, { env: live.env() });
    assert.equal(stdout, '["skipped"]');
  }
});

Deno.test("an adopted server is watched, and never reaped, restarted or killed", async () => {
  await using live = await Live.open();
  const theirs = await live.foreignServer("theirs");
  const args = ["--identity", "claude-bob", "--sock", theirs.sock];
  assert.equal(
    await live.ok(["adopt", ...args]),
    `ADOPTED identity=claude-bob server_pid=${theirs.pid} sock=${theirs.sock}\n`,
  );
  const { state, external, canary, server } = await live.status("claude-bob");
  assert.deepEqual([state, external, canary.mode, server?.pid], [
    "alive",
    true,
    "attach",
    theirs.pid,
  ]);
  assert.equal((await live.tickOf("claude-bob")).outcome, "skipped-external");
  const refused = [
    [["stop", "claude-bob"], /it is adopted, so it is watched only; end it where it was started/],
    [["start", "claude-bob"], /it is adopted, so it is watched only/],
    [["adopt", ...args], /is running/],
    [["launch", "--identity", "claude-bob", "--replace", "--", "sleep", "9"], /end it there first/],
  ] as const;
  for (const [command, says] of refused) {
    const { code, stderr } = await live.cli(command);
    assert.equal(code, 1);
    assert.match(stderr, says);
  }
  await live.ok(["stop", "--all"]);
  assert(await isRunning(theirs.pid));
  // Without its canary it gets another one; without its session it is still theirs.
  sendSignal(canary.pid!, "SIGKILL");
  await untilGone(canary.pid!, "the canary");
  await live.tmux(theirs.sock, "rename-session", "-t", "main", "other");
  assert.equal((await live.tickOf("claude-bob")).outcome, "skipped-external");
  const next = (await live.status("claude-bob")).canary.pid!;
  sendSignal(theirs.pid, "SIGKILL");
  const bob = { identity: "claude-bob", serverPid: theirs.pid, canaryPid: next, sock: theirs.sock };
  await assertRecorded(live, bob, { cause: "vanished", mode: "attach" });
  assert.equal((await live.tickOf("claude-bob")).outcome, "reaped-gone");
  assert.equal((await live.cli(["status", "claude-bob"])).code, 3);
  assert.equal((await Deno.lstat(theirs.sock)).isSocket, true, "their socket is theirs");
});

Deno.test("an adopted server may be adopted again after its death", async () => {
  await using live = await Live.open();
  const theirs = await live.foreignServer("theirs");
  const args = ["adopt", "--identity", "claude-bob", "--sock", theirs.sock, "--json"];
  await live.ok(args);
  await live.tmux(theirs.sock, "kill-server");
  assert.equal((await live.record("server-exit", "claude-bob"))["cause"], "orderly");
  const again = await live.foreignServer("theirs");
  assert.equal(JSON.parse(await live.ok(args)).serverPid, again.pid);
  assert.equal((await live.status("claude-bob")).canary.state, "armed");
});
