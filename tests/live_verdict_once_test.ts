import assert from "node:assert/strict";
import { readDeath } from "../lib/deaths.ts";
import { readSession, type SessionRecord, writeSession } from "../lib/sessions.ts";
import { fakePath } from "./fixtures/fake_path.ts";
import { Live, type Session, SLEEP } from "./live.ts";
import { sendSignal, untilGone } from "./live_host.ts";

const LINUX = { ignore: Deno.build.os !== "linux" };

/** A canary at work on the evidence of its server's death: one place takes its time to answer. */
async function gathering(live: Live): Promise<Session> {
  const PATH = await fakePath(live, { last: "exec sleep 1000" });
  const session = await live.launch("claude-bob", [], SLEEP, { env: { PATH } });
  sendSignal(session.serverPid, "SIGKILL");
  await live.record("server-exit", "claude-bob");
  assert.deepEqual(live.records("server-verdict"), [], "the evidence is not in yet");
  return session;
}

/** The death is told of once, and its entry is closed. */
function assertOnce(live: Live, { serverPid }: Session): void {
  const [exit, ...more] = live.records("server-exit");
  assert.deepEqual(more, []);
  const verdicts = live.records("server-verdict");
  assert.deepEqual(verdicts.map(({ death }) => death), [exit!["death"]]);
  assert.equal(live.snapshots(serverPid).length, 1);
  const entry = readDeath(live.ctx, exit!["death"]!);
  assert.equal(entry?.step, "closed");
  assert.equal(entry.verdict, verdicts[0]!["verdict"]);
  assert.equal(entry.forensics, exit!["forensics"]);
}

for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
  const how = signal === "SIGKILL" ? "killed" : "held up, then killed,";
  Deno.test(
    `a canary ${how} between server-exit and verdict: a tick gives the verdict, once`,
    LINUX,
    async () => {
      await using live = await Live.open();
      const session = await gathering(live);
      sendSignal(session.canaryPid, signal);
      if (signal === "SIGSTOP") {
        await live.tick();
        assert.deepEqual(live.records("server-verdict"), [], "whoever is at work on it may go on");
        sendSignal(session.canaryPid, "SIGKILL");
      }
      await untilGone(session.canaryPid, "the canary");
      await live.tick();
      const verdict = await live.record("server-verdict", "claude-bob");
      assert.equal(verdict["verdict"], "killed");
      await live.tick();
      assertOnce(live, session);
    },
  );
}

Deno.test(
  "a canary held up between server-exit and verdict goes on where it was",
  LINUX,
  async () => {
    await using live = await Live.open();
    const session = await gathering(live);
    sendSignal(session.canaryPid, "SIGSTOP");
    await live.tick();
    sendSignal(session.canaryPid, "SIGCONT");
    await untilGone(session.canaryPid, "the canary");
    await live.tick();
    assertOnce(live, session);
  },
);

Deno.test(
  "a canary killed between server-exit and verdict: deaths gives the verdict, once",
  LINUX,
  async () => {
    await using live = await Live.open();
    const session = await gathering(live);
    sendSignal(session.canaryPid, "SIGKILL");
    await untilGone(session.canaryPid, "the canary");
    const [death] = JSON.parse(await live.ok(["deaths", "--json"]));
    assert.equal(death.verdict, "killed");
    assertOnce(live, session);
  },
);

/** Sessions whose servers ended together with their canaries, in a boot that is over. */
async function leftBehind(live: Live, changes: Partial<SessionRecord>): Promise<Session[]> {
  const sessions = [
    await live.launch("claude-bob"),
    await live.launch("claude-eve"),
    await live.launch("codex-bob"),
  ];
  for (const { identity, serverPid, canaryPid } of sessions) {
    sendSignal(canaryPid, "SIGKILL");
    sendSignal(serverPid, "SIGKILL");
    await untilGone(serverPid, "the server");
    writeSession(live.ctx, { ...readSession(live.ctx, identity)!, ...changes });
  }
  return sessions;
}

Deno.test("another boot than a session was launched in: host-reboot, certain, one record each", async () => {
  await using live = await Live.open();
  const sessions = await leftBehind(live, { bootId: "00000000-0000-4000-8000-000000000000" });
  for (const { outcome } of await live.tick()) assert.equal(outcome, "reaped-gone");
  await live.tick();
  await live.tick();
  for (const { identity, serverPid } of sessions) {
    const [exit, ...more] = live.records("server-exit", identity);
    assert.deepEqual(more, []);
    assert.equal(exit!["cause"], "unobserved");
    const [verdict, ...others] = live.records("server-verdict", identity);
    assert.deepEqual(others, []);
    assert.deepEqual(
      [verdict!["verdict"], verdict!["confidence"], verdict!["peers_lost"]],
      ["host-reboot", "certain", undefined],
    );
    assert.match(verdict!["reason"]!, /^the host was restarted: its boot id is not the one/);
    assert.equal(live.snapshots(serverPid).length, 1);
  }
  assert.equal(live.records("server-exit").length, sessions.length);
});

Deno.test("another boot after a stop: nothing is recorded", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  await live.ok(["stop", "claude-bob"]);
  await untilGone(session.canaryPid, "the canary");
  const record = readSession(live.ctx, "claude-bob")!;
  writeSession(live.ctx, { ...record, bootId: "00000000-0000-4000-8000-000000000000" });
  await live.tick();
  assert.deepEqual(live.records("server-exit"), []);
});

Deno.test("a root that was copied from another machine: nothing is recorded", async () => {
  await using live = await Live.open();
  const bootId = "00000000-0000-4000-8000-000000000000";
  const sessions = await leftBehind(live, { bootId, hostName: "another-machine" });
  await live.tick();
  await live.tick();
  assert.deepEqual(live.records("server-exit"), []);
  assert.deepEqual(live.records("server-verdict"), []);
  assert.equal(live.decisions("foreign-session").length, sessions.length);
  for (const { identity, serverPid } of sessions) {
    assert.deepEqual(live.snapshots(serverPid), []);
    assert.equal((await live.status(identity)).state, "gone");
  }
});
