/**
 * Reads the reports that macOS writes (`.ips`): two JSON documents in one file,
 * a header on the first line and the body after it.
 *
 * @module
 */

import { type Fact, oneLine, type Termination } from "../evidence.ts";

/** The two documents of a report. */
export interface Report {
  /** The first line. */
  readonly header: Readonly<Record<string, unknown>>;
  /** The rest. */
  readonly body: Readonly<Record<string, unknown>>;
}

type Json = Record<string, unknown>;

function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Json : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? oneLine(value, 120) : "";
}

function pidOf(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) > 0 ? value as number : undefined;
}

/**
 * Takes a report apart.
 *
 * @param text Content of the file.
 * @returns Both documents, or `undefined` if they are not both there and whole.
 */
export function parseReport(text: string): Report | undefined {
  const end = text.indexOf("\n");
  if (end < 0) return undefined;
  try {
    const header: unknown = JSON.parse(text.slice(0, end));
    const body: unknown = JSON.parse(text.slice(end + 1));
    return { header: objectOf(header), body: objectOf(body) };
  } catch {
    return undefined;
  }
}

/**
 * Reads a time as reports and the unified log write it.
 *
 * @param value Such as `2025-07-14 23:54:01.8649 -0700`.
 * @returns Epoch seconds, or `undefined` if it is no such time.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseReportTime } from "./ips.ts";
 *
 * assert.equal(parseReportTime("2025-07-14 23:54:01.50 -0700"), 1752562441.5);
 * ```
 */
export function parseReportTime(value: unknown): number | undefined {
  if (typeof value !== "string") return undefined;
  const found = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,9})? ?([+-]\d\d):?(\d\d)$/
    .exec(value);
  if (found === null) return undefined;
  const whole = Date.parse(`${found[1]}T${found[2]}${found[4]}:${found[5]}`) /
    1000;
  return Number.isFinite(whole) ? whole + Number(found[3] ?? 0) : undefined;
}

/**
 * Reads a crash report.
 *
 * @param report The report.
 * @param path Where it lies.
 * @returns Who crashed and how; `undefined` if it is of another kind than
 * `bug_type` 309, or names nobody.
 */
export function crashOf(
  report: Report,
  path: string,
): Extract<Fact, { kind: "crash-report" }> | undefined {
  const { body, header } = report;
  if (header.bug_type !== "309") return undefined;
  const pid = pidOf(body.pid);
  if (pid === undefined) return undefined;
  const exception = objectOf(body.exception);
  const at = parseReportTime(body.captureTime) ??
    parseReportTime(header.timestamp);
  return {
    kind: "crash-report",
    pid,
    name: textOf(body.procName),
    exception: textOf(exception.type),
    signal: textOf(exception.signal),
    ...(body.termination === undefined ? {} : { termination: terminationOf(body.termination) }),
    path,
    ...(at === undefined ? {} : { at }),
  };
}

function terminationOf(value: unknown): Termination {
  const { namespace, indicator, byProc, byPid } = objectOf(value);
  const sender = pidOf(byPid);
  return {
    ...(typeof namespace === "string" ? { namespace: textOf(namespace) } : {}),
    ...(typeof indicator === "string" ? { indicator: textOf(indicator) } : {}),
    ...(typeof byProc === "string" ? { byProc: textOf(byProc) } : {}),
    ...(sender === undefined ? {} : { byPid: sender }),
  };
}

/**
 * Reads the report of a jetsam event. Victims are the processes that carry a
 * reason; `largestProcess` merely was the largest.
 *
 * @param report The report.
 * @param path Where it lies.
 * @param pids Whom to look for.
 * @returns Those of them that were killed; nobody if it is of another kind than
 * `bug_type` 298.
 */
export function jetsamVictims(
  report: Report,
  path: string,
  pids: ReadonlySet<number>,
): Extract<Fact, { kind: "jetsam" }>[] {
  const { body, header } = report;
  if (header.bug_type !== "298" || !Array.isArray(body.processes)) return [];
  const at = parseReportTime(body.date) ?? parseReportTime(header.timestamp);
  const pageSize = objectOf(body.memoryStatus).pageSize;
  const victims: Extract<Fact, { kind: "jetsam" }>[] = [];
  for (const item of body.processes as unknown[]) {
    const { pid, name, rpages, reason } = objectOf(item);
    if (typeof reason !== "string" || reason === "") continue;
    const whom = pidOf(pid);
    if (whom === undefined || !pids.has(whom)) continue;
    const counted = typeof rpages === "number" && typeof pageSize === "number";
    victims.push({
      kind: "jetsam",
      pid: whom,
      name: textOf(name),
      reason: textOf(reason),
      ...(counted ? { bytes: rpages * pageSize } : {}),
      path,
      ...(at === undefined ? {} : { at }),
    });
  }
  return victims;
}

/**
 * The date in a report's file name, which is when it was written.
 *
 * @param name Such as `tmux-2025-07-14-235402.ips`, local time.
 * @returns Epoch seconds, or `undefined` if the name holds none.
 */
export function reportNameTime(name: string): number | undefined {
  const found = /-(\d{4})-(\d\d)-(\d\d)-(\d\d)(\d\d)(\d\d)(?:[^\d].{0,100})?$/
    .exec(name);
  if (found === null) return undefined;
  const [year, month, day, hour, minute, second] = found.slice(1).map(Number);
  return new Date(
    year ?? 0,
    (month ?? 1) - 1,
    day ?? 1,
    hour ?? 0,
    minute ?? 0,
    second ?? 0,
  ).getTime() / 1000;
}
