/**
 * The part of a death's account that is written for people: verdict, timeline,
 * evidence, curves.
 *
 * @module
 */

import type { Death } from "./deaths.ts";
import type { Fact, Finding } from "./evidence.ts";
import { whyOf } from "./evidence/reasons.ts";
import { drawCurves, type FlightSample } from "./flight.ts";
import type { Section } from "./forensics.ts";
import { redact } from "./redact.ts";

/** Something that happened at a time. */
export interface Moment {
  /** Epoch milliseconds. */
  readonly at: number;
  /** In a few words. */
  readonly what: string;
}

/** What was recorded before the death. */
export interface Curves {
  /** The machine over the last half hour. */
  readonly flight: readonly FlightSample[];
  /** Resident size of the session's processes: epoch ms, KiB. */
  readonly memory: readonly (readonly [at: number, rssKiB: number])[];
}

/**
 * The sections that lead a snapshot.
 *
 * @param death The entry, with its verdict.
 * @param timeline What happened when.
 * @param curves What was recorded before.
 * @returns Verdict, timeline, evidence, and the curves if there are any.
 */
export function leadSections(
  death: Death,
  timeline: readonly Moment[],
  curves: Curves,
): Section[] {
  const drawn = drawCurves(curves.flight, curves.memory, clock);
  return [
    section("verdict", "the evidence below", verdictLines(death)),
    section("timeline", "journal and logs, UTC", timelineLines(timeline)),
    section("evidence", "what was looked at", evidenceLines(death.findings ?? [])),
    section(
      "flight recorder",
      "samples by canary and supervisor",
      drawn.length > 0 ? drawn : ["(nothing there: no canary was watching)"],
    ),
  ];
}

function section(title: string, source: string, lines: readonly string[]): Section {
  return { title, source, body: lines.map((line) => redact(line)).join("\n") };
}

/** The verdict and its reason. */
export function verdictLines({ verdict, confidence, reason, peersLost }: Death): string[] {
  if (verdict === undefined) return ["(not reached)"];
  return [
    `${verdict} (${confidence})`,
    reason ?? "",
    ...(peersLost === undefined ? [] : [`peers_lost=${peersLost}`]),
  ];
}

/** One line a moment: time, and the distance to the one before. */
export function timelineLines(timeline: readonly Moment[]): string[] {
  return timeline.map(({ at, what }, n) => {
    const before = timeline[n - 1]?.at;
    const gap = before === undefined ? "" : `+${distance(at - before)}`;
    return `${new Date(at).toISOString()}  ${gap.padStart(10)}  ${what}`;
  });
}

function distance(ms: number): string {
  if (ms < 10_000) return `${Math.round(ms)} ms`;
  const secs = Math.round(ms / 1000);
  if (secs < 600) return `${secs} s`;
  return secs < 36_000 ? `${Math.round(secs / 60)} min` : `${Math.round(secs / 3600)} h`;
}

function clock(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19);
}

const HEADINGS = {
  found: "found",
  nothing: "looked, nothing there",
  unseen: "could not look",
} as const;

/** What was found, what was not there, and what could not be seen. */
export function evidenceLines(findings: readonly Finding[]): string[] {
  return (["found", "nothing", "unseen"] as const).flatMap((state) => {
    const those = findings.filter((finding) => finding.state === state);
    if (those.length === 0) return [];
    return [
      `${HEADINGS[state]}:`,
      ...those.flatMap((finding) => {
        const why = whyOf(finding);
        return [
          `  ${finding.source}${why === undefined ? "" : `: ${why}`}`,
          ...finding.facts.map((fact) => `    ${factLine(fact)}`),
        ];
      }),
    ];
  });
}

/** A fact for reading; a quoted line last, as it was. */
function factLine(fact: Fact): string {
  // Whole seconds: when the kernel's clock began is not known better than that.
  const when = "at" in fact && fact.at !== undefined
    ? `${new Date(Math.floor(fact.at) * 1000).toISOString().slice(0, 19)}Z  `
    : "";
  return `${when}${told(fact)}`.replaceAll(/\s*\n\s*/g, "; ");
}

function told(fact: Fact): string {
  switch (fact.kind) {
    case "reading":
      return `${fact.name}: ${fact.value}`;
    case "oom-counter":
      return `OOM kills of the ${fact.of}: ${fact.from} when the watch began, ${fact.to} now`;
    case "unit": {
      const units = fact.units.length === 0 ? "no unit of systemd" : fact.units.join(" / ");
      return `server ${fact.pid} lived in ${fact.cgroup} (${units})`;
    }
    case "core-dump":
      return `core dump of ${fact.exe} (${fact.pid}) by ${fact.signal}`;
    case "crash-report": {
      const { namespace, indicator, byProc, byPid } = fact.termination ?? {};
      const by = byPid === undefined ? byProc : `${byProc ?? "process"} (${byPid})`;
      const how = [fact.exception, fact.signal, namespace, indicator, by && `by ${by}`];
      return `${fact.name} (${fact.pid}): ${how.filter(Boolean).join(", ")} | ${fact.path}`;
    }
    case "jetsam": {
      const size = fact.bytes === undefined ? "" : `, ${fact.bytes} bytes`;
      return `${fact.name} (${fact.pid}): ${fact.reason}${size} | ${fact.path}`;
    }
    default:
      return fact.line;
  }
}
