import assert from "node:assert/strict";
import { canLimitMemory, MemoryCgroup } from "./fixtures/memory_cgroup.ts";
import { assertRecorded, assertSilent, type Fields, Live, type Session } from "./live.ts";
import { processesOf, untilGone } from "./live_host.ts";

const NEEDED = "needs root, memory cgroups and dmesg";
const ignore = !canLimitMemory;

/** Waits for the file `$1`, then takes all the memory that it can get. */
const EATER = 'until [ -e "$1" ]; do sleep 0.05; done; exec tail /dev/zero';

/** Feeds a server until the kernel kills it; the one who feeds it lives outside. */
async function starve(live: Live, session: Session): Promise<void> {
  await using cgroup = MemoryCgroup.open(16)!;
  cgroup.add(session.serverPid);
  const feed = 'head -c 268435456 /dev/zero | tmux -N -S "$1" load-buffer -';
  const { stderr } = await live.startOther("sh", ["-c", feed, "sh", session.sock]).ended;
  assert.match(stderr, /server exited|lost server/);
}

/** Lets a program that runs {@linkcode EATER} run into its limit. */
async function starveEater(live: Live, pid: number): Promise<void> {
  await using cgroup = MemoryCgroup.open(16)!;
  cgroup.add(pid);
  await Deno.writeTextFile(`${live.base}/go`, "");
  await untilGone(pid, "the victim");
}

/** The one verdict on a session's one death. */
async function verdictOf(live: Live, session: Session): Promise<Fields> {
  const verdict = await live.record("server-verdict", session.identity);
  const exits = live.records("server-exit", session.identity);
  assert.equal(live.records("server-verdict", session.identity).length, 1);
  assert.deepEqual(exits.map((exit) => exit["death"]), [verdict["death"]]);
  return verdict;
}

const KILLED_SERVER = (pid: number) =>
  new RegExp(`^kernel log: Memory cgroup out of memory: Killed process ${pid} \\(tmux: server\\)`);

Deno.test({
  name: `own mode: a server that is really OOM-killed is oom-kill, certain (${NEEDED})`,
  ignore,
  async fn() {
    await using live = await Live.open();
    const session = await live.launch("claude-bob");
    await starve(live, session);
    await assertRecorded(live, session, { cause: "signal", signal: "SIGKILL", mode: "own" });
    const { verdict, confidence, reason } = await verdictOf(live, session);
    assert.deepEqual([verdict, confidence], ["oom-kill", "certain"]);
    assert.match(reason!, KILLED_SERVER(session.serverPid));
  },
});

Deno.test({
  name: `attach mode: a server that is really OOM-killed is oom-kill, certain (${NEEDED})`,
  ignore,
  async fn() {
    await using live = await Live.open();
    const session = await live.launchAttached("claude-bob");
    await starve(live, session);
    await assertRecorded(live, session, { cause: "vanished", mode: "attach" });
    const { verdict, confidence, reason } = await verdictOf(live, session);
    assert.deepEqual([verdict, confidence], ["oom-kill", "certain"]);
    assert.match(reason!, KILLED_SERVER(session.serverPid));
  },
});

Deno.test({
  name:
    `an OOM-killed server that nobody watched is oom-kill, certain, at the next tick (${NEEDED})`,
  ignore,
  async fn() {
    await using live = await Live.open();
    const session = await live.launch("claude-bob");
    Deno.kill(session.canaryPid, "SIGKILL");
    await untilGone(session.canaryPid, "the canary");
    await starve(live, session);
    await live.tick();
    const [exit] = live.records("server-exit");
    assert.deepEqual([exit?.["cause"], exit?.["witness"]], ["unobserved", "supervise"]);
    const { verdict, confidence, reason } = await verdictOf(live, session);
    assert.deepEqual([verdict, confidence], ["oom-kill", "certain"]);
    assert.match(reason!, KILLED_SERVER(session.serverPid));
  },
});

Deno.test({
  name:
    `a pane's program OOM-killed under a living server: one session-exit that says so, no death (${NEEDED})`,
  ignore,
  async fn() {
    await using live = await Live.open();
    const argv = ["sh", "-c", EATER, "sh", `${live.base}/go`];
    const session = await live.launch("claude-bob", [], argv);
    const { stdout } = await live.tmux(session.sock, "list-panes", "-a", "-F", "#{pane_pid}");
    const pane = Number(stdout);
    await starveEater(live, pane);
    const exit = await live.record("session-exit", "claude-bob");
    assert.deepEqual([exit["dead_status"], exit["dead_signal"]], ["", "9"]);
    assert.match(
      exit["oom"]!,
      new RegExp(`^Memory cgroup out of memory: Killed process ${pane} \\(tail\\)`),
    );
    await assertSilent(live, session);
    assert.equal(live.records("session-exit").length, 1);
    assert.deepEqual(live.records("server-verdict"), []);
  },
});

Deno.test({
  name:
    `a pane's program killed by somebody: one session-exit with signal 9 and no word of OOM (${NEEDED})`,
  ignore,
  async fn() {
    await using live = await Live.open();
    const session = await live.launch("claude-bob");
    const { stdout } = await live.tmux(session.sock, "list-panes", "-a", "-F", "#{pane_pid}");
    Deno.kill(Number(stdout), "SIGKILL");
    const exit = await live.record("session-exit", "claude-bob");
    assert.deepEqual([exit["dead_signal"], exit["oom"]], ["9", undefined]);
    await assertSilent(live, session);
  },
});

Deno.test({
  name:
    `a child of the pane's program OOM-killed before a kill-server: the verdict names the victim (${NEEDED})`,
  ignore,
  async fn() {
    await using live = await Live.open();
    // The subshell is the victim; its parent goes on.
    const script = `(${EATER}) & wait; exec sleep 10000`;
    const session = await live.launch("claude-bob", [], [
      "sh",
      "-c",
      script,
      "sh",
      `${live.base}/go`,
    ]);
    const shells = await live.until("the child", async () => {
      const found = (await processesOf(live.base)).filter(({ command }) =>
        command.startsWith("sh -c (")
      );
      return found.length === 2 && found;
    });
    const pane = shells.find(({ ppid }) => ppid === session.serverPid)!.pid;
    const child = shells.find(({ ppid }) => ppid === pane)!.pid;
    await live.tick();
    await starveEater(live, child);
    // Nothing is left of it when the next tick looks.
    await live.tick();
    await live.tmux(session.sock, "kill-server");
    await assertRecorded(live, session, { cause: "exit-code", code: "0" });
    const { verdict, confidence, reason } = await verdictOf(live, session);
    assert.deepEqual([verdict, confidence], ["shutdown-request", "possible"]);
    assert.match(
      reason!,
      new RegExp(`its process ${child} \\(tail\\) was killed for want of memory`),
    );
    assert.match(reason!, new RegExp(`Killed process ${child} \\(tail\\)`));
  },
});
