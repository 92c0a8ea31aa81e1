/**
 * Reads what the host's own tools print: here what tells one incarnation of a
 * process from another, with `ps_table.ts` and `memory_formats.ts` the rest.
 * Pure and tolerant: a line that makes no sense is passed over, never an error.
 *
 * @module
 */

import { parseLstart } from "./ps_table.ts";

export * from "./memory_formats.ts";
export * from "./ps_table.ts";

/** One process as far as it tells incarnations apart. */
export interface ProcessInfo {
  /** Process id. */
  readonly pid: number;
  /** Process id of the parent, if known. */
  readonly ppid: number | undefined;
  /** When it started, in epoch seconds. */
  readonly startedAt: number;
  /** Linux: when it started in clock ticks since boot, which no clock change moves. */
  readonly startTicks: number | undefined;
  /** It is dead and waits to be reaped. */
  readonly zombie: boolean;
  /** It is stopped, by a signal or a debugger. */
  readonly stopped: boolean;
}

/** Clock ticks per second in `/proc/<pid>/stat`; the same on every Linux that Deno runs on. */
const USER_HZ = 100;

// A name of up to 15 bytes may hold anything, newlines and ") S 1" included;
// only kernel threads have longer ones. 19 numbers (fields 4 to 22) cannot be
// part of a name, so the match ends where the name really does.
const PROC_STAT =
  /^(\d{1,10}) \(([^]{0,15}?|[^\n()]{16,63})\) ([A-Za-z])((?: -?\d{1,20}){19})(?= |$)/gm;

/**
 * Reads `cat /proc/stat /proc/<pid>/stat …` of Linux.
 *
 * @param text The output; `/proc/stat` comes first, for it tells when the
 * system booted.
 * @returns The processes in the order of the text; none without a boot time.
 *
 * @example A tmux server
 * ```ts
 * import { parseProcStat } from "./host_formats.ts";
 * import assert from "node:assert/strict";
 *
 * const [server] = parseProcStat(
 *   "btime 1000\n2117 (tmux: server) S 1 2117 2117 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 4250 9\n",
 * );
 * assert.equal(server?.pid, 2117);
 * assert.equal(server.startedAt, 1042);
 * ```
 */
export function parseProcStat(text: string): ProcessInfo[] {
  const boot = /^btime (\d{1,15})$/m.exec(text);
  if (boot === null) return [];
  const processes: ProcessInfo[] = [];
  for (
    const [, pid, , state = "", numbers = ""] of text.slice(boot.index)
      .matchAll(PROC_STAT)
  ) {
    const fields = numbers.trim().split(" ");
    const startTicks = Number(fields[18]);
    processes.push({
      pid: Number(pid),
      ppid: Number(fields[0]),
      startedAt: Number(boot[1]) + Math.floor(startTicks / USER_HZ),
      startTicks,
      zombie: isZombie(state),
      stopped: isStopped(state),
    });
  }
  return processes;
}

function isZombie(stat: string): boolean {
  return /^[ZXx]/.test(stat);
}

function isStopped(stat: string): boolean {
  return /^[Tt]/.test(stat);
}

const INCARNATION = /^ {0,32}(\d{1,10}) {1,32}(\d{1,10}|-) {1,32}(\S{1,16}) {1,32}(\S.{0,60})$/;

/**
 * Reads `LC_ALL=C ps -ww -o pid=,ppid=,stat=,lstart= -p …` of Linux and macOS.
 *
 * @param text The output, its times local ones: it must come from this host.
 * @returns The processes in the order of the text.
 *
 * @example A zombie
 * ```ts
 * import { parsePsIncarnations } from "./host_formats.ts";
 * import assert from "node:assert/strict";
 *
 * const [info] = parsePsIncarnations(" 2117     1 Zs   Sun Nov 22 06:28:14 2026\n");
 * assert.equal(info?.zombie, true);
 * assert.equal(info.startedAt, new Date(2026, 10, 22, 6, 28, 14).getTime() / 1000);
 * ```
 */
export function parsePsIncarnations(text: string): ProcessInfo[] {
  const processes: ProcessInfo[] = [];
  for (const line of text.split("\n")) {
    const [, pid, ppid, stat = "", lstart = ""] = INCARNATION.exec(line) ?? [];
    const startedAt = parseLstart(lstart);
    if (startedAt === undefined) continue;
    processes.push({
      pid: Number(pid),
      ppid: ppid === "-" ? undefined : Number(ppid),
      startedAt,
      startTicks: undefined,
      zombie: isZombie(stat),
      stopped: isStopped(stat),
    });
  }
  return processes;
}
