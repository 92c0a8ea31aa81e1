/** `supervise` under what service managers, logs and users do to a daemon. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { waitLock } from "../lib/locks.ts";
import { assertRecorded, Live } from "./live.ts";
import { run, type Running, sendSignal, toolsOnly, untilGone } from "./live_host.ts";
import { Installed, KINDS, Service } from "./live_service.ts";

/** A daemon that hardly ever ticks by itself. */
const DAEMON = ["supervise", "--interval", "3600"] as const;

/** Waits until the daemon with this pid is at work. */
async function atWork(live: Live, pid: number): Promise<void> {
  await live.until(
    "the daemon is at work",
    () => live.decisions("supervise-started").some((one) => one["pid"] === String(pid)),
  );
}

Deno.test("a tick that is held up does not keep the daemon from leaving", async () => {
  await using live = await Live.open();
  await live.tick();
  // A tick waits for another one for as long as a service manager waits for a stop.
  using lock = await waitLock(live.ctx.paths.lock("tick"), 1000);
  assert(lock !== undefined);
  const running = live.start(DAEMON);
  await live.until("it is at work", () => running.stdout().includes("SUPERVISING "));
  running.kill("SIGTERM");
  const { code, stderr } = await running.ended;
  assert.deepEqual([code, stderr], [0, ""]);
  // The tick's own wait would have ended in this.
  assert.deepEqual(live.decisions("tick-failed"), []);
  assert.equal(live.decisions("supervise-stopped").length, 1);
});

/** Outputs that take nothing, or nothing any more. */
const OUTPUTS: Record<string, (live: Live) => Promise<Running>> = {
  "its log is on a full disk": (live) => redirected(live, ">/dev/full 2>&1"),
  "its output is closed": (live) => redirected(live, ">&- 2>&-"),
  "whoever read its output has left": async (live) => {
    const pipe = join(live.base, "pipe");
    assert.equal((await run("mkfifo", [pipe])).code, 0);
    const reader = live.startOther("cat", [pipe]);
    const running = await redirected(live, `>'${pipe}' 2>&1`);
    reader.kill("SIGKILL");
    await reader.ended;
    return running;
  },
};

async function redirected(live: Live, redirection: string): Promise<Running> {
  const [program, args] = live.command(DAEMON);
  const script = `exec "$@" ${redirection}`;
  const running = live.startOther("sh", ["-c", script, "sh", program, ...args]);
  await atWork(live, running.pid);
  return running;
}

for (const [what, start] of Object.entries(OUTPUTS)) {
  Deno.test(`the daemon goes on when ${what}`, async () => {
    await using live = await Live.open();
    const session = await live.launch("claude-bob", ["--restart", "always"]);
    const running = await start(live);
    let pid = session.serverPid;
    for (let n = 0; n < 2; n++) {
      sendSignal(pid, "SIGKILL");
      pid = await live.until("another server, which it has something to say about", async () => {
        const { state, server } = await live.status("claude-bob");
        return state === "alive" && server!.pid !== pid && server!.pid;
      });
    }
    running.kill("SIGTERM");
    assert.equal((await running.ended).code, 0);
  });
}

for (const kind of KINDS) {
  Deno.test(`${kind}: a second service on a root keeps trying, and takes over`, async () => {
    await using live = await Live.open();
    const job = (await Installed.install(live)).command(DAEMON);
    await using first = await Service.define(live, kind, job, "first");
    await using second = await Service.define(live, kind, job, "second");
    await first.up();
    const pid = await first.pid();
    await atWork(live, pid!);
    await second.up();
    const said = await live.until("it was refused twice", async () => {
      const lines = (await Deno.readTextFile(second.log)).split("\n").slice(0, -1);
      return lines.length > 1 && lines;
    });
    const refused = `iapeer: Cannot supervise "${live.root}": ` +
      `a supervisor is at work on it already (pid ${pid}); leave it to that one, or end it first`;
    assert.deepEqual([...new Set(said)], [refused]);
    assert.equal(await first.pid(), pid);
    await first.stop();
    await live.until("the second one is at work", async () => {
      const now = String(await second.pid());
      return live.decisions("supervise-started").some((one) => one["pid"] === now);
    });
    await Promise.all([first.down(), second.down()]);
  });
}

Deno.test("without tmux on its PATH the daemon says so, and goes on watching", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  const restarted = await live.launch("claude-eve", ["--restart", "always"]);
  for (const { canaryPid } of [session, restarted]) {
    sendSignal(canaryPid, "SIGKILL");
    await untilGone(canaryPid, "the canary");
  }
  sendSignal(restarted.serverPid, "SIGKILL");
  await untilGone(restarted.serverPid, "the server");

  const tools = await toolsOnly(join(live.base, "bin"), ["cat", "kill", "ps", "sysctl", "test"]);
  const running = live.start(DAEMON, { env: { PATH: tools } });
  const why =
    `there is no tmux on PATH "${tools}"; install it or mend PATH, then start iapeer anew`;
  const line = `claude-eve skipped-error (Cannot start "claude-eve": ${why})`;
  await live.until("it says what it could not do", () => running.stdout().includes(`${line}\n`));
  const { canary } = await live.status("claude-bob");
  assert.equal(canary.state, "armed");
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, { ...session, canaryPid: canary.pid! }, {});
  running.kill("SIGTERM");
  const { code, stderr } = await running.ended;
  assert.equal(code, 0);
  assert(stderr.startsWith(`iapeer: cannot start any session: ${why}\n`), stderr);

  const launch = ["launch", "--identity", "claude-new", "--", "/bin/sh"];
  const launched = await live.cli(launch, { env: { PATH: tools } });
  const refusal = `iapeer: Cannot start "claude-new": ${why}\n`;
  assert.deepEqual([launched.code, launched.stderr], [1, refusal]);
  // That nothing could be started is no crash loop of the session's.
  for (let n = 0; n < 3; n++) {
    const { stdout } = await live.cli(["supervise", "--once"], { env: { PATH: tools } });
    assert.match(stdout, /^claude-eve +skipped-error /m);
  }
  assert.equal((await live.tickOf("claude-eve")).outcome, "restarted");
});
