/**
 * The flight recorder: how memory, swap and load went before a death.
 *
 * @module
 */

import { warnOnce } from "./context.ts";

/** Seconds between two samples. */
export const FLIGHT_STEP_SECS = 5;
/** Samples kept: 30 minutes. */
const FLIGHT_SAMPLES = 360;

/** One look at the machine; `null` for the swap of one that has none. */
export type FlightSample = readonly [
  at: number,
  availableKiB: number,
  swapFreeKiB: number | null,
  load: number,
];

/** Keeps the last half hour in memory; asks Deno only, so that it starts nothing. */
export class FlightRecorder implements Disposable {
  readonly #samples: FlightSample[] = [];
  readonly #timer: ReturnType<typeof setInterval>;

  /**
   * Begins to sample; the first one is taken at once.
   *
   * @param also What else is to be done at every step: one timer wakes less
   * often than two.
   */
  constructor(also: () => void = () => {}) {
    this.#sample();
    this.#timer = setInterval(() => {
      this.#sample();
      also();
    }, FLIGHT_STEP_SECS * 1000);
  }

  #sample(): void {
    try {
      const { available, swapFree, swapTotal } = Deno.systemMemoryInfo();
      const load = Math.round(Deno.loadavg()[0]! * 100) / 100;
      this.#samples.push([Date.now(), kib(available), swapTotal > 0 ? kib(swapFree) : null, load]);
      if (this.#samples.length > FLIGHT_SAMPLES) this.#samples.shift();
    } catch (error) {
      warnOnce(`the flight recorder cannot read the machine's memory: ${error}`);
    }
  }

  /**
   * What was recorded, and a last look now.
   *
   * @returns Oldest first.
   */
  read(): FlightSample[] {
    this.#sample();
    return [...this.#samples];
  }

  /** Stops sampling. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function kib(bytes: number): number {
  return Math.round(bytes / 1024);
}

const BLOCKS = "▁▂▃▄▅▆▇█";

/**
 * Draws values as a row of blocks, the smallest lowest, the largest highest.
 *
 * @param values Any numbers.
 * @param width At most so many characters; more values are averaged.
 * @returns The row; level values give a row of the lowest block.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { sparkline } from "./flight.ts";
 *
 * assert.equal(sparkline([0, 1, 2, 7]), "▁▂▃█");
 * ```
 */
export function sparkline(values: readonly number[], width = 60): string {
  const shown = values.length <= width ? [...values] : Array.from({ length: width }, (_, n) => {
    const from = Math.floor(n * values.length / width);
    const part = values.slice(from, Math.floor((n + 1) * values.length / width));
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const low = Math.min(...shown);
  const high = Math.max(...shown);
  // A curve that is nearly level shall not look like a mountain range.
  const span = Math.max(high - low, Math.abs(high) / 20);
  return shown.map((value) =>
    BLOCKS[span === 0 ? 0 : Math.round((value - low) / span * (BLOCKS.length - 1))]
  ).join("");
}

/** A named curve, for people. */
interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [at: number, value: number])[];
  readonly show: (value: number) => string;
}

/**
 * Draws curves with their figures: where they began, the extremes with their
 * times, where they ended.
 *
 * @param flight Samples of the machine.
 * @param memory Resident size of the session's processes, as ticks saw it.
 * @param time How a time is written.
 * @returns Lines; none if there is nothing to draw.
 */
export function drawCurves(
  flight: readonly FlightSample[],
  memory: readonly (readonly [at: number, rssKiB: number])[],
  time: (ms: number) => string,
): string[] {
  const curves: Curve[] = [
    { name: "available memory", points: flight.map(([at, kib]) => [at, kib]), show: size },
    {
      name: "free swap",
      points: flight.flatMap(([at, , kib]) => kib === null ? [] : [[at, kib] as const]),
      show: size,
    },
    { name: "load", points: flight.map(([at, , , load]) => [at, load]), show: String },
    { name: "session's memory", points: memory, show: size },
  ];
  return curves.filter(({ points }) => points.length > 0).flatMap(({ name, points, show }) => {
    const values = points.map(([, value]) => value);
    const by = (pick: (...values: number[]) => number) => {
      const value = values.reduce((a, b) => pick(a, b));
      return `${show(value)} at ${time(points.find((point) => point[1] === value)![0])}`;
    };
    return [
      `${name.padEnd(16)}  ${sparkline(values)}`,
      `${"".padEnd(16)}  ${show(values[0]!)} at ${time(points[0]![0])} → ${
        show(values.at(-1)!)
      } at ${time(points.at(-1)![0])}; lowest ${by(Math.min)}; highest ${by(Math.max)}`,
    ];
  });
}

function size(kib: number): string {
  if (kib >= 1024 * 1024) return `${(kib / 1024 / 1024).toFixed(1)} GiB`;
  return kib >= 1024 ? `${Math.round(kib / 1024)} MiB` : `${kib} KiB`;
}
