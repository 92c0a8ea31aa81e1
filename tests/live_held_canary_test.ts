import assert from "node:assert/strict";
import { assertRecorded, Live } from "./live.ts";
import { sendSignal, stateOf, untilGone } from "./live_host.ts";

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
