import assert from "node:assert/strict";
import { assertRecorded, type Fields, Live, type Session } from "./live.ts";
import { sendSignal, stateOf, untilGone } from "./live_host.ts";

const VANISHED = { cause: "vanished", wait_rc: "1" };
const ORDERLY = { cause: "orderly", wait_rc: "0" };
const ZERO = { cause: "exit-code", code: "0" };
/** How an end that nobody claimed is recorded, by who watches. */
const ENDS: Readonly<Record<string, Record<"own" | "attach", Fields>>> = {
  SIGKILL: { own: { cause: "signal", signal: "SIGKILL" }, attach: VANISHED },
  SIGSEGV: { own: { cause: "signal", signal: "SIGSEGV" }, attach: VANISHED },
  SIGABRT: { own: { cause: "signal", signal: "SIGABRT" }, attach: VANISHED },
  SIGTERM: { own: ZERO, attach: ORDERLY },
  "kill-server": { own: ZERO, attach: ORDERLY },
};

for (const [end, expected] of Object.entries(ENDS)) {
  for (const mode of ["own", "attach"] as const) {
    Deno.test(`${mode} mode records a server's death by ${end} once, as it saw it`, async () => {
      await using live = await Live.open();
      const session = await live.launchIn(mode, "claude-bob");
      if (end === "kill-server") await live.tmux(session.sock, end);
      else sendSignal(session.serverPid, end as Deno.Signal);
      await assertRecorded(live, session, { mode, ...expected[mode] });
      const [record] = live.records("server-exit");
      const seen = ["cause", "signal", "code", "wait_rc"].filter((key) => key in record!);
      assert.deepEqual(seen, Object.keys(expected[mode]));
      assert.equal((await live.tickOf("claude-bob")).outcome, "reaped-gone");
      assert.equal(live.records("server-exit").length, 1, "a tick adds none");
    });
  }
}

Deno.test("the line is durable before the snapshot is begun", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, session, { signal: "SIGKILL" });
  const line = Date.parse(live.records("server-exit")[0]!["ts"]!);
  const [death] = JSON.parse(await live.ok(["deaths", "--json"]));
  assert.equal(Date.parse(death.observedAt), line);
  const entry = JSON.parse(await Deno.readTextFile(live.ctx.paths.death(death.id)));
  assert(entry.recordedAt >= line && entry.snapshotAt >= entry.recordedAt, JSON.stringify(entry));
});

Deno.test("twenty servers killed in one instant give twenty records", async () => {
  await using live = await Live.open();
  const names = Array.from({ length: 20 }, (_, n) => `claude-${String.fromCharCode(97 + n)}`);
  const sessions: Session[] = [];
  while (names.length > 0) {
    const some = names.splice(0, 4);
    sessions.push(...await Promise.all(some.map((name) => live.launch(name))));
  }
  for (const { serverPid } of sessions) sendSignal(serverPid, "SIGKILL");
  for (const session of sessions) {
    await assertRecorded(live, session, { cause: "signal", signal: "SIGKILL", mode: "own" });
  }
  assert.equal(live.records("server-exit").length, 20);
});

Deno.test("a server that its canary cannot reap counts as dead, and is recorded once", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.canaryPid, "SIGSTOP");
  sendSignal(session.serverPid, "SIGKILL");
  await live.until("the server is a zombie", async () => await stateOf(session.serverPid) === "Z");
  assert.equal((await live.cli(["status", "claude-bob"])).code, 3);
  assert.equal((await live.tickOf("claude-bob")).outcome, "reaped-gone");
  const [record] = live.records("server-exit");
  assert.equal(record?.["witness"], "supervise");
  assert.equal(record?.["cause"], "unobserved");
  sendSignal(session.canaryPid, "SIGCONT");
  await untilGone(session.canaryPid, "the canary");
  assert.equal(live.records("server-exit").length, 1);
  assert.equal(live.snapshots(session.serverPid).length, 1);
});

Deno.test("server and canary killed together are recorded by the next tick", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.canaryPid, "SIGKILL");
  sendSignal(session.serverPid, "SIGKILL");
  await untilGone(session.serverPid, "the server");
  await untilGone(session.canaryPid, "the canary");
  assert.equal((await live.tickOf("claude-bob")).outcome, "reaped-gone");
  await assertRecorded(live, session, { cause: "unobserved", witness: "supervise" });
  const { last_seen, ts } = live.records("server-exit")[0]!;
  assert(Date.parse(last_seen!) <= Date.parse(ts!), `${last_seen} ${ts}`);
  await live.tick();
  assert.equal(live.records("server-exit").length, 1);
});
