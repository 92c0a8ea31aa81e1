import assert from "node:assert/strict";
import { parseCgroup } from "../lib/evidence/cgroup.ts";
import {
  crashOf,
  jetsamVictims,
  parseReport,
  parseReportTime,
  reportNameTime,
} from "../lib/evidence/ips.ts";
import {
  parseCoredumps,
  parseJournalLine,
  parseSystemdEntry,
  parseSystemdJournal,
} from "../lib/evidence/journal.ts";
import { parseDmesg, parseKernelMessage } from "../lib/evidence/kernel_log.ts";
import { parseLast, parseWhoBoot } from "../lib/evidence/logins.ts";
import { logTime, parseLogMessage, parseLogShow } from "../lib/evidence/unified_log.ts";
import * as fixture from "./fixtures/evidence.ts";

const { PID, BOOT } = fixture;

Deno.test("parseKernelMessage() reads both lines of an OOM kill, of a cgroup and of the host", () => {
  for (
    const [line, pid, name, scope] of [
      [fixture.CHOSEN_LINE, PID, "tmux: server", "memcg"],
      [fixture.OOM_LINE, PID, "tmux: server", "memcg"],
      [fixture.GLOBAL_CHOSEN, 239498, "x", "global"],
      [fixture.GLOBAL_OOM, 239498, "x", "global"],
      ["Killed process 7, UID 0, (old) total-vm:1kB, anon-rss:1kB", 7, "old", "global"],
    ] as const
  ) {
    assert.deepEqual(parseKernelMessage(line, 5), {
      kind: "oom-kill",
      pid,
      name,
      scope,
      at: 5,
      line,
    });
  }
});

Deno.test("parseKernelMessage() reads crash lines of x86 and arm64", () => {
  for (const line of [fixture.SEGFAULT_LINE, fixture.TRAP_LINE, fixture.ARM_LINE]) {
    const fact = parseKernelMessage(line);
    assert.equal(fact?.kind, "kernel-crash", line);
    assert.equal(fact.pid, PID);
    assert.equal(fact.name, "tmux: server");
  }
  const fault =
    "traps: tmux: server[7] general protection fault ip:55f1 sp:7ffe error:0 in tmux[1+2]";
  assert.equal(parseKernelMessage(fault)?.pid, 7);
});

Deno.test("parseKernelMessage() is not led astray by the names that processes choose", () => {
  const killed = "Out of memory: Killed process 8 (a) total-vm:1) total-vm:5kB, anon-rss:1kB";
  assert.equal(parseKernelMessage(killed)?.pid, 8);
  const chosen =
    "oom-kill:constraint=CONSTRAINT_NONE,global_oom,task_memcg=/,task=x,pid=1,uid=0,pid=9,uid=5";
  assert.equal(parseKernelMessage(chosen)?.pid, 9);
  assert.equal(parseKernelMessage("x[1]: segfault [9]: segfault at 0 ip 0 sp 0")?.pid, 9);
  assert.equal(
    parseKernelMessage("traps: x[1] trap a ip:[9] trap invalid opcode ip:0 sp:0")?.pid,
    9,
  );
  assert.equal(parseKernelMessage("evil[1]: segfaulty at"), undefined);
  assert.equal(parseKernelMessage("drv: note: Killed process 9 (x) total-vm:5kB"), undefined);
});

Deno.test("parseDmesg() dates lines from boot, with priorities and callers, and keeps them undated without", () => {
  const log = `<6>[    0.500000] begin\n<3>[ 1789.741093][ T11] ${fixture.OOM_LINE}\n`;
  const { facts, oldest } = parseDmesg(log, BOOT);
  assert.equal(oldest, BOOT + 0.5);
  assert.equal(facts[0]?.at, BOOT + 1789.741093);
  assert.equal("at" in (parseDmesg(log, undefined).facts[0] ?? {}), false);
  assert.equal(parseDmesg(fixture.OOM_LINE, BOOT).facts.length, 1);
});

const systemd = (message: string, ident = "systemd[1]") =>
  parseSystemdJournal(`1795321789.500000 host ${ident}: ${message}\n`)[0];

Deno.test("parseSystemdEntry() reads units that lost processes for want of memory", () => {
  const oomd = systemd(
    "x.service: systemd-oomd killed 55 process(es) in this unit.",
    "systemd[2036]",
  );
  assert(oomd?.kind === "unit-oom" && oomd.unit === "x.service" && oomd.by === "systemd-oomd");
  const lost = systemd("x.service: A process of this unit has been killed by the OOM killer.");
  assert(lost?.kind === "unit-oom" && lost.by === "kernel");
  const itself = systemd(
    "Killed /user.slice/a.scope due to memory pressure for /user.slice",
    "systemd-oomd[9]",
  );
  assert(itself?.kind === "unit-oom" && itself.unit === "a.scope");
});

Deno.test("parseSystemdEntry() reads earlyoom, and leaves the command line out", () => {
  const fact = systemd(
    'sending SIGTERM to process 11385 uid 0 "tmux: server": oom_score 800, VmRSS 64 MiB, cmdline "tmux --token s3cret"',
    "earlyoom[77]",
  );
  assert(fact?.kind === "earlyoom" && fact.pid === PID && fact.signal === "SIGTERM");
  assert.equal(fact.name, "tmux: server");
  assert(!JSON.stringify(fact).includes("s3cret"));
  assert.equal(
    systemd('sending SIGTERM to process 1 uid 0 "x": oom_score 1', "bash[5]"),
    undefined,
  );
});

Deno.test("parseSystemdEntry() reads kills, stops, logouts and shutdowns", () => {
  const kill = systemd(
    `session-3.scope: Killing process ${PID} (tmux: server) with signal SIGKILL.`,
  );
  assert(kill?.kind === "systemd-kill" && kill.pid === PID && kill.name === "tmux: server");
  const kinds: [string, string, string | undefined, string?][] = [
    ["Stopping session-3.scope - Session 3 of User bob...", "logout", "session-3.scope"],
    ["Stopping Session 3 of user bob.", "logout", "session-3.scope"],
    ["Stopping User Manager for UID 1000...", "logout", "user@1000.service"],
    [
      "Session 3 logged out. Waiting for processes to exit.",
      "logout",
      "session-3.scope",
      "systemd-logind[4]",
    ],
    ["Stopping iapeer.service - Sessions...", "unit-stop", "iapeer.service"],
    ["System is rebooting.", "shutdown", undefined, "systemd-logind[4]"],
    ["Reached target shutdown.target - System Shutdown.", "shutdown", undefined],
  ];
  for (const [message, kind, unit, ident] of kinds) {
    const fact = systemd(message, ident);
    assert.equal(fact?.kind, kind, message);
    assert.equal(fact !== undefined && "unit" in fact ? fact.unit : undefined, unit);
  }
});

Deno.test("parseSystemdEntry() takes neither effects nor a user's own manager for causes", () => {
  assert.equal(systemd("Removed session 3.", "systemd-logind[4]"), undefined);
  assert.equal(systemd("Reached target shutdown.target - Shutdown.", "systemd[2036]"), undefined);
  assert.equal(
    parseJournalLine("    1795321789.500000 host systemd[1]: System is rebooting."),
    undefined,
  );
  assert.equal(
    parseSystemdEntry({ at: 1, ident: "sudo", message: "System is rebooting." }),
    undefined,
  );
});

Deno.test("parseCoredumps() reads microseconds, and only of the pid", () => {
  const list =
    `[{"time":1669548359983740,"pid":${PID},"uid":0,"gid":0,"sig":11,"corefile":"missing","exe":"/usr/bin/tmux","size":null},` +
    `{"time":1,"pid":5,"sig":6,"exe":"/x"},null,{"pid":${PID}}]`;
  assert.deepEqual(parseCoredumps(list, PID), [
    { kind: "core-dump", pid: PID, signal: "SIGSEGV", exe: "/usr/bin/tmux", at: 1669548359.98374 },
  ]);
  assert.equal(parseCoredumps("TIME PID", PID), undefined);
  assert.equal(parseCoredumps("{}", PID), undefined);
});

Deno.test("parseLast() takes a book without entries for one that nobody keeps", () => {
  assert.equal(parseLast(""), undefined);
  assert.deepEqual(
    parseLast("reboot   system boot  6.1 Sat Nov 21 05:10:11 2026   still running\n"),
    [{
      kind: "shutdown",
      at: new Date(2026, 10, 21, 5, 10, 11).getTime() / 1000,
      line: "reboot system boot 6.1 Sat Nov 21 05:10:11 2026 still running",
    }],
  );
  assert.deepEqual(parseLast("bob pts/0 Sat Nov  1 04:00:00 2026 - crash (01:10)\n"), []);
});

Deno.test("parseWhoBoot() reads the minute, or nothing", () => {
  const at = new Date(2026, 10, 22, 5, 10).getTime() / 1000;
  assert.equal(parseWhoBoot("         system boot  2026-11-22 05:10\n"), at);
  assert.equal(parseWhoBoot(""), undefined);
});

Deno.test("parseCgroup() finds the place and its counters on v1, v2 and both", () => {
  assert.deepEqual(parseCgroup("9:name=systemd:/\n4:memory:/a/b\n0::/\n"), {
    path: "/a/b",
    units: [],
    counterFiles: ["/sys/fs/cgroup/memory/a/b/memory.oom_control"],
  });
  const v2 = parseCgroup("0::/user.slice/user@1.service/tmux-spawn-1.scope\n");
  assert.deepEqual(v2?.units, ["user.slice", "user@1.service", "tmux-spawn-1.scope"]);
  assert.equal(
    v2.counterFiles[0],
    "/sys/fs/cgroup/user.slice/user@1.service/tmux-spawn-1.scope/memory.events",
  );
  assert.deepEqual(parseCgroup("0::/../outside\n")?.counterFiles, []);
  assert.equal(parseCgroup("garbage"), undefined);
});

Deno.test("crashOf() reads who crashed, how, and who sent the signal", () => {
  const report = parseReport(fixture.CRASH_IPS);
  assert(report !== undefined);
  const fact = crashOf(report, "/r/x.ips");
  assert.equal(fact?.pid, 9580);
  assert.equal(fact.exception, "EXC_CRASH");
  assert.equal(fact.signal, "SIGABRT");
  assert.deepEqual(fact.termination, {
    namespace: "SIGNAL",
    indicator: "Abort trap: 6",
    byProc: "zsh",
    byPid: 43731,
  });
  assert(Math.abs((fact.at ?? 0) - fixture.IPS_AT) < 0.01);
  assert.equal(crashOf({ header: { bug_type: "298" }, body: report.body }, "/r/x.ips"), undefined);
});

Deno.test("parseReport() gives up on half a report", () => {
  assert.equal(parseReport(fixture.CRASH_IPS.slice(0, -20)), undefined);
  assert.equal(parseReport('{"bug_type":"309"}'), undefined);
});

Deno.test("jetsamVictims() takes the process with a reason, not the largest one", () => {
  const report = parseReport(fixture.JETSAM_IPS);
  assert(report !== undefined);
  const victims = jetsamVictims(report, "/r/J.ips", new Set([9580, 46005]));
  assert.deepEqual(victims.map(({ pid }) => pid), [46005]);
  assert.equal(victims[0]?.reason, "per-process-limit");
  assert.equal(victims[0]?.bytes, 1002 * 16384);
});

Deno.test("parseReportTime() and reportNameTime() read moments, or nothing", () => {
  assert.equal(
    parseReportTime("2025-07-14 23:54:02.00 -0700"),
    Date.UTC(2025, 6, 15, 6, 54, 2) / 1000,
  );
  assert.equal(parseReportTime("yesterday"), undefined);
  const at = new Date(2025, 6, 14, 23, 54, 2).getTime() / 1000;
  assert.equal(reportNameTime("tmux-2025-07-14-235402.ips"), at);
  assert.equal(reportNameTime("tmux.ips"), undefined);
  assert.equal(logTime(at), "2025-07-14 23:54:02");
});

Deno.test("parseLogMessage() reads each kind of kill with the pid that the kernel meant", () => {
  for (
    const [message, pid, name] of [
      ["memorystatus: killing largest compressed process kfx [70716] 48617 MB", 70716, "kfx"],
      ["memorystatus: killing largest compressed process a [1] 2 MB [7] 3 MB", 7, "a [1] 2 MB"],
      [
        "memorystatus: killing_specific_process pid 123 [tmux] (vm-pageshortage 100 12s rf:-) 12345KB",
        123,
        "tmux",
      ],
      ["memorystatus: killing_idle_process pid 123 [tmux] …", 123, "tmux"],
    ] as const
  ) {
    const fact = parseLogMessage(message, 1);
    assert(fact?.kind === "memorystatus", message);
    assert.equal(fact.pid, pid);
    assert.equal(fact.name, name);
  }
  assert.equal(parseLogMessage("low swap: failed to create swapfile"), undefined);
});

Deno.test("parseLogShow() reads ndjson, and heeds who wrote a line", () => {
  const killing = "memorystatus: killing_specific_process pid 123 [tmux] (x)";
  const text = [
    fixture.logLine("/kernel", killing),
    fixture.logLine("/usr/bin/logger", killing),
    fixture.logLine(
      "/System/Library/CoreServices/loginwindow.app/Contents/MacOS/loginwindow",
      "_LSForceQuitApplication: x killing coalition pid 9450",
    ),
    fixture.logLine("/x/loginwindow", "killPID: pid=17489 hard=NO succeeded"),
    '{"count":4,"finished":1}',
    '{"timestamp":"2025-07-14 23:54',
  ].join("\n");
  const facts = parseLogShow(text);
  assert.deepEqual(facts.map(({ kind }) => kind), [
    "memorystatus",
    "coalition-kill",
    "coalition-kill",
  ]);
  const [first, , last] = facts;
  assert(first?.kind === "memorystatus" && Math.abs((first.at ?? 0) - fixture.IPS_AT) < 0.01);
  assert(last?.kind === "coalition-kill" && last.pid === 17489);
});
