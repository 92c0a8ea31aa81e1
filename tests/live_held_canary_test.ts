import assert from "node:assert/strict";
import { listDeaths } from "../lib/deaths.ts";
import { tick } from "../lib/lifecycle.ts";
import { assertRecorded, Live, type Session, SLEEP } from "./live.ts";
import { isRunning, sendSignal, stateOf, untilGone } from "./live_host.ts";

/** The name of a state in `ps`: a signal holds the process up. */
const HELD = "T";

async function hold(pid: number, live: Live): Promise<void> {
  sendSignal(pid, "SIGSTOP");
  await live.until(`${pid} is held up`, async () => await stateOf(pid) === HELD);
}

Deno.test("a canary that hangs while its server dies gives way to the next launch", async () => {
  await using live = await Live.open();
  const old = await live.launch("claude-bob");
  await hold(old.canaryPid, live);
  sendSignal(old.serverPid, "SIGKILL");
  const young = await live.launch("claude-bob");
  const { canary } = await live.status("claude-bob");
  assert.deepEqual([canary.state, canary.pid, canary.mode], ["armed", young.canaryPid, "own"]);
  await untilGone(old.canaryPid, "the canary that hung");
  assert.equal(live.decisions("canary-evicted", "claude-bob").length, 1);
  const records = live.records("server-exit", "claude-bob");
  assert.deepEqual(records.map((one) => [one["server_pid"], one["cause"]]), [
    [String(old.serverPid), "unobserved"],
  ]);
  sendSignal(young.serverPid, "SIGKILL");
  await live.until("the second death", () => live.records("server-exit").length === 2);
  await untilGone(young.canaryPid, "the canary");
  assert.deepEqual(await live.processes(), []);
});

Deno.test("a canary that hangs while its session is stopped gives way to the next launch, in silence", async () => {
  await using live = await Live.open();
  const old = await live.launch("claude-bob");
  await hold(old.canaryPid, live);
  await live.ok(["stop", "claude-bob"]);
  const young = await live.launch("claude-bob");
  assert.equal((await live.status("claude-bob")).canary.pid, young.canaryPid);
  assert.deepEqual(live.records("server-exit"), []);
  sendSignal(young.serverPid, "SIGKILL");
  await assertRecorded(live, young, { signal: "SIGKILL" });
});

Deno.test("a canary in attach mode that hangs while its server dies gives way to the next launch", async () => {
  await using live = await Live.open();
  const old = await live.launchAttached("claude-bob");
  await hold(old.canaryPid, live);
  sendSignal(old.serverPid, "SIGKILL");
  const young = await live.launch("claude-bob");
  assert.equal((await live.status("claude-bob")).canary.pid, young.canaryPid);
  await untilGone(old.canaryPid, "the canary that hung");
  assert.equal(live.records("server-exit").length, 1);
});

Deno.test("a canary that hangs is not ended while its server lives", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  await hold(session.canaryPid, live);
  await live.tick();
  assert.equal(await stateOf(session.canaryPid), HELD);
  const other = live.start(["canary", "--identity", "claude-bob"]);
  const { code, stderr } = await other.ended;
  assert.equal(code, 1);
  assert.match(stderr, /another canary watches it already/);
  assert.equal(await stateOf(session.canaryPid), HELD);
  sendSignal(session.canaryPid, "SIGCONT");
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, session, { signal: "SIGKILL" });
});

Deno.test("a canary that wakes up after its death was recorded adds nothing", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  await hold(session.canaryPid, live);
  sendSignal(session.serverPid, "SIGKILL");
  assert.equal((await live.tickOf("claude-bob")).outcome, "reaped-gone");
  sendSignal(session.canaryPid, "SIGCONT");
  await untilGone(session.canaryPid, "the canary");
  await live.tick();
  const records = live.records("server-exit", "claude-bob");
  assert.deepEqual(records.map((one) => one["witness"]), ["supervise"]);
  assert.equal(live.records("server-verdict", "claude-bob").length, 1);
});

/** A session whose server is dead, and whose canary is held up at a point of its record. */
async function heldAt(live: Live, point: string): Promise<Session> {
  const env = { IAPEER_TEST_FAULT: `canary ${point} 1 STOP ${live.root}/faults.log` };
  const session = await live.launch("claude-bob", [], SLEEP, { env });
  sendSignal(session.serverPid, "SIGKILL");
  await live.until("it is held up", async () => await stateOf(session.canaryPid) === HELD);
  return session;
}

/** The one death of this server is recorded and concluded once. */
function assertOnce(live: Live, session: Session): void {
  const records = live.records("server-exit", session.identity);
  assert.deepEqual(records.map((one) => one["server_pid"]), [String(session.serverPid)]);
  const verdicts = live.records("server-verdict", session.identity);
  assert.deepEqual(verdicts.map((one) => one["death"]), records.map((one) => one["death"]));
  assert.deepEqual(listDeaths(live.ctx).map(({ step }) => step), ["closed"]);
}

for (
  const [point, cause] of [
    ["record:locked", "unobserved"],
    ["record:journal-written", "signal"],
    ["record:lock-released", "signal"],
    ["record:line-written", "signal"],
  ] as const
) {
  Deno.test(`a canary that hangs at ${point} gives way to the next launch, and its death is told once`, async () => {
    await using live = await Live.open();
    const old = await heldAt(live, point);
    const young = await live.launch("claude-bob");
    assert.equal((await live.status("claude-bob")).canary.pid, young.canaryPid);
    assert.equal(await isRunning(old.canaryPid), false);
    assert.equal(live.decisions("canary-evicted", "claude-bob").length, 1);
    // A launch leaves the evidence to whoever comes by next.
    await live.tick();
    assertOnce(live, old);
    assert.equal(live.records("server-exit")[0]!["cause"], cause);
  });
}

Deno.test("a canary that hangs after its line is written finishes its death when it goes on", async () => {
  await using live = await Live.open();
  const old = await heldAt(live, "record:marked");
  await live.launch("claude-bob");
  assert.equal(await stateOf(old.canaryPid), HELD);
  sendSignal(old.canaryPid, "SIGCONT");
  await untilGone(old.canaryPid, "the canary");
  assertOnce(live, old);
});

for (const far of ["has recorded its death", "has written the entry only"]) {
  Deno.test(`a canary that goes on just before it is ended, and ${far}, tells of it once`, async () => {
    await using live = await Live.open();
    const old = await heldAt(live, "record:locked");
    const { ctx } = live;
    const { tools } = ctx.host;
    let woken = 0;
    /** A machine on which the canary goes on between the look at it and its end. */
    const run: typeof tools.run = async (program, args, options) => {
      if (program === "kill" && args[0] === "-KILL" && woken++ === 0) {
        sendSignal(old.canaryPid, "SIGCONT");
        if (far === "has recorded its death") await untilGone(old.canaryPid, "the canary");
        else await live.until("the entry", () => listDeaths(ctx).length > 0);
      }
      return await tools.run(program, args, options);
    };
    const { recorded } = await tick({ ...ctx, host: { ...ctx.host, tools: { run } } });
    await Promise.all(recorded.map((one) => one.closed));
    assert.equal(woken, 1);
    await untilGone(old.canaryPid, "the canary");
    await live.tick();
    assertOnce(live, old);
    assert.equal(live.records("server-exit")[0]!["cause"], "signal");
  });
}
