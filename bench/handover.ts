/**
 * Measures what handing a launch to the supervisor costs: from the command to
 * its READY line, and to its exit, beside a launch without one, by turns.
 *
 * ```text
 * deno task bench:handover [ROUNDS]
 * ```
 *
 * @module
 */

import { World } from "./world.ts";

const ROUNDS = Number(Deno.args[0] ?? 15);

/** Milliseconds from the command to what it says. */
interface Measured {
  readonly ready: number;
  readonly exit: number;
}

async function launch(world: World, identity: string, flags: readonly string[]): Promise<Measured> {
  const from = performance.now();
  const child = world.iapeer("launch", ["--identity", identity, ...flags, "--", "sleep", "1000"]);
  const line = await child.line();
  const ready = performance.now() - from;
  const code = await child.ended;
  const exit = performance.now() - from;
  if (!line?.startsWith("READY ") || code !== 0) throw new Error(`${identity}: ${code} ${line}`);
  await world.iapeer("stop", [identity]).ended;
  return { ready, exit };
}

function median(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => Math.round(sorted[Math.floor((sorted.length - 1) * part)]!);
  return `${at(0.5)} ms (${at(0)} to ${at(1)})`;
}

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

const world = new World();
try {
  const supervisor = world.iapeer("supervise", ["--interval", "3600"]);
  await supervisor.line();
  const all: Record<string, Measured[]> = { "handed over": [], "direct": [] };
  // The first round finds cold caches and is not counted.
  for (let n = 0; n <= ROUNDS; n++) {
    for (const [name, measured] of Object.entries(all)) {
      const flags = name === "direct" ? ["--direct"] : [];
      const one = await launch(world, `bench-${n}${name[0]}`, flags);
      if (n > 0) measured.push(one);
    }
  }
  say(
    `${ROUNDS} rounds, medians (least to most); ${navigator.hardwareConcurrency} cores, load ${
      Deno.loadavg()[0]!.toFixed(1)
    }.`,
  );
  for (const [name, measured] of Object.entries(all)) {
    say(`launch to READY, ${name}: ${median(measured.map(({ ready }) => ready))}`);
    say(`launch to its exit, ${name}: ${median(measured.map(({ exit }) => exit))}`);
  }
} finally {
  world.close();
}
