import assert from "node:assert/strict";
import { assertRecorded, assertSilent, Live, type Session, SLEEP } from "./live.ts";
import { isRunning, type Running, sendSignal, untilGone } from "./live_host.ts";

/** Starts a daemon that hardly ever ticks by itself, and waits for its first tick. */
async function daemon(live: Live): Promise<Running> {
  const running = live.start(["supervise", "--interval", "3600", "--verbose"]);
  await live.until("the daemon is at work", () => running.stdout().includes("SUPERVISING "));
  assert.match(running.stdout(), new RegExp(`^SUPERVISING root=${live.root} pid=${running.pid}\n`));
  return running;
}

/** Ends the program of a session's pane in the way that gives the exit code. */
const ENDS = 'until [ -e "$1" ]; do sleep 0.05; done; rm "$1"; exit "$2"';

function ending(live: Live, code: number): string[] {
  return ["sh", "-c", ENDS, "sh", `${live.base}/go`, String(code)];
}

async function end(live: Live, session: Pick<Session, "canaryPid" | "serverPid">): Promise<void> {
  await Deno.writeTextFile(`${live.base}/go`, "");
  await untilGone(session.serverPid, "the server");
  await untilGone(session.canaryPid, "the canary");
}

/** Server and canary that a session has now. */
async function pidsOf(live: Live, identity: string): Promise<Session> {
  const { server, canary, sock } = await live.status(identity);
  return { identity, serverPid: server!.pid, canaryPid: canary.pid!, sock };
}

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  Deno.test(`the daemon leaves on ${signal}; servers and canaries stay`, async () => {
    await using live = await Live.open();
    const session = await live.launch("claude-bob");
    const running = await daemon(live);
    running.kill(signal);
    const { code, stderr } = await running.ended;
    assert.equal(code, 0, stderr);
    assert.deepEqual(await pidsOf(live, "claude-bob"), session);
    assert(await isRunning(session.canaryPid));
    assert.equal((await live.status("claude-bob")).state, "alive");
    assert.deepEqual(live.records("server-exit"), []);
    assert.equal(live.decisions("supervise-stopped").length, 1);
    (await daemon(live)).kill(signal);
  });
}

Deno.test("a second daemon on a root is refused, one on another root is not", async () => {
  await using live = await Live.open();
  await using other = await Live.open();
  const first = await daemon(live);
  const { code, stderr } = await live.cli(["supervise"]);
  assert.equal(code, 1);
  assert.match(stderr, /a supervisor is at work on it already/);
  await daemon(other);
  // The kernel frees the lock of a daemon that was killed.
  first.kill("SIGKILL");
  await first.ended;
  await daemon(live);
});

Deno.test("the daemon restarts at once what died, long before its interval", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", ["--restart", "always"]);
  const running = await daemon(live);
  await live.until("its first tick", () => live.decisions("tick", "claude-bob").length > 0);
  sendSignal(session.serverPid, "SIGKILL");
  const young = await live.until("a new server is watched", async () => {
    const { state, server, canary } = await live.status("claude-bob");
    return state === "alive" && server?.pid !== session.serverPid && canary.state === "armed" &&
      server?.pid;
  });
  assert(await isRunning(young));
  await live.until("it says so", () => /^claude-bob restarted/m.test(running.stdout()));
  await assertRecorded(live, session, { signal: "SIGKILL", mode: "own" });
  assert.equal(live.records("server-exit").length, 1);
});

Deno.test("the daemon wakes when a session ends by itself", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", ["--restart", "on-failure"], ending(live, 3));
  await daemon(live);
  await live.until("its first tick", () => live.decisions("tick", "claude-bob").length > 0);
  await end(live, session);
  await live.until(
    "it runs again",
    async () => (await live.status("claude-bob")).state === "alive",
  );
  assert.deepEqual(live.records("server-exit"), []);
});

Deno.test("the daemon arms a canary where there is none", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.canaryPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  await daemon(live);
  const canary = await live.until("it is watched", async () => {
    const { canary } = await live.status("claude-bob");
    return canary.state === "armed" && canary.pid;
  });
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, { ...session, canaryPid: canary }, { cause: "vanished" });
});

Deno.test("one broken session file never hides the others", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob");
  const dead = await live.launch("claude-eve");
  const { session } = live.ctx.paths;
  await Deno.writeTextFile(session("claude-broken"), "{");
  await Deno.writeTextFile(session("claude-future"), '{"v":99,"identity":"claude-future"}');
  await Deno.writeTextFile(session("claude-liar"), await Deno.readTextFile(session("claude-bob")));
  await Deno.mkdir(session("claude-dir"));
  sendSignal(dead.serverPid, "SIGKILL");
  await untilGone(dead.canaryPid, "the canary");
  const outcomes = Object.fromEntries(
    (await live.tick()).map(({ identity, outcome }) => [identity, outcome]),
  );
  assert.deepEqual(outcomes, {
    "claude-bob": "alive",
    "claude-broken": "skipped-error",
    "claude-dir": "skipped-error",
    "claude-eve": "reaped-gone",
    "claude-future": "skipped-error",
    "claude-liar": "skipped-error",
  });
  assert.equal(await Deno.readTextFile(`${session("claude-broken")}.corrupt`), "{");
  assert.equal(live.decisions("corrupt-state", "claude-broken").length, 1);
  const again = (await live.tick()).map(({ identity }) => identity);
  assert.deepEqual(again, ["claude-bob", "claude-dir", "claude-eve", "claude-future"]);
  await live.ok(["launch", "--identity", "claude-broken", "--", ...SLEEP]);
});

Deno.test("a server that does not answer is unreachable, which is not death", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", ["--restart", "always"]);
  sendSignal(session.serverPid, "SIGSTOP");
  const { code, stdout } = await live.cli(["status", "claude-bob", "--json"]);
  assert.equal(code, 4);
  assert.equal(JSON.parse(stdout)[0].state, "unreachable");
  const one = await live.tickOf("claude-bob");
  assert.equal(one.outcome, "skipped-error");
  assert.match(one.reason!, /^unreachable/);
  assert.equal((await live.cli(["launch", "--identity", "claude-bob", "--", ...SLEEP])).code, 1);
  sendSignal(session.serverPid, "SIGCONT");
  await live.ok(["status", "claude-bob"]);
  assert.equal((await live.tickOf("claude-bob")).outcome, "alive");
  assert.deepEqual(await pidsOf(live, "claude-bob"), session);
  assert.deepEqual(live.records("server-exit"), []);
});

Deno.test("a socket that was removed under a living server comes back after a tick", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  await Deno.remove(session.sock);
  await live.tick();
  await live.until(
    "the socket",
    async () => (await live.tmux(session.sock, "has-session", "-t", "=claude-bob")).code === 0,
  );
  assert.equal(live.decisions("sock-mended", "claude-bob").length, 1);
  await live.ok(["status", "claude-bob"]);
  await live.ok(["stop", "claude-bob"]);
  await assertSilent(live, session);
});

Deno.test("a record of a newer version is skipped with a remedy, and stays as it is", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob");
  const path = live.ctx.paths.session("claude-newer");
  const text = JSON.stringify({ v: 2, identity: "claude-newer", sock: ["of a new kind"] });
  await Deno.writeTextFile(path, text);
  for (let n = 0; n < 2; n++) {
    const one = await live.tickOf("claude-newer");
    assert.equal(one.outcome, "skipped-error");
    assert.match(one.reason!, /a newer iapeer has written it .* iapeer install$/);
  }
  assert.equal((await live.tickOf("claude-bob")).outcome, "alive");
  assert.equal(await Deno.readTextFile(path), text);
  assert.deepEqual(live.decisions("corrupt-state"), []);
  const { code, stderr } = await live.cli(["status", "claude-newer"]);
  assert.equal(code, 4);
  assert.match(
    stderr,
    /^iapeer: Cannot read ".*claude-newer\.json": a newer iapeer has written it/,
  );
});

Deno.test("a session that is lost while its server lives on for others is reaped", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  await live.tmux(session.sock, "new-session", "-d", "-s", "another", ...SLEEP);
  await live.tmux(session.sock, "kill-session", "-t", "=claude-bob");
  assert.equal((await live.cli(["status", "claude-bob"])).code, 3);
  const one = await live.tickOf("claude-bob");
  assert.deepEqual([one.outcome, one.reason], ["reaped-gone", "session-gone"]);
  await assertSilent(live, session);
});

/** What a tick does about each end under each policy. */
const POLICIES = [
  { restart: "never", code: 0, outcome: "reaped-gone" },
  { restart: "never", code: 3, outcome: "reaped-gone" },
  { restart: "never", code: "death", outcome: "reaped-gone" },
  { restart: "on-failure", code: 0, outcome: "reaped-gone" },
  { restart: "on-failure", code: 3, outcome: "restarted" },
  { restart: "on-failure", code: "death", outcome: "restarted" },
  { restart: "always", code: 0, outcome: "restarted" },
  { restart: "always", code: 3, outcome: "restarted" },
  { restart: "always", code: "death", outcome: "restarted" },
] as const;

for (const { restart, code, outcome } of POLICIES) {
  const how = code === "death" ? "its server died" : `code ${code}`;
  Deno.test(`restart policy ${restart} after ${how}: ${outcome}`, async () => {
    await using live = await Live.open();
    const argv = ending(live, code === "death" ? 0 : code);
    const session = await live.launch("claude-bob", ["--restart", restart], argv);
    if (code === "death") sendSignal(session.serverPid, "SIGKILL");
    else await Deno.writeTextFile(`${live.base}/go`, "");
    await untilGone(session.serverPid, "the server");
    await untilGone(session.canaryPid, "the canary");
    assert.equal((await live.tickOf("claude-bob")).outcome, outcome);
    const { state, server } = await live.status("claude-bob");
    assert.equal(state, outcome === "restarted" ? "alive" : "gone");
    assert.notEqual(server?.pid, session.serverPid);
    assert.equal(live.records("server-exit").length, code === "death" ? 1 : 0);
  });
}

Deno.test("the third end within five minutes is a crash loop, until it is started again", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob", ["--restart", "on-failure"], ending(live, 3));
  for (const expected of ["restarted", "restarted", "crash-loop"]) {
    await end(live, await pidsOf(live, "claude-bob"));
    assert.equal((await live.tickOf("claude-bob")).outcome, expected);
  }
  assert.equal((await live.tickOf("claude-bob")).outcome, "crash-loop");
  assert.equal((await live.cli(["status", "claude-bob"])).code, 3);
  assert.equal((await live.status("claude-bob")).state, "crash-loop");
  await live.ok(["start", "claude-bob"]);
  assert.equal((await live.status("claude-bob")).state, "alive");
});
