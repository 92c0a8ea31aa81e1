/**
 * What a watcher costs while nothing happens, from `/proc`.
 *
 * @module
 */

import { readCanaryNote } from "../lib/watcher.ts";
import { contextOf } from "../lib/context.ts";
import {
  adoptPlain,
  type Bench,
  launchOwn,
  type Measured,
  startBareDeno,
  startSh,
} from "./subjects.ts";
import { pause } from "./world.ts";

/**
 * How long a watcher is left alone first, in milliseconds. Not counted are its
 * start, the looks that the flight recorder takes more often at first, and the
 * garbage that V8 collects once, 15 to 40 s after the start [seen: 50 context
 * switches and 35 ms; then nothing more of the kind for three minutes].
 */
const SETTLE_MS = 45_000;
/** How long is counted, in milliseconds: a few looks of the flight recorder. */
const STRETCH_MS = 20_000;
const STRETCHES = 3;
const TICK_MS = 10;
const HOUR_SECS = 3600;

/** How long {@linkcode measureIdle} takes after all has started, in milliseconds. */
export const IDLE_MS = SETTLE_MS + STRETCHES * STRETCH_MS;

/** What a watcher uses. */
interface Use {
  /** In MiB. */
  readonly private: number;
  readonly pss: number;
  /** In a second. */
  readonly switches: number;
  /** In an hour, in seconds. */
  readonly cpu: number;
}

/**
 * Starts one watcher of each kind and measures all at the same time.
 *
 * @param bench What all rounds share.
 * @returns By watcher one entry for each stretch; `undefined` where there is no `/proc`.
 */
export async function measureIdle(bench: Bench): Promise<Map<string, Measured[]> | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  const ctx = contextOf(bench.world.paths.root);
  const own = await launchOwn(bench, "own-idle");
  const attach = await adoptPlain(bench, "attach-idle");
  const sh = await startSh(bench, "sh-idle");
  const bare = await startBareDeno(bench, "deno-idle");
  await pause(SETTLE_MS);
  const canaryOf = (identity: string) => {
    const note = readCanaryNote(ctx, identity);
    if (note === undefined) throw new Error(`Cannot measure: ${identity} has no canary`);
    return note.pid;
  };
  const groups: [string, number[]][] = [
    // Its child is the server, which is not a cost of the watching.
    ["own", [canaryOf(own.identity)]],
    ["bare-deno", [bare.parent.pid]],
    ["attach", withChildren(canaryOf(attach.identity))],
    ["sh", withChildren(sh.canary.pid)],
  ];
  const samples = new Map(groups.map(([name]): [string, Measured[]] => [name, []]));
  for (let n = 0; n < STRETCHES; n++) {
    const uses = await stretch(groups);
    for (const [name, use] of uses) samples.get(name)!.push({ ...use });
    samples.get("own")!.push(beyond(uses.get("own")!, uses.get("bare-deno")!));
  }
  for (const { serverPid } of [own, attach, sh, bare]) Deno.kill(serverPid, "SIGKILL");
  return samples;
}

async function stretch(groups: readonly [string, number[]][]): Promise<Map<string, Use>> {
  const before = new Map(groups.map(([name, pids]) => [name, lookAt(pids)]));
  await pause(STRETCH_MS);
  return new Map(groups.map(([name, pids]) => {
    const [from, to] = [before.get(name)!, lookAt(pids)];
    const { switches, cpu } = spent(from.threads, to.threads);
    const secs = (to.at - from.at) / 1000;
    const rates = { switches: switches / secs, cpu: cpu / 1000 / secs * HOUR_SECS };
    return [name, { ...memoryOf(pids), ...rates }];
  }));
}

/** What a canary in own mode does beyond waiting: its flight recorder. */
function beyond(own: Use, bare: Use): Measured {
  return {
    recorderCpu: own.cpu - bare.cpu,
    recorderSwitches: own.switches - bare.switches,
    recorderPrivate: own.private - bare.private,
  };
}

function lookAt(pids: readonly number[]): { at: number; threads: Map<string, Thread> } {
  return { at: performance.now(), threads: threadsOf(pids) };
}

function withChildren(pid: number): number[] {
  const tasks = [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) => name);
  const children = tasks.flatMap((task) =>
    Deno.readTextFileSync(`/proc/${pid}/task/${task}/children`).split(" ").filter((text) => text)
  );
  return [pid, ...children.map(Number)];
}

/** What a thread has done so far. */
interface Thread {
  readonly switches: number;
  /** In milliseconds. */
  readonly cpu: number;
}

function threadsOf(pids: readonly number[]): Map<string, Thread> {
  const threads = new Map<string, Thread>();
  for (const pid of pids) {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
      const dir = `/proc/${pid}/task/${name}`;
      const status = Deno.readTextFileSync(`${dir}/status`);
      threads.set(name, {
        switches: sumOf(status, /^(?:non)?voluntary_ctxt_switches:\s+(\d+)/gm),
        cpu: cpuOf(dir),
      });
    }
  }
  return threads;
}

/** A thread that has ended takes its figures along: only those that live are compared. */
function spent(before: Map<string, Thread>, after: Map<string, Thread>): Thread {
  let switches = 0;
  let cpu = 0;
  for (const [id, thread] of after) {
    switches += thread.switches - (before.get(id)?.switches ?? 0);
    cpu += thread.cpu - (before.get(id)?.cpu ?? 0);
  }
  return { switches, cpu };
}

/** User and system time of a thread in milliseconds, as finely as the kernel keeps it. */
function cpuOf(dir: string): number {
  try {
    return Number.parseInt(Deno.readTextFileSync(`${dir}/schedstat`), 10) / 1e6;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const stat = Deno.readTextFileSync(`${dir}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  }
}

export function memoryOf(pids: readonly number[]): { private: number; pss: number } {
  let own = 0;
  let pss = 0;
  for (const pid of pids) {
    const rollup = Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`);
    own += sumOf(rollup, /^Private_(?:Clean|Dirty):\s+(\d+)/gm);
    pss += sumOf(rollup, /^Pss:\s+(\d+)/gm);
  }
  return { private: own / 1024, pss: pss / 1024 };
}

function sumOf(text: string, pattern: RegExp): number {
  let sum = 0;
  for (const match of text.matchAll(pattern)) sum += Number(match[1]);
  return sum;
}
