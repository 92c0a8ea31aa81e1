import assert from "node:assert/strict";
import { writeClaim } from "../lib/claims.ts";
import type { Context } from "../lib/context.ts";
import { readSession } from "../lib/sessions.ts";
import { assertRecorded, assertSilent, Live, SLEEP } from "./live.ts";
import { isRunning, processesOf, run, sendSignal, stateOf, untilGone } from "./live_host.ts";

/** The client in which an attach canary waits. */
async function clientOf(live: Live, identity: string): Promise<number | undefined> {
  const waiting = (await processesOf(live.base)).filter(({ command }) =>
    command.includes(`wait-for iap-canary-${identity} `)
  );
  assert(waiting.length <= 1, "one client at most");
  return waiting[0]?.pid;
}

Deno.test("server and attach client killed by one outside sweep are recorded", async () => {
  await using live = await Live.open();
  const session = await live.launchAttached("claude-bob");
  await live.until("the client waits", () => clientOf(live, "claude-bob"));
  const swept = (await processesOf(live.base)).filter(({ command }) =>
    /^\S*tmux .*-S /.test(command) && command.includes(` ${session.sock} `)
  );
  assert.equal(swept.length, 2, "server and client");
  await run("kill", ["-KILL", ...swept.map(({ pid }) => String(pid))]);
  await assertRecorded(live, session, { mode: "attach" });
});

Deno.test("attach client killed under a living server: watched again, nothing recorded", async () => {
  await using live = await Live.open();
  const session = await live.launchAttached("claude-bob");
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    const client = await live.until("a client waits", () => clientOf(live, "claude-bob"));
    sendSignal(client, signal);
    await live.until("another client waits", async () => {
      const next = await clientOf(live, "claude-bob");
      return next !== undefined && next !== client;
    });
  }
  assert.deepEqual(live.records("server-exit"), []);
  assert.equal((await live.status("claude-bob")).canary.pid, session.canaryPid, "the same canary");
  assert.equal(live.decisions("canary-rearmed", "claude-bob").length, 2);
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, session, { cause: "vanished", mode: "attach" });
});

Deno.test("channel signalled without a claim: still watched, nothing recorded", async () => {
  await using live = await Live.open();
  const session = await live.launchAttached("claude-bob");
  const client = await live.until("a client waits", () => clientOf(live, "claude-bob"));
  assert.equal((await live.tmux(session.sock, "wait-for", "-S", "iap-canary-claude-bob")).code, 0);
  await live.until("another client waits", async () => {
    const next = await clientOf(live, "claude-bob");
    return next !== undefined && next !== client;
  });
  assert.deepEqual(live.records("server-exit"), []);
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, session, { cause: "vanished", mode: "attach" });
});

/** A context whose clocks are behind: what is written with it is that old. */
function ago(ctx: Context, secs: number): Context {
  const { host } = ctx;
  const past = Object.create(host, {
    now: { value: () => host.now() - secs * 1000 },
    uptime: { value: () => host.uptime() - secs },
  });
  return { ...ctx, host: past };
}

for (const mode of ["own", "attach"] as const) {
  Deno.test(`a claim that no death followed is void after 30 s, ${mode} mode`, async () => {
    await using live = await Live.open();
    const session = await live.launchIn(mode, "claude-bob");
    const { server } = readSession(live.ctx, "claude-bob")!;
    writeClaim(ago(live.ctx, 31), "claude-bob", server!, "stop", "a stop that was interrupted");
    sendSignal(session.serverPid, "SIGKILL");
    await assertRecorded(live, session, { mode });
  });

  Deno.test(`a fresh claim keeps the death silent, ${mode} mode`, async () => {
    await using live = await Live.open();
    const session = await live.launchIn(mode, "claude-bob");
    const { server } = readSession(live.ctx, "claude-bob")!;
    writeClaim(ago(live.ctx, 25), "claude-bob", server!, "stop", "a stop");
    sendSignal(session.serverPid, "SIGKILL");
    await assertSilent(live, session);
  });
}

Deno.test("a tick removes a claim that has expired and says so", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob");
  const { server } = readSession(live.ctx, "claude-bob")!;
  writeClaim(ago(live.ctx, 31), "claude-bob", server!, "stop", "a stop that was interrupted");
  assert.equal((await live.tickOf("claude-bob")).outcome, "alive");
  assert.equal(live.decisions("claim-expired", "claude-bob").length, 1);
  await assert.rejects(Deno.stat(live.ctx.paths.claim("claude-bob")), Deno.errors.NotFound);
});

Deno.test("a new server on the same socket is not the old one", async () => {
  await using live = await Live.open();
  const old = await live.launchAttached("claude-bob");
  sendSignal(old.serverPid, "SIGKILL");
  // At once: the old canary may not have noticed yet.
  const young = await live.launch("claude-bob");
  assert.equal(young.sock, old.sock);
  await assertRecorded(live, old, { mode: "attach" });
  const { canary, server, state } = await live.status("claude-bob");
  assert.deepEqual([state, server?.pid, canary.pid, canary.mode], [
    "alive",
    young.serverPid,
    young.canaryPid,
    "own",
  ]);
  sendSignal(young.serverPid, "SIGKILL");
  await assertRecorded(live, young, { signal: "SIGKILL", mode: "own" });
  assert.equal(live.records("server-exit").length, 2);
});

Deno.test("an old own server and its successor have a canary each", async () => {
  await using live = await Live.open();
  const old = await live.launch("claude-bob");
  sendSignal(old.serverPid, "SIGKILL");
  const young = await live.launch("claude-bob");
  await assertRecorded(live, old, { signal: "SIGKILL", mode: "own" });
  assert.equal((await live.status("claude-bob")).canary.pid, young.canaryPid);
  sendSignal(young.serverPid, "SIGABRT");
  await assertRecorded(live, young, { signal: "SIGABRT", mode: "own" });
});

Deno.test("an identity that begins like another is never mixed up with it", async () => {
  await using live = await Live.open();
  const bob = await live.launchAttached("claude-bob");
  const two = await live.launchAttached("claude-bob-2");
  sendSignal(two.serverPid, "SIGKILL");
  await assertRecorded(live, two, { cause: "vanished", mode: "attach" });
  assert.deepEqual(live.records("server-exit", "claude-bob"), []);
  assert(await isRunning(bob.canaryPid));
  await live.ok(["stop", "claude-bob"]);
  await assertSilent(live, bob);
  const again = await live.launch("claude-bob-2");
  assert.equal((await live.cli(["status", "claude-bob"])).code, 3);
  assert.equal((await live.cli(["status", "claude-bob-2"])).code, 0);
  assert.equal((await live.cli(["stop", "claude-bob"])).code, 3, "is not running");
  assert(await isRunning(again.serverPid), "stop of the one leaves the other");
  assert.equal(JSON.parse(await live.ok(["deaths", "--json", "claude-bob"])).length, 0);
});

Deno.test("canary killed under a living server: the next tick arms one and says so", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.canaryPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  assert.equal((await live.status("claude-bob")).canary.state, "missing");
  assert.equal((await live.tickOf("claude-bob")).outcome, "alive");
  const [armed] = live.decisions("canary-armed", "claude-bob");
  assert.equal(armed?.["mode"], "attach");
  assert.equal(armed?.["server_pid"], String(session.serverPid));
  const { canary } = await live.status("claude-bob");
  assert.deepEqual([canary.state, canary.mode, String(canary.pid)], [
    "armed",
    "attach",
    armed?.["canary_pid"],
  ]);
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, { ...session, canaryPid: canary.pid! }, { cause: "vanished" });
});

Deno.test("attach canary killed: the next one ends the client that it has left", async () => {
  await using live = await Live.open();
  const session = await live.launchAttached("claude-bob");
  const left = await live.until("a client waits", () => clientOf(live, "claude-bob"));
  await live.until(
    "the canary has noted its client",
    async () =>
      (await Deno.readTextFile(live.ctx.paths.lock("claude-bob.canary"))).includes(String(left)),
  );
  sendSignal(session.canaryPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  await live.tick();
  await untilGone(left, "the client that was left");
  const { canary } = await live.status("claude-bob");
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, { ...session, canaryPid: canary.pid! }, { cause: "vanished" });
});

Deno.test("a server whose parent does not reap it counts as dead", async () => {
  await using live = await Live.open();
  const sock = `${live.base}/z.sock`;
  // The shell becomes a program that has a child and does not know of it.
  const parent = live.startOther("sh", [
    "-c",
    'tmux -D -f /dev/null -S "$1" & echo $!; exec sleep 10000',
    "sh",
    sock,
  ]);
  const server = await live.until("the server's pid", () => Number(parent.stdout()) || undefined);
  await live.until(
    "the server listens",
    async () => (await live.tmux(sock, "new-session", "-d", ...SLEEP)).code === 0,
  );
  await live.ok(["adopt", "--identity", "claude-bob", "--sock", sock]);
  const { canary } = await live.status("claude-bob");
  sendSignal(server, "SIGKILL");
  const record = await live.record("server-exit", "claude-bob");
  assert.deepEqual([record["cause"], record["wait_rc"]], ["vanished", "1"]);
  await untilGone(canary.pid!, "the canary");
  assert.equal(await stateOf(server), "Z");
  assert.equal((await live.cli(["status", "claude-bob"])).code, 3);
  assert.equal((await live.tickOf("claude-bob")).outcome, "reaped-gone");
  assert.equal(live.records("server-exit").length, 1);
  assert.equal(live.snapshots(server).length, 1);
});
