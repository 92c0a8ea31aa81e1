import assert from "node:assert/strict";
import { cgroupOf, hostOomKill } from "../lib/evidence/cgroup.ts";
import { collectEvidence } from "../lib/evidence/collect.ts";
import { denoFiles } from "../lib/evidence/context.ts";
import * as linux from "../lib/evidence/linux.ts";
import { dmesg, journal, kernelJournal } from "../lib/evidence/linux_logs.ts";
import { decide } from "../lib/verdict.ts";
import * as fixture from "./fixtures/evidence.ts";

const { BOOT, context, death, DIED, fakeFiles, fakeTools, KILLED, PID, result } = fixture;
const denied = "dmesg: read kernel buffer failed: Operation not permitted";

Deno.test("dmesg() finds the kernel's lines about the server", async () => {
  const tools = fakeTools({ dmesg: result({ stdout: fixture.DMESG_OOM }) });
  const finding = await dmesg(context({ tools }));
  assert.equal(finding.state, "found");
  assert.equal(finding.facts.length, 2);
  assert.equal(decide({ death: KILLED, findings: [finding] }).confidence, "certain");
});

Deno.test("dmesg() tells nothing there from not permitted, absent, empty and timed out", async () => {
  const cases = [
    [result({ stdout: fixture.DMESG_QUIET }), "nothing", undefined],
    [result({ code: 1, stderr: `${denied}\n` }), "unseen", denied],
    [result({ code: undefined, failure: "dmesg: not found" }), "unseen", "dmesg: not found"],
    [result(), "unseen", "the kernel log is empty: cleared, or hidden from here"],
    [result({ code: undefined, timedOut: true }), "unseen", "dmesg: timed out"],
  ] as const;
  for (const [answer, state, why] of cases) {
    const finding = await dmesg(context({ tools: fakeTools({ dmesg: answer }) }));
    assert.equal(finding.state, state);
    assert.equal(finding.why, why);
  }
});

Deno.test("dmesg() looks once more for a line that comes after the death", async () => {
  const calls: fixture.Call[] = [];
  let reads = 0;
  const late = () => result({ stdout: reads++ === 0 ? fixture.DMESG_QUIET : fixture.DMESG_OOM });
  const waits: number[] = [];
  const sleep = (ms: number) => Promise.resolve(void waits.push(ms));
  const finding = await dmesg(context({ tools: fakeTools({ dmesg: late }, calls), sleep }));
  assert.equal(finding.state, "found");
  assert.deepEqual(waits, [300]);
  assert.equal(calls.filter(({ tool }) => tool === "dmesg").length, 2);
  const orderly = context({
    tools: fakeTools({ dmesg: result({ stdout: fixture.DMESG_QUIET }) }),
    death: death({ cause: "orderly" }),
    sleep,
  });
  assert.equal((await dmesg(orderly)).state, "nothing");
  assert.equal(waits.length, 1);
});

Deno.test("dmesg() passes over an earlier process with the same pid, and says so", async () => {
  const stdout = `[    0.1] x\n[   50.000000] ${fixture.OOM_LINE}\n`;
  const finding = await dmesg(context({ tools: fakeTools({ dmesg: result({ stdout }) }) }));
  assert.equal(finding.state, "nothing");
  assert.match(finding.why ?? "", /1 line\(s\) name the pid but are older/);
});

Deno.test("dmesg() passes over lines from long after the death", async () => {
  const stdout = `[    0.1] x\n[ 1811.000000] ${fixture.SEGFAULT_LINE}\n`;
  const finding = await dmesg(context({ tools: fakeTools({ dmesg: result({ stdout }) }) }));
  assert.equal(finding.state, "nothing");
});

Deno.test("dmesg() does not believe undated lines, nor a log that has forgotten", async () => {
  const undated = context({ tools: fakeTools({ dmesg: result({ stdout: fixture.OOM_LINE }) }) });
  assert.match((await dmesg(undated)).why ?? "", /cannot be dated/);
  const stdout = "[ 1795.000000] usb: again\n";
  const finding = await dmesg(context({ tools: fakeTools({ dmesg: result({ stdout }) }) }));
  assert.equal(finding.state, "unseen");
  assert.match(finding.why ?? "", /reaches back to .* only/);
});

Deno.test("dmesg() and kernelJournal() do not match pids from inside a container", async () => {
  const ls = result({ stdout: "lrwxrwxrwx 1 a a 0 /proc/self/ns/pid -> pid:[4026532199]\n" });
  const tools = fakeTools({
    ls,
    dmesg: result({ stdout: fixture.DMESG_OOM }),
    journalctl: result({ stdout: `${DIED - 1}.000000 host kernel: ${fixture.OOM_LINE}\n` }),
  });
  for (
    const finding of await Promise.all([
      dmesg(context({ tools })),
      kernelJournal(context({ tools })),
    ])
  ) {
    assert.equal(finding.state, "unseen");
    assert.match(finding.why ?? "", /container/);
  }
});

Deno.test("kernelJournal() asks for the watch's time only, in a form that admits to an absent journal", async () => {
  const calls: fixture.Call[] = [];
  const stdout = `${DIED - 1}.250000 host kernel: ${fixture.SEGFAULT_LINE}\n`;
  const tools = fakeTools({ journalctl: result({ stdout }) }, calls);
  const finding = await kernelJournal(context({ tools }));
  assert.equal(finding.facts[0]?.kind, "kernel-crash");
  const args = calls.find(({ tool }) => tool === "journalctl")?.args ?? [];
  assert(args.includes("-k") && args.includes("short-unix"));
  assert(args.includes(`--since=@${BOOT + 99}`) && args.includes(`--until=@${DIED + 10}`));
});

Deno.test("journal() and kernelJournal() take an absent or hidden journal for unseen, not for empty", async () => {
  const hints = [
    "No journal files were found.",
    "Hint: You are currently not seeing messages from other users and the system.",
    "No journal files were opened due to insufficient permissions.",
  ];
  for (const hint of hints) {
    const tools = fakeTools({
      journalctl: result({ stdout: "-- No entries --\n", stderr: `${hint}\n` }),
    });
    for (const look of [journal, kernelJournal]) {
      const finding = await look(context({ tools }));
      assert.equal(finding.state, "unseen");
      assert.equal(finding.why, hint);
    }
  }
  const empty = fakeTools({ journalctl: result({ stdout: "-- No entries --\n" }) });
  assert.equal((await journal(context({ tools: empty }))).state, "nothing");
});

Deno.test("journal() keeps what it found where more is hidden", async () => {
  const stdout = `${
    DIED - 1
  }.0 host systemd[2036]: x.scope: Killing process ${PID} (tmux: server) with signal SIGKILL.\n`;
  const stderr = "Hint: You are currently not seeing messages from other users and the system.";
  const finding = await journal(
    context({ tools: fakeTools({ journalctl: result({ stdout, stderr }) }) }),
  );
  assert.equal(finding.state, "found");
  assert.match(finding.why ?? "", /not seeing/);
});

Deno.test("vmstat() and cgroupCounter() compare with the count at arming", async () => {
  const cat = (args: readonly string[]) =>
    result({
      stdout: args[0] === "/proc/vmstat" ? "nr_free 1\noom_kill 4\n" : "oom 1\noom_kill 2\n",
    });
  const ctx = context({
    tools: fakeTools({ cat }),
    cgroup: { path: "/x", units: [], counterFile: "/sys/x", oomKill: 2 },
  });
  assert.deepEqual((await linux.vmstat(ctx)).facts, [{
    kind: "oom-counter",
    of: "host",
    from: 3,
    to: 4,
  }]);
  assert.equal((await linux.cgroupCounter(ctx)).state, "nothing");
  const unknown = context({ death: { ...KILLED, oomKillAtArming: undefined } });
  assert.equal((await linux.vmstat(unknown)).state, "unseen");
  assert.equal((await linux.cgroupCounter(unknown)).state, "unseen");
});

Deno.test("cgroupCounter() cannot look where the cgroup went with the server", async () => {
  const cat = result({ code: 1, stderr: "cat: /sys/x: No such file or directory\n" });
  const cgroup = { path: "/x", units: [], counterFile: "/sys/x", oomKill: 0 };
  const finding = await linux.cgroupCounter(context({ tools: fakeTools({ cat }), cgroup }));
  assert.equal(finding.state, "unseen");
  assert.equal(finding.why, "/sys/x is gone");
});

Deno.test("coredumps() tells no dumps from no journal, and dates them", async () => {
  const look = (answer: Parameters<typeof result>[0]) =>
    linux.coredumps(context({ tools: fakeTools({ coredumpctl: result(answer) }) }));
  assert.equal((await look({ code: 1, stderr: "No coredumps found.\n" })).state, "nothing");
  assert.equal((await look({ stderr: "No journal files were found.\n" })).state, "unseen");
  assert.equal((await look({ code: 1, stderr: "unrecognized option\n" })).state, "unseen");
  const entry = { pid: PID, sig: 11, exe: "/usr/bin/tmux" };
  const list = (time: number) => JSON.stringify([{ ...entry, time: time * 1e6 }]);
  assert.equal((await look({ stdout: list(DIED) })).state, "found");
  assert.equal((await look({ stdout: list(BOOT + 10) })).state, "nothing");
});

Deno.test("lastMarks() and bootMark() take an empty book for unseen", async () => {
  const tools = fakeTools({
    last: result({ stdout: "\nwtmp begins Tue May 20 00:00:00 2025\n" }),
    who: result(),
  });
  for (const look of [linux.lastMarks, linux.bootMark]) {
    assert.equal((await look(context({ tools }))).state, "unseen");
  }
});

Deno.test("pressure(), bootId() and unitOf() give what they read", async () => {
  const files = fakeFiles({ "/proc/pressure": { memory: "some avg10=0.00\n" } });
  const tools = fakeTools({ sysctl: result({ stdout: "47ee525c\n" }) });
  const cgroup = { path: "/a.slice/b.scope", units: ["a.slice", "b.scope"] };
  const ctx = context({ files, tools, cgroup });
  assert.deepEqual((await linux.pressure(ctx)).facts, [
    { kind: "reading", name: "memory pressure", value: "some avg10=0.00" },
  ]);
  assert.deepEqual((await linux.bootId(ctx)).facts, [{
    kind: "reading",
    name: "boot id",
    value: "47ee525c",
  }]);
  assert.equal((await linux.unitOf(ctx)).facts[0]?.kind, "unit");
  assert.equal((await linux.pressure(context())).state, "unseen");
});

Deno.test("cgroupOf() and hostOomKill() read what is to be recorded at arming", async () => {
  const answers: Record<string, string> = {
    [`/proc/${PID}/cgroup`]: "0::/a.slice/b.scope\n",
    "/sys/fs/cgroup/unified/a.slice/b.scope/memory.events": "oom 2\noom_kill 1\n",
    "/proc/vmstat": "oom_kill 9\n",
  };
  const tools = fakeTools({
    cat([path = ""]) {
      const stdout = answers[path];
      return stdout === undefined ? result({ code: 1, stderr: "cat: no" }) : result({ stdout });
    },
  });
  assert.deepEqual(await cgroupOf(tools, PID), {
    path: "/a.slice/b.scope",
    units: ["a.slice", "b.scope"],
    counterFile: "/sys/fs/cgroup/unified/a.slice/b.scope/memory.events",
    oomKill: 1,
  });
  assert.equal(await hostOomKill(tools), 9);
  assert.equal(await cgroupOf(fakeTools({}), PID), undefined);
  assert.equal(await hostOomKill(fakeTools({})), undefined);
});

Deno.test("collectEvidence() gives up what does not come back in time, and what throws", async () => {
  const findings = await collectEvidence(context(), {
    deadlineMs: 1,
    collectors: {
      "dmesg": () => new Promise(() => {}),
      "last": () => Promise.reject(new Error("broken")),
    },
  });
  assert.deepEqual(findings.map(({ source, state, why }) => [source, state, why]), [
    ["dmesg", "unseen", "timed out"],
    ["last", "unseen", "broken"],
  ]);
});

Deno.test("collectEvidence() names each source as its place in the list does", async () => {
  const findings = await collectEvidence(context());
  assert.deepEqual(findings.map(({ source }) => source), Object.keys(linux.LINUX));
  assert.deepEqual(await collectEvidence(context({ platform: "plan9" })), []);
});

Deno.test("every tool is run with a time limit and bounded output", async () => {
  const calls: fixture.Call[] = [];
  const cgroup = { path: "/x", units: [], counterFile: "/sys/x", oomKill: 2 };
  await collectEvidence(context({ tools: fakeTools({}, calls), cgroup }));
  assert(calls.length > 8);
  for (const { tool, options } of calls) {
    assert((options?.timeoutMs ?? Infinity) <= 2500, tool);
    assert((options?.maxBytes ?? Infinity) <= 1 << 20, tool);
  }
});

Deno.test("denoFiles reads no more than it is asked for, and no pipe", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/a`, "x".repeat(200_000));
    assert.equal((await denoFiles.readText(`${dir}/a`, 100_000)).length, 100_000);
    assert.deepEqual(await denoFiles.list(dir), ["a"]);
    await assert.rejects(denoFiles.readText(dir, 10), /not a regular file/);
    await assert.rejects(denoFiles.readText(`${dir}/none`, 10));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("collectors take tools that throw for tools that could not be asked", async () => {
  const tools = { run: () => Promise.reject(new Error("spawn\nfailed")) };
  const finding = await dmesg(context({ tools }));
  assert.deepEqual(finding, { source: "dmesg", state: "unseen", why: "spawn failed", facts: [] });
});
