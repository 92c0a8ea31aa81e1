/**
 * Measures what recovery costs: a tick that has to finish one entry or 100
 * which witnesses have left open, and how fast 8 processes append to one log.
 *
 * @module
 */

import { openRoot } from "../lib/config.ts";
import { type Context, contextOf } from "../lib/context.ts";
import { deathId, listDeaths, type Observation, openDeath } from "../lib/deaths.ts";
import { exitRecord } from "../lib/exits.ts";
import { tick } from "../lib/lifecycle.ts";
import { tryLock } from "../lib/locks.ts";
import { appendLine, readLines } from "../lib/log.ts";
import { deathLock } from "../lib/record.ts";
import { runJob } from "../tests/fixtures/root.ts";

const ROUNDS = Number(Deno.args[0] ?? 3);
const ENTRIES = 100;
const WRITERS = 8;
const LINES = 2_000;
/** Larger than everything that is written, and the size of every log. */
const SIZES = { "no rotation": 1 << 30, "rotating at 256 KiB": 256 << 10 };

async function onRoot<T>(work: (ctx: Context) => Promise<T>): Promise<T> {
  const dir = await Deno.realPath(await Deno.makeTempDir({ prefix: "iapr" }));
  try {
    const ctx = contextOf(`${dir}/r`);
    openRoot(ctx.paths, Deno.uid());
    return await work(ctx);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Entries as witnesses leave them that die before and after the line, by turns. */
function leaveOpen(ctx: Context, entries: number): void {
  for (let n = 0; n < entries; n++) {
    const seen: Observation = {
      identity: `claude-bench${n}`,
      server: { pid: 1_000_000 + n, startedAt: 1_700_000_000 },
      cause: "vanished",
      witness: "canary",
      observedAt: Date.now(),
    };
    const death = { id: deathId(seen.identity, seen.server), step: "noticed" as const, ...seen };
    using _lock = tryLock(deathLock(ctx, death.id));
    openDeath(ctx, death);
    if (n % 2 === 0) appendLine(ctx.paths, ctx.paths.exitsLog, exitRecord(ctx, death));
  }
}

/** Milliseconds until the tick is over, and until all entries are closed. */
async function measureTick(entries: number): Promise<[tick: number, closed: number]> {
  return await onRoot(async (ctx) => {
    leaveOpen(ctx, entries);
    const started = performance.now();
    const { recorded } = await tick(ctx);
    const ticked = performance.now() - started;
    await Promise.all(recorded.map((one) => one.closed));
    const all = performance.now() - started;
    const exits = readLines(ctx.paths, ctx.paths.exitsLog).filter((line) =>
      line.includes(" ev=server-exit ")
    );
    const closed = listDeaths(ctx).filter(({ step }) => step === "closed");
    if (closed.length !== entries || exits.length !== entries) {
      throw new Error(`${closed.length} entries closed, ${exits.length} lines`);
    }
    return [ticked, all];
  });
}

/** Lines per second of all writers together, the slowest one's time counted. */
async function measureAppend(maxBytes: number, sync: boolean): Promise<number> {
  return await onRoot(async (ctx) => {
    const args = [String(LINES), String(maxBytes), String(sync)];
    const jobs = Array.from(
      { length: WRITERS },
      (_, n) => runJob("append", ctx.paths.root, `w${n}`, ...args),
    );
    const times = (await Promise.all(jobs)).map(Number);
    return WRITERS * LINES / (Math.max(...times) / 1000);
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

async function rounds<T>(measure: () => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  for (let n = 0; n < ROUNDS; n++) all.push(await measure());
  return all;
}

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

say(
  `${ROUNDS} rounds, medians; ${navigator.hardwareConcurrency} cores, load ${
    Deno.loadavg()[0]!.toFixed(1)
  }.`,
);
for (const entries of [1, ENTRIES]) {
  const ticks = await rounds(() => measureTick(entries));
  const [ticked, closed] = [0, 1].map((n) => Math.round(median(ticks.map((times) => times[n]!))));
  say(`tick that takes up ${entries} open: ${ticked} ms; until all is closed: ${closed} ms`);
}
for (const [name, maxBytes] of Object.entries(SIZES)) {
  for (const sync of [false, true]) {
    const rate = median(await rounds(() => measureAppend(maxBytes, sync)));
    say(
      `log, ${WRITERS} writers, ${name}, ${sync ? "each line synced" : "no sync"}: ${
        Math.round(rate)
      } lines/s`,
    );
  }
}
