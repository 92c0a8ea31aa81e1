import assert from "node:assert/strict";
import { join } from "node:path";
import { tryLock } from "../lib/locks.ts";
import { writeSession } from "../lib/sessions.ts";
import { assertNoRequests, daemon, HeldLaunch, parentOf, servers } from "./fixtures/daemon.ts";
import { Live, type Session, SLEEP } from "./live.ts";
import { isRunning, sendSignal, untilGone } from "./live_host.ts";

const LAUNCH = ["launch", "--identity", "claude-bob", "--json", "--", ...SLEEP];

Deno.test("launch and start are carried out by the supervisor, and by oneself with --direct", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  const { canaryPid, serverPid } = await live.launch("claude-bob");
  assert.equal(await parentOf(live, canaryPid), supervisor.pid);
  assert.equal((await live.status("claude-bob")).server?.pid, serverPid);
  await live.ok(["stop", "claude-bob"]);
  const started = await live.ok(["start", "claude-bob"]);
  const { server, canary, sock } = await live.status("claude-bob");
  assert.equal(
    started,
    `READY identity=claude-bob server_pid=${server?.pid} canary_pid=${canary.pid} sock=${sock}\n`,
  );
  assert.equal(await parentOf(live, canary.pid!), supervisor.pid);
  const direct = await live.launch("claude-ann", ["--direct"]);
  assert.notEqual(await parentOf(live, direct.canaryPid), supervisor.pid);
  await live.ok(["stop", "claude-bob"]);
  await live.ok(["start", "--direct", "claude-bob"]);
  const again = await live.status("claude-bob");
  assert.notEqual(await parentOf(live, again.canary.pid!), supervisor.pid);
  assert.equal(live.decisions("request-served").length, 2);
  assert.deepEqual(live.decisions("request-withdrawn"), []);
  assertNoRequests(live);
});

Deno.test("a launch that is handed over prints what a direct one prints", async () => {
  await using live = await Live.open();
  await daemon(live);
  for (const how of [[], ["--direct"]]) {
    const args = ["launch", "--identity", "claude-bob", "--replace", ...how];
    const { server: before } = await live.status("claude-bob").catch(() => ({ server: undefined }));
    const { code, stdout, stderr } = await live.cli([...args, "--", ...SLEEP]);
    const { server, canary, sock } = await live.status("claude-bob");
    assert.deepEqual([code, stderr], [0, ""]);
    assert.notEqual(server?.pid, before?.pid);
    assert.equal(
      stdout,
      `READY identity=claude-bob server_pid=${server?.pid} canary_pid=${canary.pid} sock=${sock}\n`,
    );
  }
  assert.equal((await servers(live)).length, 1);
  assert.deepEqual(live.records("server-exit"), []);
});

/** Makes a launch fail; gives more flags for it. */
const REFUSALS: Readonly<
  Record<string, (live: Live) => Promise<readonly string[]> | readonly string[]>
> = {
  "a program that is not there": () => ["--", "no-such-program-anywhere"],
  "a working directory that is not there": () => ["--cwd", "/nowhere", "--", ...SLEEP],
  "a configuration of tmux that is not there": () => ["--tmux-conf", "/no", "--", ...SLEEP],
  "a configuration that takes the session's name": (live) => {
    const conf = join(live.base, "bad.conf");
    Deno.writeTextFileSync(conf, "new-session -d -s claude-bob sleep 10000\n");
    return ["--tmux-conf", conf, "--", ...SLEEP];
  },
  "a session that runs": async (live) => {
    await live.launch("claude-bob");
    return ["--", ...SLEEP];
  },
  "another operation that is under way": (live) => {
    // Held until the test's process lets it go, at its end.
    locks.push(tryLock(live.ctx.paths.lock("claude-bob.session"))!);
    return ["--", ...SLEEP];
  },
  "a foreign server on the socket": async (live) => {
    const { sock } = await live.foreignServer("foreign");
    await Deno.rename(sock, live.ctx.paths.sock("claude-bob"));
    return ["--", ...SLEEP];
  },
  "an adopted session that lives": async (live) => {
    const { sock } = await live.foreignServer("foreign");
    await live.ok(["adopt", "--identity", "claude-bob", "--sock", sock]);
    return ["--", ...SLEEP];
  },
  "a socket path that is too long": () => ["--identity", `a-${"b".repeat(62)}`, "--", ...SLEEP],
  "storage that refuses": (live) => {
    Deno.mkdirSync(live.ctx.paths.session("claude-bob"));
    return ["--", ...SLEEP];
  },
  "a record of a newer program": (live) => {
    const text = JSON.stringify({ v: 99, identity: "claude-bob" });
    Deno.writeTextFileSync(live.ctx.paths.session("claude-bob"), text);
    return ["--", ...SLEEP];
  },
};

const locks: Disposable[] = [];

for (const [what, prepare] of Object.entries(REFUSALS)) {
  Deno.test(`a refusal comes back word for word: ${what}`, async () => {
    const long = what.includes("too long") ? "r".repeat(40) : "r";
    await using live = await Live.open(long);
    await daemon(live);
    try {
      const more = await prepare(live);
      const identity = more.includes("--identity") ? [] : ["--identity", "claude-bob"];
      const [handed, direct] = [
        await live.cli(["launch", ...identity, ...more]),
        await live.cli(["launch", "--direct", ...identity, ...more]),
      ];
      assert.notEqual(direct.code, 0);
      // Where an internal error was thrown differs; all else is the same.
      const said = ({ code, stdout, stderr }: typeof handed) => ({
        code,
        stdout,
        stderr: code === 70 ? stderr.split("\n")[0] : stderr,
      });
      assert.deepEqual(said(handed), said(direct));
      const served = live.decisions("request-served").at(-1);
      assert(handed.stderr.includes(served!["error"]!), "it was the supervisor who refused");
      assert.deepEqual(live.decisions("request-withdrawn"), []);
      assertNoRequests(live);
    } finally {
      for (const lock of locks.splice(0)) lock[Symbol.dispose]();
    }
  });
}

Deno.test("--once has the supervisor do the tick: restarts and canaries are its own", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  const args = ["--restart", "always"];
  const [ann, bob] = [await live.launch("claude-ann"), await live.launch("claude-bob", args)];
  sendSignal(ann.canaryPid, "SIGKILL");
  sendSignal(bob.canaryPid, "SIGKILL");
  for (const { canaryPid } of [ann, bob]) await untilGone(canaryPid, "the canary");
  // Nobody sees it: nothing wakes the supervisor.
  sendSignal(bob.serverPid, "SIGKILL");
  await untilGone(bob.serverPid, "the server");
  assert.deepEqual((await live.tick()).map(({ identity, outcome }) => [identity, outcome]), [
    ["claude-ann", "alive"],
    ["claude-bob", "restarted"],
  ]);
  for (const identity of ["claude-ann", "claude-bob"]) {
    const { canary } = await live.status(identity);
    assert.equal(await parentOf(live, canary.pid!), supervisor.pid);
  }
  // The verdict is in when --once is done.
  assert.equal(live.records("server-verdict", "claude-bob").length, 1);
  assert.match(supervisor.stdout(), /^claude-bob restarted/m);
  const { canary } = await live.status("claude-ann");
  sendSignal(canary.pid!, "SIGKILL");
  await untilGone(canary.pid!, "the canary");
  await live.ok(["supervise", "--once", "--direct"]);
  const after = await live.status("claude-ann");
  assert.equal(after.canary.state, "armed");
  assert.notEqual(await parentOf(live, after.canary.pid!), supervisor.pid);
});

Deno.test("--direct goes with --once only", async () => {
  await using live = await Live.open();
  const { code, stderr } = await live.cli(["supervise", "--direct"]);
  assert.equal(code, 2);
  assert.match(stderr, /--direct: it goes with --once only/);
});

Deno.test("a launch is served while a tick is under way", async () => {
  await using live = await Live.open();
  using tick = tryLock(join(await stateOf(live), "locks", "tick"));
  assert(tick !== undefined);
  const supervisor = await daemon(live);
  const session = await live.launch("claude-bob");
  assert.equal(await parentOf(live, session.canaryPid), supervisor.pid);
  assert.deepEqual(live.decisions("request-withdrawn"), []);
});

/** The state folder of a root that the program has made. */
async function stateOf(live: Live): Promise<string> {
  await live.ok(["status"]);
  return join(live.root, "state");
}

Deno.test("twenty launches at once are all the supervisor's", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  const names = Array.from({ length: 20 }, (_, n) => `claude-${n}`);
  const sessions = await Promise.all(names.map((name) => live.launch(name)));
  assert.equal(new Set(sessions.map(({ serverPid }) => serverPid)).size, 20);
  for (const { canaryPid } of sessions) {
    assert.equal(await parentOf(live, canaryPid), supervisor.pid);
  }
  assert.equal((await servers(live)).length, 20);
  assertNoRequests(live);
});

Deno.test("one session launched eight times at once, handed over and not: exactly one server", async () => {
  await using live = await Live.open();
  await daemon(live);
  const direct = ["launch", "--direct", ...LAUNCH.slice(1)];
  const ran = await Promise.all(
    Array.from({ length: 8 }, (_, n) => live.cli(n % 2 === 0 ? LAUNCH : direct)),
  );
  const up = ran.filter(({ code }) => code === 0);
  assert.equal(up.length, 1, ran.map(({ stderr }) => stderr).join(""));
  for (const { code, stderr } of ran) {
    assert(code === 0 || code === 1 && /already running|is under way/.test(stderr), stderr);
  }
  const { serverPid }: Session = JSON.parse(up[0]!.stdout);
  assert.deepEqual(await servers(live), [serverPid]);
});

Deno.test("a session outlives the terminal on which its launch was asked for", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  const { sock, pid } = await live.foreignServer("terminal");
  const [program, args] = live.command(LAUNCH);
  const out = join(live.base, "ready");
  const script = 'out=$1; shift; "$@" >"$out.new"; mv "$out.new" "$out"; exec sleep 10000';
  const pane = ["new-window", "-P", "-F", "#{pane_pid}", "sh", "-c", script, "sh", out];
  const { stdout } = await live.tmux(sock, ...pane, program, ...args);
  const session: Session = JSON.parse(
    await live.until("READY", () => {
      try {
        return Deno.readTextFileSync(out);
      } catch {
        return undefined;
      }
    }),
  );
  // SIGHUP to the terminal's processes, then whatever is left of them.
  sendSignal(pid, "SIGKILL");
  const shell = Number(stdout);
  try {
    Deno.kill(-shell, "SIGKILL");
  } catch {
    // The hangup was enough.
  }
  await untilGone(shell, "the terminal's shell");
  assert(await isRunning(session.serverPid));
  assert.equal(await parentOf(live, session.serverPid), session.canaryPid);
  assert.equal(await parentOf(live, session.canaryPid), supervisor.pid);
  assert.equal((await live.status("claude-bob")).state, "alive");
});

Deno.test("a supervisor that is told to leave finishes what it has taken", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  const held = new HeldLaunch(live, "claude-bob");
  await held.begun();
  supervisor.kill("SIGTERM");
  // It takes nothing any more: this one is done without it.
  const other = await live.cli(["launch", "--identity", "claude-ann", "--json", "--", ...SLEEP]);
  assert.equal(other.code, 0, other.stderr);
  assert.match(other.stderr, /^iapeer: the supervisor .*; doing it without the supervisor\n$/);
  held.letGo();
  const { code, stdout, stderr } = await held.running.ended;
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal((await supervisor.ended).code, 0);
  const { server } = await live.status("claude-bob");
  assert.equal(server?.pid, JSON.parse(stdout).serverPid);
  assert.equal((await servers(live)).length, 2);
  assertNoRequests(live);
});

Deno.test("a request that was carried out is not carried out again", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob");
  const { launch } = await import("../lib/launch.ts");
  const { readSession } = await import("../lib/sessions.ts");
  const record = readSession(live.ctx, "claude-bob")!;
  writeSession(live.ctx, { ...record, request: "r" });
  const again = (stands = true) =>
    launch(live.ctx, {
      identity: "claude-bob",
      spec: record.spec!,
      replace: true,
      request: { id: "r", stands: () => stands },
    });
  const { server, canary } = await live.status("claude-bob");
  const { serverPid, canaryPid } = await again();
  assert.deepEqual([serverPid, canaryPid], [server?.pid, canary.pid]);
  await assert.rejects(again(false), /the request was withdrawn/);
  await live.ok(["stop", "claude-bob"]);
  await assert.rejects(again(), /it was launched, and has ended since/);
  assert.deepEqual(await servers(live), []);
});
