/**
 * What becomes of a session that ended: decisions as data, no effects.
 *
 * @module
 */

import { DEFAULTS } from "./config.ts";
import type { End, RestartPolicy, SessionRecord } from "./sessions.ts";

/** What is to be done with a session that ended. */
export type Decision = "restart" | "rest" | "crash-loop";

/** How a session ended. */
export type Ending =
  /** Its server died unasked. */
  | "death"
  /** Its program failed. */
  | "failure"
  /** Its program ended with exit code 0. */
  | "success"
  /** Somebody wanted it: stop, idle reap, replace. */
  | "wanted";

const RESTARTS: Readonly<Record<RestartPolicy, Readonly<Record<Ending, boolean>>>> = {
  "never": { death: false, failure: false, success: false, wanted: false },
  "on-failure": { death: true, failure: true, success: false, wanted: false },
  "always": { death: true, failure: true, success: true, wanted: false },
};

/**
 * How a settled session ended.
 *
 * @param record The session, after it was settled.
 * @param how What {@linkcode settle} found.
 * @returns The ending.
 */
export function endingOf(record: SessionRecord, how: "claimed" | "death"): Ending {
  if (how === "death") return "death";
  if (record.state !== "gone" || record.lastExit === undefined) return "wanted";
  return record.lastExit.status === "0" ? "success" : "failure";
}

/**
 * Decides about a session that ended.
 *
 * @param restart Its policy.
 * @param ending How it ended.
 * @param ends When it ended before and now, in this boot.
 * @param uptime Seconds since boot.
 * @returns `crash-loop` when it would be restarted but ended too often.
 *
 * @example The third end within five minutes
 * ```ts
 * import assert from "node:assert/strict";
 * import { decide } from "./policy.ts";
 *
 * const ends = [{ uptime: 10 }, { uptime: 100 }, { uptime: 200 }];
 * assert.equal(decide("always", "death", ends.slice(1), 200), "restart");
 * assert.equal(decide("always", "death", ends, 200), "crash-loop");
 * ```
 */
export function decide(
  restart: RestartPolicy,
  ending: Ending,
  ends: readonly End[],
  uptime: number,
): Decision {
  if (!RESTARTS[restart][ending]) return "rest";
  return recent(ends, uptime).length >= DEFAULTS.crashLoopDeaths ? "crash-loop" : "restart";
}

/**
 * The ends that count for the crash-loop guard.
 *
 * @param ends All that are known, of this boot.
 * @param uptime Seconds since boot.
 * @returns Those of the last 300 seconds.
 */
export function recent(ends: readonly End[], uptime: number): End[] {
  return ends.filter((end) =>
    end.uptime <= uptime && uptime - end.uptime <= DEFAULTS.crashLoopSecs
  );
}
