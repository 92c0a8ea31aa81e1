import assert from "node:assert/strict";
import { collectEvidence } from "../lib/evidence/collect.ts";
import {
  crashReports,
  jetsamEvents,
  MACOS,
  sysctls,
  unifiedLog,
  vmStat,
} from "../lib/evidence/macos.ts";
import { decide } from "../lib/verdict.ts";
import * as fixture from "./fixtures/evidence.ts";

const { context, CRASH_IPS, fakeFiles, fakeTools, IPS_AT, JETSAM_IPS, KILLED, logLine, result } =
  fixture;
const OWN = "/Users/bob/Library/Logs/DiagnosticReports";
const SYSTEM = "/Library/Logs/DiagnosticReports";

/** A death on the fixtures' Mac. */
function died(pid = 9580) {
  const { signal: _signal, armedAt: _armedAt, ...rest } = KILLED;
  const server = { pid, startedAt: IPS_AT - 3600 };
  return { ...rest, cause: "vanished" as const, server, observedAt: (IPS_AT + 0.2) * 1000 };
}

/** A name as macOS gives it, in local time. */
function named(program: string, at = IPS_AT): string {
  const day = new Date(at * 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const date = [day.getFullYear(), two(day.getMonth() + 1), two(day.getDate())].join("-");
  const time = [day.getHours(), day.getMinutes(), day.getSeconds()].map(two).join("");
  return `${program}-${date}-${time}.ips`;
}

const mac = (changes: Parameters<typeof context>[0] = {}) =>
  context({ platform: "darwin", home: "/Users/bob", death: died(), ...changes });

Deno.test("crashReports() finds the report about the server, and who sent its signal", async () => {
  const files = fakeFiles({ [OWN]: { [named("tmux")]: CRASH_IPS, "other.ips": "x" } });
  const finding = await crashReports(mac({ files }));
  assert.equal(finding.state, "found");
  const { verdict, reason } = decide({ death: died(), findings: [finding] });
  assert.equal(verdict, "killed");
  assert(reason.includes("sent by zsh (43731)"), reason);
});

Deno.test("crashReports() passes over other pids, old reports and earlier processes", async () => {
  const files = fakeFiles({ [OWN]: { [named("tmux")]: CRASH_IPS } });
  assert.equal((await crashReports(mac({ files, death: died(9581) }))).state, "nothing");
  const old = fakeFiles({ [OWN]: { [named("tmux", IPS_AT - 86_400)]: "not read" } });
  assert.equal((await crashReports(mac({ files: old }))).state, "nothing");
  const later = {
    ...died(),
    server: { pid: 9580, startedAt: IPS_AT + 100 },
    observedAt: (IPS_AT + 200) * 1000,
  };
  const kept = fakeFiles({ [OWN]: { "tmux.ips": CRASH_IPS } });
  assert.equal((await crashReports(mac({ files: kept, death: later }))).state, "nothing");
});

Deno.test("crashReports() cannot look where no folder can be read, or a report is broken", async () => {
  assert.equal((await crashReports(mac())).state, "unseen");
  const half = fakeFiles({ [OWN]: { [named("tmux")]: CRASH_IPS.slice(0, 300) } });
  const finding = await crashReports(mac({ files: half }));
  assert.equal(finding.state, "unseen");
  assert.match(finding.why ?? "", /not a whole report/);
  const own = await crashReports(mac({ files: fakeFiles({ [OWN]: {} }) }));
  assert.equal(own.state, "nothing");
  assert.match(own.why ?? "", /Permission denied/);
});

Deno.test("jetsamEvents() finds the victim, never the largest process", async () => {
  const files = fakeFiles({ [SYSTEM]: { [named("JetsamEvent")]: JETSAM_IPS } });
  const finding = await jetsamEvents(mac({ files, death: died(46005) }));
  assert.equal(finding.facts[0]?.kind, "jetsam");
  assert.equal(decide({ death: died(46005), findings: [finding] }).verdict, "jetsam");
  assert.equal((await jetsamEvents(mac({ files }))).state, "nothing");
});

Deno.test("jetsamEvents() cannot look without the right to", async () => {
  const finding = await jetsamEvents(mac());
  assert.equal(finding.state, "unseen");
  assert.match(finding.why ?? "", /Permission denied/);
});

Deno.test("unifiedLog() finds kills around the death, within ten seconds", async () => {
  const calls: fixture.Call[] = [];
  const stdout = [
    logLine(
      "/kernel",
      "memorystatus: killing_specific_process pid 9580 [tmux] (vm-pageshortage 100)",
    ),
    logLine("/kernel", "memorystatus: killing_specific_process pid 9580 [old] (x)", IPS_AT - 7200),
  ].join("\n");
  const finding = await unifiedLog(mac({ tools: fakeTools({ log: result({ stdout }) }, calls) }));
  assert.equal(finding.facts.length, 1);
  assert.equal(decide({ death: died(), findings: [finding] }).verdict, "jetsam");
  assert.equal(calls[0]?.options?.timeoutMs, 10_000);
  assert.equal(calls[0].args[0], "show");
});

Deno.test("unifiedLog() says that one must be admin, and keeps what came before a time limit", async () => {
  const stderr = "log: Must be admin to run 'show' command\n";
  const denied = await unifiedLog(mac({ tools: fakeTools({ log: result({ code: 64, stderr }) }) }));
  assert.equal(denied.state, "unseen");
  assert.equal(denied.why, "log: Must be admin to run 'show' command");
  const slow = result({
    code: undefined,
    timedOut: true,
    stdout: logLine("/kernel", "memorystatus: killing_idle_process pid 9580 [tmux] …") + '\n{"half',
  });
  const cut = await unifiedLog(mac({ tools: fakeTools({ log: slow }) }));
  assert.equal(cut.state, "found");
  assert.equal(cut.why, "log: timed out");
});

Deno.test("vmStat() and sysctls() give their readings", async () => {
  const stdout =
    "vm.swapusage: total = 4096.00M  used = 2947.81M\nkern.bootsessionuuid: AB-CD\nsysctl: noise\n";
  const tools = fakeTools({
    sysctl: result({ stdout }),
    vm_stat: result({ stdout: "Pages free: 1.\n" }),
  });
  const { facts } = await sysctls(mac({ tools }));
  assert.deepEqual(facts, [
    { kind: "reading", name: "vm.swapusage", value: "total = 4096.00M  used = 2947.81M" },
    { kind: "reading", name: "kern.bootsessionuuid", value: "AB-CD" },
  ]);
  assert.equal((await vmStat(mac({ tools }))).facts.length, 1);
});

Deno.test("collectEvidence() looks at macOS's places on macOS, and sees nothing where it may not", async () => {
  const findings = await collectEvidence(mac());
  assert.deepEqual(findings.map(({ source }) => source), Object.keys(MACOS));
  assert(findings.every(({ state }) => state === "unseen"));
  const { verdict, confidence } = decide({ death: died(), findings });
  assert.equal(verdict, "unknown");
  assert.equal(confidence, "possible");
});
