/**
 * What iapeer asks of the machine: outside programs, clocks, the boot it runs
 * in, and whether a process is still the one it was.
 *
 * @module
 */

import { parseProcStat, parsePsIncarnations, type ProcessInfo } from "./host_formats.ts";
import { denoTools, type Tools } from "./process.ts";

/** A process that cannot be mistaken for a later one with the same pid. */
export interface Incarnation {
  /** Process id. */
  readonly pid: number;
  /** Start in seconds since the epoch, as the system tells it. */
  readonly startedAt: number;
  /** Linux: start in clock ticks since boot. Exact, and no clock step moves it. */
  readonly startTicks?: number;
}

/** The effects that the rest of the program asks for; tests pass their own. */
export interface Host {
  /** Runs outside programs. */
  readonly tools: Tools;
  /** As `Deno.build.os` names it. */
  readonly platform: string;
  /** Name of this machine. */
  readonly name: string;
  /** The user's home directory, where that is known. */
  readonly home: string | undefined;
  /** Wall clock in milliseconds since the epoch. */
  now(): number;
  /** Seconds since boot: a clock that nobody sets. */
  uptime(): number;
  /** Settles after so many milliseconds. */
  sleep(ms: number): Promise<void>;
}

/** This machine. */
export const denoHost: Host = {
  tools: denoTools,
  platform: Deno.build.os,
  get name() {
    return Deno.hostname();
  },
  get home() {
    return Deno.env.get("HOME") || undefined;
  },
  now: () => Date.now(),
  uptime: () => Deno.osUptime(),
  sleep: (ms) => new Promise((wake) => setTimeout(wake, ms)),
};

/**
 * Looks at processes: one spawn however many there are.
 *
 * On Linux from `/proc/PID/stat`, whose start time in clock ticks is exact; a
 * start time in seconds, as `ps` gives it, would take a pid that is reused
 * within the second for the old process.
 *
 * @param host This machine.
 * @param pids Which processes.
 * @returns Those that exist, zombies among them, by pid; `undefined` if the
 * machine cannot be asked.
 */
export async function inspect(
  host: Host,
  pids: readonly number[],
): Promise<Map<number, ProcessInfo> | undefined> {
  const wanted = pids.filter((pid) => Number.isSafeInteger(pid) && pid > 0);
  if (wanted.length === 0) return new Map();
  let infos: ProcessInfo[];
  if (host.platform === "linux") {
    const { stdout, failure, timedOut } = await host.tools.run("cat", [
      "/proc/stat",
      ...wanted.map((pid) => `/proc/${pid}/stat`),
    ]);
    if (failure !== undefined || timedOut || stdout === "") return undefined;
    infos = parseProcStat(stdout);
  } else {
    const { stdout, stderr, failure, timedOut } = await host.tools.run("ps", [
      "-ww",
      "-o",
      "pid=,ppid=,stat=,lstart=",
      "-p",
      wanted.join(","),
    ]);
    // ps leaves with 1 both when nobody has such a pid and when it fails; only then it says so.
    if (failure !== undefined || timedOut || (stdout === "" && stderr !== "")) return undefined;
    infos = parsePsIncarnations(stdout);
  }
  return new Map(infos.map((info) => [info.pid, info]));
}

/**
 * Tells whether two sightings are of one process.
 *
 * Seconds since the epoch are computed from the boot time, which can differ by
 * one second from reading to reading [measured, Linux]: two are allowed.
 *
 * @param a One sighting.
 * @param b Another.
 * @returns `true` if pid and start time agree.
 *
 * @example A reused pid is another incarnation
 * ```ts
 * import assert from "node:assert/strict";
 * import { sameIncarnation } from "./host.ts";
 *
 * const server = { pid: 42, startedAt: 1000, startTicks: 77 };
 * assert(sameIncarnation(server, { pid: 42, startedAt: 1001, startTicks: 77 }));
 * assert(!sameIncarnation(server, { pid: 42, startedAt: 1000, startTicks: 99 }));
 * ```
 */
export function sameIncarnation(
  a: { pid: number; startedAt: number; startTicks?: number | undefined },
  b: { pid: number; startedAt: number; startTicks?: number | undefined },
): boolean {
  if (a.pid !== b.pid) return false;
  if (a.startTicks !== undefined && b.startTicks !== undefined) {
    return a.startTicks === b.startTicks;
  }
  return Math.abs(a.startedAt - b.startedAt) <= 2;
}

/** What is known of an incarnation now. */
export type Liveness = "alive" | "stopped" | "gone" | "unknown";

/**
 * Tells whether an incarnation lives.
 *
 * A zombie is gone: `kill -0` would call it alive for as long as its parent
 * does not reap it.
 *
 * @param infos What {@linkcode inspect} saw.
 * @param incarnation Which process.
 * @returns `stopped` for one that a signal holds up; it lives, and answers nobody.
 */
export function liveness(
  infos: Map<number, ProcessInfo> | undefined,
  incarnation: Incarnation,
): Liveness {
  if (infos === undefined) return "unknown";
  const info = infos.get(incarnation.pid);
  if (info === undefined || info.zombie || !sameIncarnation(info, incarnation)) return "gone";
  return info.stopped ? "stopped" : "alive";
}

/**
 * {@linkcode liveness} of one incarnation, looked up now.
 *
 * @param host This machine.
 * @param incarnation Which process.
 * @returns How it is.
 */
export async function livenessOf(host: Host, incarnation: Incarnation): Promise<Liveness> {
  return liveness(await inspect(host, [incarnation.pid]), incarnation);
}

/**
 * The incarnation that has a pid now.
 *
 * @param host This machine.
 * @param pid A process id.
 * @returns `undefined` if it is gone, a zombie, or cannot be looked at.
 */
export async function incarnationOf(host: Host, pid: number): Promise<Incarnation | undefined> {
  const info = (await inspect(host, [pid]))?.get(pid);
  if (info === undefined || info.zombie) return undefined;
  const { startedAt, startTicks } = info;
  return startTicks === undefined ? { pid, startedAt } : { pid, startedAt, startTicks };
}

/**
 * Waits until an incarnation is gone.
 *
 * @param host This machine.
 * @param incarnation Which process.
 * @param timeoutMs How long at most, in milliseconds.
 * @returns `true` once it is gone, `false` when the time was up.
 */
export async function waitGone(
  host: Host,
  incarnation: Incarnation,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (let pause = 2;; pause = Math.min(pause * 2, 100)) {
    if (await livenessOf(host, incarnation) === "gone") return true;
    if (performance.now() >= deadline) return false;
    await host.sleep(pause);
  }
}

/**
 * Sends a signal, after making sure that the process is still the one meant.
 *
 * @param host This machine.
 * @param incarnation Which process.
 * @param signal Its name without `SIG`, such as `TERM`.
 * @returns `false` if it is gone or must not be signalled.
 */
export async function sendSignal(
  host: Host,
  incarnation: Incarnation,
  signal: string,
): Promise<boolean> {
  const state = await livenessOf(host, incarnation);
  if (state !== "alive" && state !== "stopped") return false;
  const { code } = await host.tools.run("kill", [`-${signal}`, String(incarnation.pid)]);
  return code === 0;
}

/**
 * The id of the boot that this machine runs in.
 *
 * @param host This machine.
 * @returns `undefined` where the system does not tell.
 */
export async function bootId(host: Host): Promise<string | undefined> {
  const name = host.platform === "linux" ? "kernel.random.boot_id" : "kern.bootsessionuuid";
  const { code, stdout } = await host.tools.run("sysctl", ["-n", name]);
  const id = stdout.trim();
  return code === 0 && id !== "" ? id : undefined;
}

/**
 * The command line of a process, its words joined by blanks.
 *
 * On Linux as it was started, byte for byte: `ps` writes `?` in the C locale
 * for what is not ASCII.
 *
 * @param host This machine.
 * @param pid Which process.
 * @returns Empty if it is gone or does not tell.
 */
export async function commandOf(host: Host, pid: number): Promise<string> {
  const { stdout } = host.platform === "linux"
    ? await host.tools.run("cat", [`/proc/${pid}/cmdline`])
    : await host.tools.run("ps", ["-ww", "-o", "command=", "-p", String(pid)]);
  return stdout.replace(/[\0\n]+$/, "").replaceAll("\0", " ");
}
