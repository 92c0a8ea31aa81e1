import assert from "node:assert/strict";
import { type Death, readDeath } from "../lib/deaths.ts";
import { fakePath } from "./fixtures/fake_path.ts";
import { assertRecorded, Live, type Session, SLEEP } from "./live.ts";
import { sendSignal } from "./live_host.ts";

const LINUX = { ignore: Deno.build.os !== "linux" };

/** The entry of a session's death, once everything about it is written down. */
async function entryOf(live: Live, session: Session): Promise<Death> {
  const { death } = await live.record("server-verdict", session.identity);
  return await live.until("the entry is closed", () => {
    const entry = readDeath(live.ctx, death!);
    return entry?.step === "closed" && entry;
  });
}

/** A session whose canary has other tools than we have. */
async function launchWith(
  live: Live,
  changes: Readonly<Record<string, string | undefined>>,
): Promise<Session> {
  const PATH = await fakePath(live, changes);
  return await live.launch("claude-bob", [], SLEEP, { env: { PATH } });
}

/** What the entry says of each source. */
function states({ findings }: Death): Record<string, string> {
  return Object.fromEntries(findings!.map(({ source, state }) => [source, state]));
}

Deno.test(
  "tools that are not installed could not be looked at, and no word of nothing there",
  LINUX,
  async () => {
    await using live = await Live.open();
    const absent = ["dmesg", "journalctl", "coredumpctl", "last", "who"];
    const session = await launchWith(
      live,
      Object.fromEntries(absent.map((tool) => [tool, undefined])),
    );
    sendSignal(session.serverPid, "SIGKILL");
    await assertRecorded(live, session, { signal: "SIGKILL" });
    const death = await entryOf(live, session);
    assert.equal(death.verdict, "killed");
    for (
      const source of ["dmesg", "journalctl -k", "journalctl", "coredumpctl", "last", "who -b"]
    ) {
      assert.equal(states(death)[source], "unseen", source);
    }
    assert.match(
      death.reason!,
      /could not look at dmesg \(not found\), journalctl -k \(not found\), /,
    );
    assert.doesNotMatch(
      death.reason!,
      /nothing about it in [^;]*(dmesg|journalctl|coredumpctl|last)/,
    );
  },
);

Deno.test(
  "a journal that is empty and says so with 0, and a kernel log without a line, could not be looked at",
  LINUX,
  async () => {
    await using live = await Live.open();
    const session = await launchWith(live, {
      journalctl: 'echo "No journal files were found." >&2',
      dmesg: "exit 0",
      coredumpctl: 'echo "No coredumps found." >&2; exit 1',
    });
    sendSignal(session.serverPid, "SIGKILL");
    await assertRecorded(live, session, { signal: "SIGKILL" });
    const death = await entryOf(live, session);
    const seen = states(death);
    assert.deepEqual(
      [seen["dmesg"], seen["journalctl -k"], seen["journalctl"], seen["coredumpctl"]],
      ["unseen", "unseen", "unseen", "nothing"],
    );
    assert.match(death.reason!, /dmesg \(the kernel log is empty/);
    assert.match(death.reason!, /journalctl -k \(No journal files were found\.\)/);
  },
);

Deno.test(
  "without any place that would show an OOM kill, a SIGKILL is killed, possible",
  LINUX,
  async () => {
    await using live = await Live.open();
    const session = await launchWith(live, {
      journalctl: undefined,
      dmesg: "echo 'dmesg: read kernel buffer failed: Operation not permitted' >&2; exit 1",
      // The counters of OOM kills are hidden, processes are not.
      cat:
        'case "$*" in *vmstat*|*cgroup*) exit 1 ;; esac; for f; do while IFS= read -r l; do echo "$l"; done <"$f"; done 2>/dev/null',
    });
    sendSignal(session.serverPid, "SIGKILL");
    await assertRecorded(live, session, { signal: "SIGKILL" });
    const { verdict, confidence, reason } = await entryOf(live, session);
    assert.deepEqual([verdict, confidence], ["killed", "possible"]);
    assert.doesNotMatch(reason!, /nothing about it/);
  },
);

Deno.test(
  "an attach canary without any place to look calls a server that vanished unknown",
  LINUX,
  async () => {
    await using live = await Live.open();
    const { sock, pid } = await live.foreignServer("other");
    const PATH = await fakePath(live, {
      journalctl: undefined,
      dmesg: undefined,
      coredumpctl: undefined,
    });
    await live.ok(["adopt", "--identity", "claude-bob", "--sock", sock], { env: { PATH } });
    sendSignal(pid, "SIGKILL");
    const { verdict, confidence, reason } = await live.record("server-verdict", "claude-bob");
    assert.deepEqual([verdict, confidence], ["unknown", "possible"]);
    assert.match(reason!, /SIGKILL or a crash.*could not look at dmesg/);
  },
);

/** The most memory that a process has had, in KiB. */
function peakOf(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

Deno.test(
  "tools that print 100 MB, garbage, half a document or never end cost neither verdict nor memory",
  LINUX,
  async () => {
    await using live = await Live.open();
    const hostile =
      "[ 1.0] Out of memory: Killed process 1 (\\033]0;x\\007) total-vm:1kB,task=,pid=1 traps: a[1] ip:";
    const session = await launchWith(live, {
      dmesg: "head -c 100000000 /dev/urandom",
      journalctl:
        `printf '%b' '${hostile}' | tr -d '\\n' >"$0.line"; yes "$(cat "$0.line")" | head -c 100000000`,
      coredumpctl: `printf '[{"time":1669548359983740,"pid":'`,
      last: "head -c 3000000 /dev/urandom",
      who: "exec sleep 1000",
      uname: "yes | tr -d '\\n'",
    });
    const before = peakOf(session.canaryPid);
    sendSignal(session.serverPid, "SIGKILL");
    let peak = 0;
    const { verdict } = await live.until("the verdict", () => {
      peak = Math.max(peak, peakOf(session.canaryPid));
      return live.records("server-verdict")[0];
    });
    assert.equal(verdict, "killed");
    const death = await live.until("the entry is closed", () => {
      peak = Math.max(peak, peakOf(session.canaryPid));
      const entry = readDeath(live.ctx, live.records("server-verdict")[0]!["death"]!);
      return entry?.step === "closed" && entry;
    });
    assert(before > 0 && peak - before < 200 * 1024, `${before} KiB before, ${peak} KiB at most`);
    assert.equal(states(death)["who -b"], "unseen");
    assert.equal(states(death)["coredumpctl"], "unseen");
    const { size } = await Deno.stat(death.forensics!);
    assert(size < 2 << 20, `a snapshot of ${size} bytes`);
    // deno-lint-ignore no-control-regex -- a terminal must not obey them.
    assert.doesNotMatch(await Deno.readTextFile(death.forensics!), /[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
  },
);
