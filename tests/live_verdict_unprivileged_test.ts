import assert from "node:assert/strict";
import { readCanaryNote } from "../lib/watcher.ts";
import { canBeNobody, canDenyDmesg, denyDmesg, Nobody } from "./fixtures/nobody.ts";
import { canLimitMemory } from "./fixtures/memory_cgroup.ts";
import { Live } from "./live.ts";
import { processesOf, run } from "./live_host.ts";
import type { Death } from "../lib/deaths.ts";
import { listDeaths } from "../lib/deaths.ts";

/** A death that is recorded to its end. */
function closed(live: Live, nobody: Nobody): Promise<Death> {
  return live.until(
    "a closed entry",
    () => listDeaths(nobody.ctx).find((death) => death.step === "closed"),
  );
}

Deno.test({
  name:
    "a user who is denied dmesg is told that it could not be looked at, never that nothing was there (needs root, or a restricted dmesg)",
  ignore: !canDenyDmesg,
  async fn() {
    using _denied = denyDmesg();
    await using live = await Live.open();
    await using nobody = await Nobody.of(live);
    const serverPid = await nobody.launch("claude-bob");
    // What the counters say now is compared with what they said at arming.
    await live.until(
      "the canary has looked around",
      () => readCanaryNote(nobody.ctx, "claude-bob")?.armed,
    );
    Deno.kill(serverPid, "SIGKILL");
    const { verdict, confidence, reason, findings, forensics } = await closed(live, nobody);
    assert.equal(verdict, "killed");
    assert.match(
      reason!,
      /could not look at [^;]*dmesg \(read kernel buffer failed: Operation not permitted\)/,
    );
    assert.doesNotMatch(reason!, /nothing about it in [^;]*dmesg/);
    const dmesg = findings!.find(({ source }) => source === "dmesg");
    assert.equal(dmesg?.state, "unseen");
    // The counter of the whole machine can be read by anyone.
    assert.equal(confidence, "likely");
    assert.equal(findings!.find(({ source }) => source === "/proc/vmstat")?.state, "nothing");
    const snapshot = await Deno.readTextFile(forensics!);
    const [, hidden] = snapshot.split("could not look:");
    assert.match(hidden!, /^ {2}dmesg: read kernel buffer failed: Operation not permitted$/m);
    const { code, stdout, stderr } = await nobody.cli(["deaths", "claude-bob"]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /killed \(likely\)/);
  },
});

Deno.test({
  name:
    "a user who is denied dmesg is told that a SIGSEGV may have been sent (needs root, or a restricted dmesg)",
  ignore: !canDenyDmesg,
  async fn() {
    using _denied = denyDmesg();
    await using live = await Live.open();
    await using nobody = await Nobody.of(live);
    Deno.kill(await nobody.launch("claude-bob"), "SIGSEGV");
    const { verdict, confidence, reason } = await closed(live, nobody);
    assert.deepEqual([verdict, confidence], ["crash", "likely"]);
    assert.match(reason!, /whether it was sent cannot be told: could not look at dmesg/);
    assert.doesNotMatch(reason!, /no kernel line/);
  },
});

Deno.test({
  name:
    "drill --kind oom as a user without a memory cgroup says that it cannot and why, and leaves nothing",
  ignore: !canBeNobody,
  async fn() {
    await using live = await Live.open();
    await using nobody = await Nobody.of(live);
    const { code, stdout, stderr } = await nobody.cli(["drill", "--kind", "oom"]);
    assert.equal(code, 1, stdout);
    assert.match(
      stderr,
      /^iapeer: Cannot hold an OOM drill here: \S.*; run it as root or in a delegated memory cgroup/m,
    );
    assert.deepEqual(nobody.belongings, []);
    assert.deepEqual(await processesOf(live.base), []);
  },
});

Deno.test({
  name:
    "drill --kind oom has a server killed by the kernel and finds oom-kill, certain (needs root, memory cgroups and dmesg)",
  ignore: !canLimitMemory,
  async fn() {
    await using live = await Live.open();
    const { passed, seen, records, snapshot } = JSON.parse(
      await live.ok(["drill", "--kind", "oom", "--json"]),
    );
    assert(passed, seen);
    assert.match(seen, /verdict oom-kill \(certain\)/);
    assert.match(
      records.join("\n"),
      /ev=server-verdict .*verdict=oom-kill confidence=certain reason="kernel log: [^"]*Killed process/,
    );
    await assert.rejects(Deno.stat(snapshot), Deno.errors.NotFound);
    await assert.rejects(Deno.stat(live.root), Deno.errors.NotFound);
    assert.deepEqual(await live.processes(), []);
    await live.until(
      "its cgroup is removed",
      async () =>
        (await run("find", ["/sys/fs/cgroup", "-maxdepth", "2", "-name", "iapeer-drill-*"]))
          .stdout === "",
    );
  },
});
