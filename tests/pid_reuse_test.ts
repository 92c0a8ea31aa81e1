import assert from "node:assert/strict";
import { readSession, type SessionRecord, writeSession } from "../lib/sessions.ts";
import { Live, type Session } from "./live.ts";
import { isRunning, sendSignal, stateOf, untilGone } from "./live_host.ts";

const BOB = "claude-bob";
const LAST_PID = "/proc/sys/kernel/ns_last_pid";
const TRIES = 200;

/** Whether this user may say which pid comes next. */
const canChoosePid = (() => {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  try {
    Deno.openSync(LAST_PID, { write: true }).close();
    return true;
  } catch {
    return false;
  }
})();

/** Starts something as often as it takes until it has the pid that is free; others start processes, too. */
async function withPid(
  pid: number,
  begin: () => Promise<number>,
  forks: number,
): Promise<boolean> {
  for (let n = 0; n < TRIES; n++) {
    Deno.writeTextFileSync(LAST_PID, String(pid - forks));
    const got = await begin();
    if (got === pid) return true;
    sendSignal(got, "SIGKILL");
    await untilGone(got, "one with another pid");
  }
  return false;
}

/** A session whose server and canary were killed: nobody has seen it. */
async function diedUnseen(live: Live): Promise<Session> {
  const session = await live.launch(BOB);
  sendSignal(session.canaryPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  sendSignal(session.serverPid, "SIGKILL");
  await live.until("the pid is free", async () => await stateOf(session.serverPid) === undefined);
  return session;
}

/** The record of a session, as if its server had had a pid that another process has. */
function pretend(live: Live, pid: number): SessionRecord {
  const record = readSession(live.ctx, BOB)!;
  const { startedAt, startTicks } = record.server!;
  const before = {
    pid,
    startedAt: startedAt - 60,
    ...(startTicks === undefined ? {} : { startTicks: startTicks - 6000 }),
  };
  const older = { ...record, server: before };
  writeSession(live.ctx, older);
  return older;
}

/** The old server is dead and recorded once, and whoever has its pid is left alone. */
async function assertOldOneRecorded(live: Live, pid: number): Promise<void> {
  assert.equal((await live.tickOf(BOB)).outcome, "reaped-gone");
  await live.tick();
  const { code, stderr } = await live.cli(["stop", BOB]);
  assert.equal(code, 3, stderr);
  assert.equal(await isRunning(pid), true, "the other process was left alone");
  assert.deepEqual(
    live.records("server-exit").map((one) => [one["server_pid"], one["cause"]]),
    [[String(pid), "unobserved"]],
  );
  assert.equal(live.records("server-verdict").length, 1);
}

Deno.test({
  name:
    "a process that has the pid of a dead server is not taken for it (needs root, to choose pids)",
  ignore: !canChoosePid,
  async fn() {
    await using live = await Live.open();
    const { serverPid } = await diedUnseen(live);
    const sleep = () => Promise.resolve(live.startOther("sleep", ["1000"]).pid);
    assert(await withPid(serverPid, sleep, 1), "no process got the pid");
    await assertOldOneRecorded(live, serverPid);
  },
});

Deno.test({
  name:
    "a tmux server that has the pid of a dead server is not taken for it (needs root, to choose pids)",
  ignore: !canChoosePid,
  async fn() {
    await using live = await Live.open();
    const { serverPid } = await diedUnseen(live);
    let n = 0;
    // In the foreground, so that it is the process that is started.
    const server = () => {
      const args = ["-D", "-f", "/dev/null", "-S", `${live.base}/o${n++}.sock`];
      return Promise.resolve(live.startOther("tmux", args).pid);
    };
    assert(await withPid(serverPid, server, 1), "no server got the pid");
    await assertOldOneRecorded(live, serverPid);
  },
});

Deno.test("a process with the pid that a record names is not taken for an older server", async () => {
  await using live = await Live.open();
  await live.launch(BOB);
  await live.ok(["stop", BOB]);
  const session = await live.launch(BOB);
  const other = live.startOther("sleep", ["1000"]);
  pretend(live, other.pid);
  await assertOldOneRecorded(live, other.pid);
  assert(await isRunning(session.serverPid));
});

Deno.test("a tmux server with the pid that a record names is not taken for an older one", async () => {
  await using live = await Live.open();
  await live.launch(BOB);
  const foreign = await live.foreignServer("other");
  pretend(live, foreign.pid);
  await assertOldOneRecorded(live, foreign.pid);
});

Deno.test("a new server of a session that has the pid of its dead one is a server of its own", async () => {
  await using live = await Live.open();
  const session = await live.launch(BOB);
  const young = readSession(live.ctx, BOB)!;
  pretend(live, session.serverPid);
  assert.equal((await live.tickOf(BOB)).outcome, "reaped-gone");
  assert(await isRunning(session.serverPid));
  writeSession(live.ctx, young);
  assert.equal((await live.tickOf(BOB)).outcome, "alive");
  sendSignal(session.serverPid, "SIGKILL");
  await live.until("both deaths", () => live.records("server-verdict").length === 2);
  await live.tick();
  const records = live.records("server-exit");
  assert.deepEqual(records.map((one) => [one["server_pid"], one["cause"]]), [
    [String(session.serverPid), "unobserved"],
    [String(session.serverPid), "signal"],
  ]);
  assert.equal(new Set(records.map((one) => one["death"])).size, 2);
});

Deno.test("a claim on a dead server does not cover another one that has its pid", async () => {
  await using live = await Live.open();
  const session = await live.launch(BOB);
  const server = readSession(live.ctx, BOB)!.server!;
  const older = { ...server, startedAt: server.startedAt - 60, startTicks: 1 };
  Deno.writeTextFileSync(
    live.ctx.paths.claim(BOB),
    JSON.stringify({ v: 1, identity: BOB, who: "stop", why: "x", at: Date.now(), server: older }),
  );
  sendSignal(session.serverPid, "SIGKILL");
  const record = await live.record("server-exit", BOB);
  assert.equal(record["signal"], "SIGKILL");
});
