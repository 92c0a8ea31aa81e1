/**
 * Reads macOS's unified log, as `log show --style ndjson` writes it.
 *
 * @module
 */

import { type Fact, oneLine } from "../evidence.ts";
import { parseReportTime } from "./ips.ts";

/** What `log show` is asked for: kills for memory, and of an app's coalition. */
export const PREDICATE: string = '(process == "kernel" AND eventMessage CONTAINS "memorystatus")' +
  ' OR (process == "loginwindow" AND (eventMessage CONTAINS "coalition" OR eventMessage CONTAINS "killPID"))';

/** `memorystatus: killing_specific_process pid 123 [tmux] (…) …`. */
const KILLING_PID = /^memorystatus: killing_\w{1,60} pid (\d{1,10}) \[(.{0,64}?)\]/;
/** `memorystatus: killing largest compressed process kfx [70716] 48617 MB`. */
const KILLING_LARGEST =
  /^memorystatus: killing largest compressed process (.{0,64}) \[(\d{1,10})\] \d{1,15} MB/;
const COALITION = /_LSForceQuitApplication: .{0,200}?killing coalition pid \d{1,10}/;
const KILL_PID = /\bkillPID: pid=(\d{1,10}) hard=\w{1,5} succeeded/;

/**
 * Reads one message of the kernel or of loginwindow.
 *
 * @param message The message.
 * @param at When, in epoch seconds.
 * @returns What it says, or `undefined` if it is about other things.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseLogMessage } from "./unified_log.ts";
 *
 * const fact = parseLogMessage("memorystatus: killing largest compressed process kfx [70716] 48617 MB");
 * assert(fact?.kind === "memorystatus" && fact.pid === 70716 && fact.name === "kfx");
 * ```
 */
export function parseLogMessage(
  message: string,
  at?: number,
): Fact | undefined {
  const when = at === undefined ? {} : { at };
  const killing = KILLING_PID.exec(message);
  if (killing !== null) {
    const name = killing[2] ?? "";
    return {
      kind: "memorystatus",
      pid: Number(killing[1]),
      name,
      ...when,
      line: oneLine(message),
    };
  }
  const largest = KILLING_LARGEST.exec(message);
  if (largest !== null) {
    const name = largest[1] ?? "";
    return {
      kind: "memorystatus",
      pid: Number(largest[2]),
      name,
      ...when,
      line: oneLine(message),
    };
  }
  const killed = KILL_PID.exec(message);
  if (killed !== null) {
    return {
      kind: "coalition-kill",
      pid: Number(killed[1]),
      ...when,
      line: oneLine(killed[0]),
    };
  }
  const coalition = COALITION.exec(message);
  if (coalition === null) return undefined;
  return { kind: "coalition-kill", ...when, line: oneLine(coalition[0]) };
}

/**
 * Reads the output of `log show --style ndjson`. The sender of a line counts
 * too: anyone can log a line that speaks of memorystatus.
 *
 * @param text The output; half a line at either end is passed over.
 * @returns What it says.
 */
export function parseLogShow(text: string): Fact[] {
  const facts: Fact[] = [];
  for (const line of text.split("\n")) {
    if (line.length > 20_000 || !line.startsWith("{")) continue;
    let entry: Record<string, unknown>;
    try {
      entry = JSON.parse(line);
    } catch {
      continue;
    }
    const { eventMessage, timestamp, processImagePath } = entry;
    if (typeof eventMessage !== "string") continue;
    const fact = parseLogMessage(
      eventMessage.slice(0, 2000),
      parseReportTime(timestamp),
    );
    if (fact === undefined) continue;
    const sender = typeof processImagePath === "string" ? processImagePath.split("/").at(-1) : "";
    const expected = fact.kind === "memorystatus" ? "kernel" : "loginwindow";
    // Where the field is absent the predicate has already chosen by sender.
    if (sender === "" || sender === expected) facts.push(fact);
  }
  return facts;
}

/**
 * Writes a moment the way `log show --start` reads it.
 *
 * @param epoch Epoch seconds.
 * @returns Local time, such as `2026-11-22 05:44:45`.
 */
export function logTime(epoch: number): string {
  const at = new Date(epoch * 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())]
    .join("-");
  return `${day} ${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":")}`;
}
