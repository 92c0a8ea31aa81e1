import assert from "node:assert/strict";
import fc from "fast-check";
import { parseCgroup } from "../lib/evidence/cgroup.ts";
import { collectEvidence } from "../lib/evidence/collect.ts";
import { MAX_FACTS } from "../lib/evidence/context.ts";
import { crashOf, jetsamVictims, parseReport, parseReportTime } from "../lib/evidence/ips.ts";
import { parseCoredumps, parseSystemdJournal } from "../lib/evidence/journal.ts";
import { parseDmesg, parseKernelJournal } from "../lib/evidence/kernel_log.ts";
import { dmesg } from "../lib/evidence/linux_logs.ts";
import { parseLast, parseWhoBoot } from "../lib/evidence/logins.ts";
import { parseLogShow } from "../lib/evidence/unified_log.ts";
import { decide } from "../lib/verdict.ts";
import * as fixture from "./fixtures/evidence.ts";

const { BOOT, context, fakeFiles, fakeTools, KILLED, PID, result } = fixture;

/** Everything that reads foreign text. */
const PARSERS: ((text: string) => unknown)[] = [
  (text) => parseDmesg(text, BOOT),
  parseKernelJournal,
  parseSystemdJournal,
  (text) => parseCoredumps(text, PID),
  parseLast,
  parseWhoBoot,
  parseCgroup,
  parseLogShow,
  parseReportTime,
  (text) => {
    const report = parseReport(text);
    return report && [crashOf(report, "/r"), jetsamVictims(report, "/r", new Set([PID]))];
  },
];

const SAMPLES = [
  fixture.DMESG_OOM,
  `1795321789.0 host systemd[1]: x.scope: Killing process ${PID} (tmux: server) with signal SIGKILL.\n`,
  fixture.CRASH_IPS,
  fixture.JETSAM_IPS,
  fixture.logLine("/kernel", "memorystatus: killing_specific_process pid 1 [x] (y)"),
  "bob pts/0 Sat Nov 21 05:00:00 2026 - Sat Nov 21 05:09:48 2026  (00:09)\n",
];

Deno.test("parsers take garbage and damaged samples without throwing", () => {
  const damaged = fc.tuple(
    fc.constantFrom(...SAMPLES),
    fc.nat(400),
    fc.nat(30),
    fc.string({ unit: "binary" }),
  )
    .map(([sample, at, count, junk]) => sample.slice(0, at) + junk + sample.slice(at + count));
  fc.assert(
    fc.property(fc.oneof(damaged, fc.string({ unit: "binary", maxLength: 500 })), (text) => {
      for (const parse of PARSERS) parse(text);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("parsers take any JSON for a report or a list of dumps", () => {
  fc.assert(fc.property(fc.json(), fc.json(), (one, two) => {
    for (const parse of PARSERS) {
      parse(one);
      parse(`${one.replaceAll("\n", "")}\n${two}`);
      parse(`{"bug_type":"309"}\n${two}`);
      parse(`{"bug_type":"298"}\n{"processes":${two}}`);
    }
  }));
});

Deno.test("parsers take long lines made to make patterns backtrack", () => {
  const lines = [
    "[".repeat(300_000),
    "1.0 h " + "a ".repeat(150_000),
    "1.0 h systemd[1]: " + "x.service".repeat(40_000),
    "1.0 h systemd[1]: Stopping " + ".scope".repeat(50_000),
    '1.0 h earlyoom: sending SIGTERM to process 1 "' + '": '.repeat(100_000),
    "[ 1.0] traps: " + "[1] ".repeat(70_000),
    "[ 1.0] Out of memory" + " ".repeat(300_000) + ": Killed process 1",
    "oom-kill:constraint=CONSTRAINT_NONE," + ",task=,pid=1".repeat(25_000),
    "0::" + "/a.slice".repeat(40_000),
    "Sat Nov 21 05:00:00 2026 ".repeat(12_000),
    '{"a":'.repeat(50_000) + "\n" + "[".repeat(200_000),
    JSON.stringify({ eventMessage: "_LSForceQuitApplication: ".repeat(500) }),
  ];
  for (const line of lines) {
    for (const parse of PARSERS) parse(line);
  }
});

Deno.test("collectors keep few facts of a flood, the server's among them", async () => {
  const flood = Array.from(
    { length: 20_000 },
    (_, index) => `[ 1500.000000] Out of memory: Killed process ${20_000 + index} (x) total-vm:1kB`,
  );
  const stdout = `[    0.1] x\n[ 1400.0] ${fixture.OOM_LINE}\n${flood.join("\n")}\n`;
  const finding = await dmesg(context({ tools: fakeTools({ dmesg: result({ stdout }) }) }));
  assert.equal(finding.facts.length, MAX_FACTS);
  assert.equal(decide({ death: KILLED, findings: [finding] }).confidence, "certain");
});

Deno.test("collectors read the tail that a cap has left of huge output", async () => {
  const stdout = "\ufffd".repeat(1_000_000) + "half a line\n" + fixture.DMESG_OOM;
  const tools = fakeTools({ dmesg: result({ stdout, truncated: true }) });
  assert.equal((await dmesg(context({ tools }))).state, "found");
});

Deno.test("collectEvidence() never rejects, whatever tools and files give", async () => {
  const answers = fc.record({
    code: fc.constantFrom(0, 1, 64, undefined),
    stdout: fc.oneof(fc.constantFrom(...SAMPLES), fc.string({ unit: "binary" }), fc.json()),
    stderr: fc.string({ unit: "binary" }),
    timedOut: fc.boolean(),
  }).map(result);
  const platforms = fc.constantFrom("linux", "darwin");
  await fc.assert(
    fc.asyncProperty(
      platforms,
      answers,
      fc.string({ unit: "binary" }),
      async (platform, answer, text) => {
        const names = [
          "dmesg",
          "journalctl",
          "cat",
          "coredumpctl",
          "last",
          "who",
          "sysctl",
          "ls",
          "log",
          "vm_stat",
        ];
        const findings = await collectEvidence(context({
          platform,
          home: "/h",
          tools: fakeTools(Object.fromEntries(names.map((name) => [name, answer]))),
          files: fakeFiles({
            "/h/Library/Logs/DiagnosticReports": { "tmux-x.ips": text },
            "/Library/Logs/DiagnosticReports": { "JetsamEvent-x.ips": text },
            "/proc/pressure": { memory: text },
          }),
          cgroup: { path: "/x", units: [], counterFile: "/sys/x", oomKill: 0 },
        }));
        for (const { state, why, facts } of findings) {
          assert.equal(state === "found", facts.length > 0);
          if (state === "unseen") assert(why !== undefined);
        }
        decide({ death: KILLED, findings: JSON.parse(JSON.stringify(findings)) });
      },
    ),
    { numRuns: 300 },
  );
});
