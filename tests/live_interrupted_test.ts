import assert from "node:assert/strict";
import { isLocked } from "../lib/locks.ts";
import { Live, SLEEP } from "./live.ts";
import { isRunning, processesOf, sendSignal, untilGone } from "./live_host.ts";

const ARGS = ["launch", "--identity", "claude-bob", "--json", "--", ...SLEEP];

/** What of a launch is killed: it alone, or its canary with it. */
const VICTIMS = {
  "the launch": /main\.ts launch | launch --root /,
  "launch and canary": /main\.ts (launch|canary) | (launch|canary) --/,
} as const;

async function kill(live: Live, victims: RegExp): Promise<void> {
  const hit = (await processesOf(live.base)).filter(({ command }) => victims.test(command));
  for (const { pid } of hit) sendSignal(pid, "SIGKILL");
}

/** After a tick there is a session that is known and watched, or there is nothing. */
async function assertNoServerWithoutOwner(live: Live): Promise<"whole" | "nothing"> {
  // A canary that outlived its launch is still at work; ticks come and go.
  const outcome = await live.until("ticks have settled it", async () => {
    const [one] = await live.tick();
    const servers = (await live.processes()).filter((line) => / \S*tmux -D /.test(line));
    assert(servers.length <= 1, servers.join("\n"));
    if (servers.length === 0) {
      return (await live.processes()).length === 0 && (one?.outcome ?? "none");
    }
    const { state, server, canary } = await live.status("claude-bob");
    const owned = servers[0]!.startsWith(`${server?.pid} `);
    return state === "alive" && owned && canary.state === "armed" && one?.outcome;
  });
  assert.notEqual(outcome, "skipped-error");
  if (outcome === "alive") return "whole";
  const { code } = await live.cli(["status", "claude-bob"]);
  assert(code === 3 || code === 1, `exit code ${code}`);
  return "nothing";
}

/** Whatever came of it: the session can be launched, watched and stopped. */
async function assertUsable(live: Live): Promise<void> {
  const { code, stdout, stderr } = await live.cli([
    ...ARGS.slice(0, 1),
    "--replace",
    ...ARGS.slice(1),
  ]);
  assert.equal(code, 0, stderr);
  const { serverPid, canaryPid } = JSON.parse(stdout);
  await live.ok(["stop", "claude-bob"]);
  await untilGone(canaryPid, "the canary");
  assert(!await isRunning(serverPid));
  assert.deepEqual(live.records("server-exit"), []);
  await live.until("nothing runs", async () => (await live.processes()).length === 0);
}

for (const [what, victims] of Object.entries(VICTIMS)) {
  Deno.test(`${what} killed after a while leaves no server without owner`, async () => {
    await using live = await Live.open();
    const seen = new Set<string>();
    const delays = [0, 5, 10, 20, 40, 80, 160, 240];
    for (const [n, ms] of delays.entries()) {
      // Every other time a stopped session is what was there before.
      if (n % 2 === 0) await Deno.remove(live.root, { recursive: true }).catch(() => {});
      const launching = live.start(ARGS);
      // The delay is what is tried out, not a wait for something.
      await new Promise((wake) => setTimeout(wake, ms));
      launching.kill("SIGKILL");
      await kill(live, victims);
      await launching.ended;
      seen.add(await assertNoServerWithoutOwner(live));
      await assertUsable(live);
    }
    assert(seen.has("nothing"), "one at least was early");
  });

  for (const step of ["record", "canary", "server", "socket"] as const) {
    Deno.test(`${what} killed as soon as its ${step} is there leaves no server without owner`, async () => {
      await using live = await Live.open();
      const launching = live.start(ARGS);
      const runs = async (line: RegExp) =>
        (await processesOf(live.base)).some(({ command }) => line.test(command));
      const exists = (path: string) => {
        try {
          return Deno.lstatSync(path) !== undefined;
        } catch {
          return false;
        }
      };
      await live.until(`its ${step}`, () =>
        ({
          record: () => exists(live.ctx.paths.session("claude-bob")),
          canary: () => runs(/ canary --/),
          server: () => runs(/^\S*tmux -D /),
          socket: () => exists(live.ctx.paths.sock("claude-bob")),
        })[step]());
      launching.kill("SIGKILL");
      await kill(live, victims);
      await launching.ended;
      await assertNoServerWithoutOwner(live);
      await assertUsable(live);
    });
  }
}

Deno.test("a second launch right after one that was killed succeeds or refuses, never a second server", async () => {
  await using live = await Live.open();
  for (const ms of [100, 150, 200, 250]) {
    const launching = live.start(ARGS);
    await new Promise((wake) => setTimeout(wake, ms));
    launching.kill("SIGKILL");
    await launching.ended;
    const { code, stderr } = await live.cli(ARGS);
    assert(code === 0 || code === 1 && /already running/.test(stderr), `${code} ${stderr}`);
    const servers = (await live.processes()).filter((line) => / \S*tmux -D /.test(line));
    assert.equal(servers.length, 1);
    assert.equal((await live.status("claude-bob")).state, "alive");
    await assertUsable(live);
  }
});

/** A launch that was killed, and its canary, held up before it has done anything. */
async function lateCanary(live: Live): Promise<number> {
  while (true) {
    const launching = live.start(ARGS);
    const canary = await live.until(
      "its canary",
      async () =>
        (await processesOf(live.base)).find(({ command }) => / canary .*--own /.test(command))?.pid,
    );
    sendSignal(canary, "SIGSTOP");
    launching.kill("SIGKILL");
    await launching.ended;
    if (!isLocked(live.ctx.paths.lock("claude-bob.canary"))) return canary;
    // It was faster: once more.
    sendSignal(canary, "SIGCONT");
    await assertNoServerWithoutOwner(live);
    await assertUsable(live);
  }
}

Deno.test("a canary that is later than the tick after its launch was killed starts no server", async () => {
  await using live = await Live.open();
  const canary = await lateCanary(live);
  assert.equal((await live.tickOf("claude-bob")).outcome, "reaped-gone");
  sendSignal(canary, "SIGCONT");
  await untilGone(canary, "the canary");
  assert.deepEqual(await live.processes(), []);
  await assertUsable(live);
});

Deno.test("a canary that is later than the next launch leaves that one alone", async () => {
  await using live = await Live.open();
  const canary = await lateCanary(live);
  const launching = live.start(ARGS);
  await live.until(
    "the next launch has begun",
    async () =>
      (await processesOf(live.base)).some(({ pid, command }) =>
        / canary .*--own /.test(command) && pid !== canary
      ),
  );
  sendSignal(canary, "SIGCONT");
  const { code, stderr } = await launching.ended;
  assert.equal(code, 0, stderr);
  await untilGone(canary, "the canary");
  const servers = (await live.processes()).filter((line) => / \S*tmux -D /.test(line));
  assert.equal(servers.length, 1);
  assert.equal((await live.status("claude-bob")).state, "alive");
  await assertUsable(live);
});
