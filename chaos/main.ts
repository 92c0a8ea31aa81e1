/**
 * Random schedules over real tmux servers: whatever is killed, stopped or dies
 * between two writes, every unasked-for death is recorded exactly once, no
 * wanted one is, and nothing is left running.
 *
 * ```text
 * deno task chaos [--seed N] [--schedules N] [--all-points] [--json] [--keep]
 * ```
 *
 * A run without `--seed` takes a fresh one and prints it, so that more is found
 * over time, in the gate as well. Schedule `n` of a run has the seed `N + n`;
 * `--seed S --schedules 1` does the steps of one schedule again. With
 * `--all-points` a run fails, too, that has not had a process die at every
 * fault point. Linux only: it looks into `/proc`.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { balance } from "./books.ts";
import { neglected } from "./duties.ts";
import { Observer } from "./observer.ts";
import { perform } from "./perform.ts";
import { failureText, isGood, type Outcome, reportText, tally } from "./report.ts";
import { scheduleOf } from "./schedule.ts";
import { faultsHit, inconsistent, settle, stopAll } from "./settle.ts";
import { World } from "./world.ts";

/** Schedules under way at once. */
const SIDE_BY_SIDE = 2;

const worlds = new Set<World>();

/** The fault points that the program has, by name. */
function faultPoints(): string[] {
  const dir = fileURLToPath(new URL("../lib", import.meta.url));
  const points = [...Deno.readDirSync(dir)].flatMap(({ name }) =>
    name.endsWith(".ts")
      ? [...Deno.readTextFileSync(`${dir}/${name}`).matchAll(/^\s+faultPoint\("([^"]+)"\);$/gm)]
        .map((match) => match[1]!)
      : []
  );
  return [...new Set(points)].sort();
}

async function hold(
  observer: Observer,
  seed: number,
  points: readonly string[],
  keep: boolean,
): Promise<Outcome> {
  const schedule = scheduleOf(seed, points);
  const world = new World(observer);
  worlds.add(world);
  const from = performance.now();
  const complaints: string[] = [];
  let kept = false;
  try {
    await perform(world, schedule);
    complaints.push(...await settle(world));
    complaints.push(...neglected(world, balance(world)));
    complaints.push(...await stopAll(world));
    complaints.push(...inconsistent(world));
    const books = balance(world);
    if (books.lost > 0) complaints.push(`${books.lost} deaths lost`);
    if (books.doubled > 0) complaints.push(`${books.doubled} deaths recorded twice`);
    if (books.false > 0) complaints.push(`${books.false} records of what was no unasked death`);
    if (books.verdictless > 0) complaints.push(`${books.verdictless} verdicts missing`);
    if (books.verdictsTooMany > 0) complaints.push(`${books.verdictsTooMany} verdicts too many`);
    kept = keep && complaints.length > 0;
    const secs = (performance.now() - from) / 1000;
    const hits = faultsHit(world);
    const text = complaints.length === 0 ? "" : failureText(world, seed, complaints, books, kept);
    return { seed, complaints, books, hits, secs, text };
  } finally {
    await world.close(kept);
    worlds.delete(world);
  }
}

let leaving = false;

/** Told to stop: nothing may be left running. */
async function leave(): Promise<void> {
  if (leaving) return;
  leaving = true;
  await Promise.allSettled([...worlds].map((world) => world.close(false)));
  Deno.exit(130);
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

function whole(text: string, flag: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    print(`Cannot use --${flag} "${text}": give a whole number\n`);
    Deno.exit(2);
  }
  return value;
}

/** The command line; ends the program if it makes no sense. */
function flags() {
  try {
    return parseArgs({
      args: Deno.args,
      options: {
        seed: { type: "string" },
        schedules: { type: "string", default: "60" },
        "all-points": { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    print(`${error instanceof Error ? error.message : error}\n`);
    Deno.exit(2);
  }
}

async function main(): Promise<number> {
  const values = flags();
  const seed = values.seed === undefined
    ? crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000
    : whole(values.seed, "seed");
  const schedules = whole(values.schedules, "schedules");
  const points = faultPoints();
  const from = performance.now();
  const outcomes: Outcome[] = [];
  using observer = new Observer();
  let next = 0;
  if (!values.json) print(`chaos: ${schedules} schedules from seed ${seed}\n`);
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, async () => {
    while (next < schedules) {
      const outcome = await hold(observer, seed + next++, points, values.keep).catch((error) => {
        if (!leaving) throw error;
      });
      // What was begun is taken down, and the program ends with it.
      if (outcome === undefined || leaving) return await new Promise<never>(() => {});
      outcomes.push(outcome);
      if (!values.json) print(outcome.text || progress(outcomes.length, schedules));
    }
  }));
  const report = tally(outcomes, points, seed, (performance.now() - from) / 60_000);
  print(values.json ? JSON.stringify(report, null, 2) + "\n" : reportText(report));
  return isGood(report, values["all-points"]) ? 0 : 1;
}

function progress(done: number, all: number): string {
  return done % 20 === 0 && done < all ? `${done} schedules done\n` : "";
}

for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, leave);
Deno.exit(await main());
