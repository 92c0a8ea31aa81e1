import assert from "node:assert/strict";
import type { Death } from "../lib/deaths.ts";
import type { Fact } from "../lib/evidence.ts";
import { evidenceLines, leadSections, timelineLines, verdictLines } from "../lib/story.ts";
import { OOM_LINE } from "./fixtures/evidence.ts";
import * as facts from "./fixtures/facts.ts";

const AT = Date.UTC(2026, 10, 22, 5, 44, 45, 123);
const DEATH: Death = {
  id: "claude-bob-4242-1795327507",
  step: "closed",
  identity: "claude-bob",
  server: { pid: 4242, startedAt: 1795327507 },
  cause: "signal",
  signal: "SIGKILL",
  witness: "canary",
  observedAt: AT,
  verdict: "killed",
  confidence: "likely",
  reason: "the server was ended by SIGKILL; nothing about it in dmesg",
};

Deno.test("verdictLines() gives verdict, reason, and how many went with it", () => {
  assert.deepEqual(verdictLines(DEATH), ["killed (likely)", DEATH.reason]);
  assert.deepEqual(verdictLines({ ...DEATH, peersLost: 3 }).at(-1), "peers_lost=3");
  const { verdict: _verdict, ...open } = DEATH;
  assert.deepEqual(verdictLines(open), ["(not reached)"]);
});

Deno.test("timelineLines() tells times in UTC and the distance from one to the next", () => {
  const moments = [
    { at: AT, what: "a" },
    { at: AT + 12, what: "b" },
    { at: AT + 65_012, what: "c" },
    { at: AT + 3_600_000, what: "d" },
    { at: AT + 90 * 3_600_000, what: "e" },
  ];
  assert.deepEqual(timelineLines(moments), [
    "2026-11-22T05:44:45.123Z              a",
    "2026-11-22T05:44:45.135Z      +12 ms  b",
    "2026-11-22T05:45:50.135Z       +65 s  c",
    "2026-11-22T06:44:45.123Z     +59 min  d",
    "2026-11-25T23:44:45.123Z       +89 h  e",
  ]);
  assert.deepEqual(timelineLines([]), []);
});

Deno.test("evidenceLines() keeps found, nothing there and could not look apart", () => {
  const lines = evidenceLines([
    { source: "journalctl -k", state: "unseen", why: "journalctl: not found", facts: [] },
    {
      source: "last",
      state: "unseen",
      why: "it has no entries: nobody keeps them here",
      facts: [],
    },
    { source: "/proc/vmstat", state: "nothing", facts: [] },
    { source: "dmesg", state: "found", facts: [facts.oom] },
  ]);
  assert.deepEqual(lines, [
    "found:",
    "  dmesg",
    `    2026-11-22T04:29:49Z  ${OOM_LINE}`,
    "looked, nothing there:",
    "  /proc/vmstat",
    "could not look:",
    "  journalctl -k: not found",
    "  last: it has no entries: nobody keeps them here",
  ]);
  assert.deepEqual(evidenceLines([]), []);
});

/** How a fact reads. */
function told(fact: Fact): string {
  return evidenceLines([{ source: "x", state: "found", facts: [fact] }])[2]!.trim();
}

Deno.test("evidenceLines() tells every kind of fact in words", () => {
  const { at: _at, ...undated } = facts.report;
  const cases: [Fact, RegExp][] = [
    [
      { kind: "reading", name: "memory pressure", value: "some 1\nfull 2" },
      /^memory pressure: some 1; full 2$/,
    ],
    [facts.hostRise, /^OOM kills of the host: 3 when the watch began, 4 now$/],
    [
      facts.unit,
      /^server \d+ lived in \/user\.slice\/\S+ \(user\.slice \/ user-1000\.slice \/ session-3\.scope\)$/,
    ],
    [{ ...facts.unit, units: [] }, /\(no unit of systemd\)$/],
    [facts.core, /^\S+Z {2}core dump of \/usr\/bin\/tmux \(\d+\) by SIGSEGV$/],
    [undated, /^tmux \(\d+\): EXC_BAD_ACCESS, SIGSEGV \| \/r\/tmux\.ips$/],
    [
      { ...undated, termination: { namespace: "SIGNAL", byProc: "zsh", byPid: 77 } },
      /EXC_BAD_ACCESS, SIGSEGV, SIGNAL, by zsh \(77\)/,
    ],
    [facts.jetsam, /tmux \(\d+\): vm-pageshortage, 5 bytes \| \/r\/J$/],
    [facts.systemdKill, /^\S+Z {2}session-3\.scope: Killing process/],
  ];
  for (const [fact, expected] of cases) assert.match(told(fact), expected);
});

Deno.test("leadSections() begins with the verdict, and takes secrets out of all of it", () => {
  const sections = leadSections(
    {
      ...DEATH,
      reason: "it said password=hunter2hunter2",
      findings: [{
        source: "dmesg",
        state: "found",
        facts: [{ ...facts.oom, line: "token=abcdefgh12345678" }],
      }],
    },
    [{ at: AT, what: "claim by stop (--api-key s3cretS3cret99)" }],
    { flight: [], memory: [] },
  );
  assert.deepEqual(sections.map(({ title }) => title), [
    "verdict",
    "timeline",
    "evidence",
    "flight recorder",
  ]);
  const text = sections.map(({ body }) => body).join("\n");
  assert.doesNotMatch(text, /hunter2|abcdefgh|s3cret/);
  assert.match(sections[3]!.body, /^\(nothing there: no canary was watching\)$/);
});

Deno.test("leadSections() draws what was recorded", () => {
  const curves = { flight: [[AT, 1024, null, 0.5]] as const, memory: [[AT, 10]] as const };
  const body = leadSections(DEATH, [], curves)[3]!.body;
  assert.match(body, /^available memory {2}▁\n {18}1 MiB at 05:44:45 → /);
  assert.match(body, /session's memory/);
});
