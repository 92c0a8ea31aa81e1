/**
 * Times of this process and of others on one axis, and what many of them say.
 *
 * @module
 */

/** Wall clock minus `performance.now()`, in milliseconds. */
export type Origin = number;

/**
 * Finds the wall clock's place on the axis of `performance.now()`.
 *
 * Asked anew around every measurement: the wall clock can be set or slewed in
 * between, and `performance.timeOrigin` would not know.
 *
 * @returns What to add to `performance.now()` to get the epoch.
 */
export function wallOrigin(): Origin {
  const before = Date.now();
  let wall = before;
  // The moment at which the millisecond changes tells the fraction that is missing.
  while (wall === before) wall = Date.now();
  return wall - performance.now();
}

/**
 * Makes sure that the wall clock still stands where it stood.
 *
 * @param origin Where that was.
 * @throws {Error} If it was moved since.
 */
export function checkWall(origin: Origin): void {
  const moved = wallOrigin() - origin;
  if (Math.abs(moved) > 1) {
    throw new Error(`Cannot measure: the wall clock was moved by ${moved.toFixed(1)} ms`);
  }
}

/**
 * The time that a whole-millisecond stamp stands for: the middle of its
 * millisecond, so that many of them are right on average.
 *
 * @param ms A stamp of another process, in epoch milliseconds.
 * @returns Epoch milliseconds.
 */
export function middleOf(ms: number): number {
  return Number.isInteger(ms) ? ms + 0.5 : ms;
}

/** What many measurements of one thing say. */
export interface Summary {
  readonly n: number;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/**
 * Median and spread.
 *
 * @param values Measurements, in any order.
 * @returns `undefined` if there are none.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { summaryOf } from "./clock.ts";
 *
 * assert.deepEqual(summaryOf([3, 1, 2]), { n: 3, median: 2, p10: 1.2, p90: 2.8 });
 * assert.equal(summaryOf([]), undefined);
 * ```
 */
export function summaryOf(values: readonly number[]): Summary | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => {
    const place = share * (sorted.length - 1);
    const low = Math.floor(place);
    const from = sorted[low]!;
    return from + (sorted[Math.min(low + 1, sorted.length - 1)]! - from) * (place - low);
  };
  return { n: sorted.length, median: at(0.5), p10: at(0.1), p90: at(0.9) };
}
