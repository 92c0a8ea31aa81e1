/**
 * Reads the system's own book of boots and logins.
 *
 * @module
 */

import { type Fact, oneLine } from "../evidence.ts";
import { linesOf } from "./context.ts";

const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";
const STAMP = /\w{3} (\w{3}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})/g;
const BOOT_STAMP = /(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d)/;

/** Both tools write local time without a zone. */
function localTime(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): number {
  return new Date(year, month, day, hour, minute, second).getTime() / 1000;
}

function stampsOf(line: string): number[] {
  return [...line.matchAll(STAMP)].map((
    [, month = "", day, hour, minute, second, year],
  ) =>
    localTime(
      Number(year),
      Math.max(MONTHS.indexOf(month), 0) / 3 | 0,
      Number(day),
      Number(hour),
      Number(minute),
      Number(second),
    )
  );
}

/**
 * Reads the output of `last -x -F`.
 *
 * @param text The output.
 * @returns Shutdowns, boots and logouts, each with its moment, or `undefined`
 * if the book holds no entry at all: then nobody keeps it.
 *
 * @example A logout and a shutdown
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseLast } from "./logins.ts";
 *
 * const facts = parseLast(
 *   "shutdown system down  6.1.0-18-amd64   Sat Nov 21 05:09:50 2026 - Sat Nov 21 05:10:11 2026  (00:00)\n" +
 *     "bob      pts/0        10.0.0.5         Sat Nov 21 05:00:00 2026 - Sat Nov 21 05:09:48 2026  (00:09)\n",
 * );
 * assert.deepEqual(facts?.map((fact) => fact.kind), ["shutdown", "logout"]);
 * assert.equal(parseLast("\nwtmp begins Wed May 20 00:00:00 2026\n"), undefined);
 * ```
 */
export function parseLast(text: string): Fact[] | undefined {
  const facts: Fact[] = [];
  let entries = 0;
  for (const line of linesOf(text)) {
    if (/^\S{1,64} begins /.test(line)) continue;
    const [start, end] = stampsOf(line);
    if (start === undefined) continue;
    entries++;
    const quoted = oneLine(line);
    if (/^(?:shutdown|reboot) {1,10}system /.test(line)) {
      facts.push({ kind: "shutdown", at: start, line: quoted });
    } else if (!line.startsWith("runlevel ") && end !== undefined) {
      facts.push({ kind: "logout", at: end, line: quoted });
    }
  }
  return entries === 0 ? undefined : facts;
}

/**
 * Reads the output of `who -b`.
 *
 * @param text The output, such as `system boot  2026-11-22 05:10`.
 * @returns When the host came up, to the minute, in epoch seconds; `undefined`
 * if it does not say.
 */
export function parseWhoBoot(text: string): number | undefined {
  const found = BOOT_STAMP.exec(text.slice(0, 1000));
  if (found === null) return undefined;
  const [year, month, day, hour, minute] = found.slice(1).map(Number);
  return localTime(
    year ?? 0,
    (month ?? 1) - 1,
    day ?? 1,
    hour ?? 0,
    minute ?? 0,
    0,
  );
}
