import assert from "node:assert/strict";
import { assertRecorded, Live, type Session } from "./live.ts";
import { sendSignal, stateOf, untilGone } from "./live_host.ts";

for (const signal of ["SIGKILL", "SIGSEGV", "SIGABRT"] as const) {
  Deno.test(`own mode records a server's death by ${signal} once, with the signal`, async () => {
    await using live = await Live.open();
    const session = await live.launch("claude-bob");
    sendSignal(session.serverPid, signal);
    await assertRecorded(live, session, { cause: "signal", signal, mode: "own" });
    const [record] = live.records("server-exit");
    assert.equal(record!["code"], undefined);
    assert.equal((await live.tickOf("claude-bob")).outcome, "reaped-gone");
    assert.equal(live.records("server-exit").length, 1, "a tick adds none");
  });
}

Deno.test("own mode records a kill-server that nobody claimed", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  assert.equal((await live.tmux(session.sock, "kill-server")).code, 0);
  await assertRecorded(live, session, { cause: "exit-code", code: "0", mode: "own" });
});

Deno.test("own mode records a SIGTERM from outside that nobody claimed", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.serverPid, "SIGTERM");
  await assertRecorded(live, session, { cause: "exit-code", code: "0", mode: "own" });
});

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
