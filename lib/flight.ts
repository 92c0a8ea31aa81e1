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

/** Every so many samples the recorder's owner is told. */
const TELL_EVERY = 2;
/** And at these parts of the first step, one after the other. */
const TELL_EARLY = [0.05, 0.05, 0.1, 0.2, 0.4];
const FIELDS = 4;

/**
 * Samples, and sleeps in a futex. A timer of Deno's event loop wakes its thread
 * four times for each time it fires, a thread that waits wakes once; a message
 * wakes its receiver as often as a timer, a notified `Atomics.waitAsync` once
 * [measured, 2.9.6]: 0.2 against 0.85 context switches per second for one look
 * in five. Given as text, because a module of its own could not be loaded
 * without the right to read the program's folder.
 *
 * `control` holds: stop, samples taken, times told.
 */
const SAMPLER =
  `onmessage = ({ data: { control, values, stepMs, kept, fields, every, early } }) => {
  const pause = (ms) => Atomics.wait(control, 0, 0, ms);
  const tell = () => {
    Atomics.add(control, 2, 1);
    Atomics.notify(control, 2);
  };
  const sample = () => {
    const { available, swapFree, swapTotal } = Deno.systemMemoryInfo();
    const count = control[1];
    values.set([Date.now(), available, swapTotal > 0 ? swapFree : -1, Deno.loadavg()[0]],
      count % kept * fields);
    Atomics.store(control, 1, count + 1);
    if (count % every === every - 1) tell();
  };
  for (const part of early) {
    pause(part * stepMs);
    tell();
  }
  while (pause(stepMs) === "timed-out") sample();
  close();
};`;

/** Keeps the last half hour in memory; asks Deno only, so that it starts nothing. */
export class FlightRecorder implements Disposable {
  readonly #control = new Int32Array(new SharedArrayBuffer(12));
  readonly #values = new Float64Array(
    new SharedArrayBuffer(FLIGHT_SAMPLES * FIELDS * Float64Array.BYTES_PER_ELEMENT),
  );
  /** To start the sampler, which holds this thread up, once the caller has done what cannot wait. */
  readonly #soon: ReturnType<typeof setTimeout>;
  #worker: Worker | undefined;

  /**
   * Begins to sample; the first one is taken at once.
   *
   * @param also What else is to be done now and then: several times during the
   * first step, and with every second sample.
   * @param stepMs Milliseconds between two samples.
   */
  constructor(also: () => void = () => {}, stepMs = FLIGHT_STEP_SECS * 1000) {
    // The sampler takes tens of milliseconds to start; a server can die before.
    const first = look();
    if (first !== undefined) {
      this.#values.set([Date.now(), ...first]);
      Atomics.store(this.#control, 1, 1);
    }
    this.#soon = setTimeout(() => this.#start(also, stepMs));
  }

  #start(also: () => void, stepMs: number): void {
    const url = URL.createObjectURL(new Blob([SAMPLER], { type: "text/javascript" }));
    try {
      this.#worker = new Worker(url, { type: "module" });
      this.#worker.onerror = (event) => {
        event.preventDefault();
        warnOnce(`the flight recorder has stopped: ${event.message}`);
      };
      this.#worker.postMessage({
        control: this.#control,
        values: this.#values,
        stepMs,
        kept: FLIGHT_SAMPLES,
        fields: FIELDS,
        every: TELL_EVERY,
        early: TELL_EARLY,
      });
      void this.#listen(also);
    } catch (error) {
      warnOnce(`the flight recorder cannot be started: ${error}`);
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  /**
   * What was recorded, and a last look now: the sampler's own is up to a step
   * old.
   *
   * @returns Oldest first.
   */
  read(): FlightSample[] {
    const count = Atomics.load(this.#control, 1);
    const from = Math.max(0, count - FLIGHT_SAMPLES);
    const samples = Array.from({ length: count - from }, (_, n) => {
      const start = (from + n) % FLIGHT_SAMPLES * FIELDS;
      const [at, ...figures] = this.#values.subarray(start, start + FIELDS);
      return sampleOf(at!, figures as [number, number, number]);
    });
    const last = look();
    if (last !== undefined) samples.push(sampleOf(Date.now(), last));
    return samples.slice(-FLIGHT_SAMPLES);
  }

  async #listen(also: () => void): Promise<void> {
    for (let told = 0;; told = Atomics.load(this.#control, 2)) {
      const { async, value } = Atomics.waitAsync(this.#control, 2, told);
      if (async) await value;
      if (Atomics.load(this.#control, 0) !== 0) return;
      also();
    }
  }

  /** Stops sampling. */
  [Symbol.dispose](): void {
    clearTimeout(this.#soon);
    Atomics.store(this.#control, 0, 1);
    Atomics.notify(this.#control, 0);
    Atomics.notify(this.#control, 2);
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}

/** Available memory and free swap in bytes (-1: there is none), load of the last minute. */
function look(): readonly [number, number, number] | undefined {
  try {
    const { available, swapFree, swapTotal } = Deno.systemMemoryInfo();
    return [available, swapTotal > 0 ? swapFree : -1, Deno.loadavg()[0]!];
  } catch (error) {
    warnOnce(`the flight recorder cannot read the machine's memory: ${error}`);
    return undefined;
  }
}

function sampleOf(
  at: number,
  [available, swapFree, load]: readonly [number, number, number],
): FlightSample {
  return [at, kib(available), swapFree < 0 ? null : kib(swapFree), Math.round(load * 100) / 100];
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
