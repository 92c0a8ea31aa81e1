import assert from "node:assert/strict";
import { canLimitMemory, MemoryCgroup } from "./fixtures/memory_cgroup.ts";
import { assertRecorded, assertSilent, type Fields, Live, type Session } from "./live.ts";
import { processesOf, stateOf } from "./live_host.ts";

const NEEDED = "needs root and a memory cgroup";
const ignore = !canLimitMemory;

/** Waits at the file `$1`, then takes all the memory that it can get. */
const WAIT = 'until [ -e "$1" ]; do sleep 0.05; done';
const EATER = `${WAIT}; exec tail /dev/zero`;

/** Feeds a server until the kernel kills it; the one who feeds it lives outside. */
async function starve(live: Live, session: Session): Promise<void> {
  await using cgroup = MemoryCgroup.open(16)!;
  cgroup.add(session.serverPid);
  const feed = 'head -c 268435456 /dev/zero | tmux -N -S "$1" load-buffer -';
  const { stderr } = await live.startOther("sh", ["-c", feed, "sh", session.sock]).ended;
  assert.match(stderr, /server exited unexpectedly|lost server/);
}

/** The verdict on a session's only death. */
async function verdictOf(live: Live, session: Session): Promise<Fields> {
  const verdict = await live.record("server-verdict", session.identity);
  assert.equal(live.records("server-verdict", session.identity).length, 1);
  const [exit] = live.records("server-exit", session.identity);
  assert.equal(verdict["death"], exit!["death"]);
  return verdict;
}

for (const mode of ["own", "attach"] as const) {
  Deno.test({ name: `${mode} mode: a server that is really OOM-killed is oom-kill, certain, with the kernel's line (${NEEDED})`, ignore }, async () => {
    await using live = await Live.open();
    const session = mode === "own"
      ? await live.launch("claude-bob")
      : await live.launchAttached("claude-bob");
    await starve(live, session);
    await assertRecorded(live, session, mode === "own" ? { cause: "signal", signal: "SIGKILL" } : { cause: "vanished" });
    const { verdict, confidence, reason } = await verdictOf(live, session);
    console.log(verdict, confidence, reason);
    assert.deepEqual([verdict, confidence], ["oom-kill", "certain"]);
    assert.match(reason!, new RegExp(`^kernel log: .*Killed process ${session.serverPid} \\(tmux: server\\)`));
    console.log(Deno.readTextFileSync(live.records("server-exit")[0]!["forensics"]!));
  });
}

Deno.test({ name: `a pane's program OOM-killed under a living server: one session-exit with signal 9 and oom= (${NEEDED})`, ignore }, async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", [], ["sh", "-c", EATER, "sh", `${live.base}/go`]);
  const { stdout } = await live.tmux(session.sock, "list-panes", "-a", "-F", "#{pane_pid}");
  const pane = Number(stdout);
  {
    await using cgroup = MemoryCgroup.open(16)!;
    cgroup.add(pane);
    await Deno.writeTextFile(`${live.base}/go`, "");
    const exit = await live.record("session-exit", "claude-bob");
    console.log(exit);
    assert.equal(exit["dead_signal"], "9");
    assert.match(exit["oom"] ?? "", new RegExp(`^Memory cgroup out of memory: Killed process ${pane} \\(tail\\)`));
  }
  await assertSilent(live, session);
  assert.equal(live.records("session-exit").length, 1);
});
