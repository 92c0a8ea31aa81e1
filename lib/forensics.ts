/**
 * The forensics snapshot: the machine just after a server died, one file per death.
 *
 * @module
 */

import { join } from "./path.ts";
import { failureOf } from "./process.ts";
import { redact } from "./redact.ts";
import {
  couldNotLook,
  duration,
  largestProcesses,
  NEWEST,
  newestFiles,
  nothingThere,
  paneLines,
  plainText,
  type Section,
  type SnapshotSubject,
  whyNot,
} from "./snapshot_sections.ts";
import type { SnapshotHost } from "./snapshot_host.ts";
import { createFileOnce, syncDir } from "./store.ts";

export { denoSnapshotHost, type SnapshotHost } from "./snapshot_host.ts";
export { renderSnapshot } from "./snapshot_sections.ts";
export type { ListedFile, Section, SnapshotSubject } from "./snapshot_sections.ts";

/** One thing to look at. */
interface Probe extends Pick<Section, "title" | "source"> {
  look(): string | Promise<string>;
  /** What it means if the file or folder is absent: nothing there. */
  readonly absent?: string;
}

const TOOL_MS = 1500;
/** A killed tool can hang in the kernel; nobody waits for it. */
const GIVE_UP_MS = 2000;
const TOOL_BYTES = 2 * 1024 * 1024;
/** Most of what a full-screen program writes are escape sequences: read more than is kept. */
const PANE_BYTES = 256 * 1024;
const PS = "ps -axww -o pid,ppid,pgid,uid,rss,vsz,etime,lstart,stat,tty,ucomm,command";
const NO_CORES = /^No coredumps found\.$/;
const REPORTS = "/Library/Logs/DiagnosticReports";
const MEMINFO =
  /^(?:Mem(?:Total|Free|Available)|Buffers|(?:Swap)?Cached|Active|Inactive|Unevictable|Swap(?:Total|Free)|Zswap|Dirty|AnonPages|Shmem|SReclaimable|SUnreclaim|KernelStack|PageTables|CommitLimit|Committed_AS):/;
const VMSTAT = /^(?:oom_kill|pswpin|pswpout|pgmajfault|allocstall_\w+) /;
const LEVELS: Readonly<Record<string, string>> = { "1": "normal", "2": "warn", "4": "critical" };

/** The sections about one of the deaths that a look at the machine is for. */
export type SectionsOf = (subject: Pick<SnapshotSubject, "paneLog">) => Promise<Section[]>;

/**
 * Asks the machine for everything at once, and never rejects: what cannot be
 * had is a line in its section, and a tool that hangs costs two seconds.
 *
 * @param host The machine.
 * @returns For each death the sections in the order of the file, free of
 * secrets; the machine has been asked once.
 */
export function lookAtMachine(host: SnapshotHost): SectionsOf {
  const [before, after] = machineProbes(host).map((probes) => Promise.all(probes.map(sectionOf)));
  return async ({ paneLog }) => {
    const pane = await sectionOf(paneProbe(host, paneLog));
    return [...await before!, pane, ...await after!];
  };
}

/**
 * {@linkcode lookAtMachine} for one death.
 *
 * @param host The machine.
 * @param subject The death.
 * @returns The sections in the order of the file, free of secrets.
 */
export function gatherSections(host: SnapshotHost, subject: SnapshotSubject): Promise<Section[]> {
  return lookAtMachine(host)(subject);
}

async function sectionOf({ title, source, look, absent }: Probe): Promise<Section> {
  const start = performance.now();
  let body: string;
  try {
    body = redact(plainText(await look()));
  } catch (error) {
    const isAbsent = absent !== undefined && error instanceof Deno.errors.NotFound;
    body = isAbsent ? nothingThere(absent) : couldNotLook(whyNot(error));
  }
  return { title, source, ms: performance.now() - start, body };
}

/** What comes before the pane's section, and what after it. */
function machineProbes(host: SnapshotHost): [Probe[], Probe[]] {
  const [memory = [], reports = []] = PLATFORMS[host.platform]?.(host) ?? [];
  return [[
    ...memory,
    toolProbe(host, "processes", PS, largestProcesses),
    { title: "load", source: "Deno.loadavg()", look: () => loads(host.loadavg()) },
    { title: "uptime", source: "Deno.osUptime()", look: () => duration(host.uptime()) },
  ], [
    ...reports,
    toolProbe(host, "host", "uname -a"),
    toolProbe(host, "tmux", "tmux -V"),
  ]];
}

function paneProbe(host: SnapshotHost, paneLog: string): Probe {
  return {
    title: "pane",
    source: `end of ${paneLog}`,
    look: () => paneTail(host, paneLog),
    absent: "no such file",
  };
}

/** By platform: what tells of memory, and what of crashes and the system. */
const PLATFORMS: Readonly<Record<string, (host: SnapshotHost) => [Probe[], Probe[]]>> = {
  linux: (host) => [[
    toolProbe(host, "memory", "cat /proc/meminfo", matching(MEMINFO)),
    ...["memory", "io", "cpu"].map((what): Probe => {
      const source = `/proc/pressure/${what}`;
      return { title: `${what} pressure`, source, look: () => host.readTail(source, 4096) };
    }),
    toolProbe(host, "memory kills", "cat /proc/vmstat", matching(VMSTAT)),
    toolProbe(host, "swap", "cat /proc/swaps", swapAreas),
  ], [
    listProbe(host, "crash reports", "/var/crash"),
    // Without `-q`, which silences "No coredumps found." and the hint that
    // others' dumps are hidden alike, and leaves exit code 1 for both.
    toolProbe(host, "core dumps", "coredumpctl list --no-pager", lastLines, NO_CORES),
  ]],
  darwin: (host) => [[
    toolProbe(host, "memory", "vm_stat"),
    toolProbe(host, "memory pressure", "sysctl -n kern.memorystatus_vm_pressure_level", level),
    toolProbe(host, "swap", "sysctl -n vm.swapusage"),
  ], [
    listProbe(host, "crash reports of the user", `${host.home ?? "~"}${REPORTS}`),
    listProbe(host, "crash reports of the system", REPORTS),
    toolProbe(host, "system version", "sw_vers"),
  ]],
};

/**
 * Asks an outside program. `read` makes its output fit for reading (`""`: it
 * is not understood), `nothing` is what it says on stderr having found nothing.
 */
function toolProbe(
  { tools }: SnapshotHost,
  title: string,
  source: string,
  read: (output: string) => string = String,
  nothing?: RegExp,
): Probe {
  const [tool = "", ...args] = source.split(" ");
  return {
    title,
    source,
    async look() {
      const limits = { timeoutMs: TOOL_MS, maxBytes: TOOL_BYTES };
      const result = await atMost(tools.run(tool, args, limits), GIVE_UP_MS);
      if (result === undefined) return couldNotLook(`${tool}: timed out`);
      const said = result.stderr.trim();
      const failure = failureOf(tool, result);
      if (failure !== undefined && nothing?.test(said)) return nothingThere(said);
      const lines = failure === undefined ? [] : [couldNotLook(failure)];
      // A tool can do half its work, say so, and leave with 0.
      if (failure === undefined && said !== "") lines.push(`(${tool} says: ${said})`);
      let output = result.stdout;
      // Of what was cut off only whole lines: half a secret is not recognised as one.
      if (result.truncated || result.timedOut) {
        output = output.slice(0, output.lastIndexOf("\n") + 1);
      }
      if (output.trim() !== "") lines.push((read(output) || output).trimEnd());
      else if (failure === undefined) lines.push(nothingThere());
      if (result.truncated) lines.push(`(cut: ${tool} wrote more than ${TOOL_BYTES} bytes)`);
      return lines.join("\n");
    },
  };
}

/** What makes output fit for reading. */
const matching = (wanted: RegExp) => (output: string) =>
  output.split("\n").filter((line) => wanted.test(line)).join("\n");
const swapAreas = (output: string) =>
  output.trimEnd().includes("\n") ? output : nothingThere("no swap area in use");
const lastLines = (output: string) => output.trimEnd().split("\n").slice(-NEWEST).join("\n");
const level = (output: string) => `${output.trim()} (${LEVELS[output.trim()] ?? "unknown"})`;
const loads = (averages: readonly number[]) => averages.map((load) => load.toFixed(2)).join(" ");

async function atMost<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(late.resolve, ms, undefined);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function paneTail(host: SnapshotHost, path: string): string {
  const raw = host.readTail(path, PANE_BYTES);
  return paneLines(raw, new TextEncoder().encode(raw).length < PANE_BYTES);
}

function listProbe(host: SnapshotHost, title: string, path: string): Probe {
  const look = () => {
    if (path.startsWith("~")) throw new Error("no home directory is known");
    return newestFiles(host.listDir(path));
  };
  return { title, source: `newest files in ${path}`, look, absent: "no such folder" };
}

/**
 * Writes a snapshot to `<identity>-<epoch s>-<pid>.txt`, mode 0600 whatever
 * the umask. It appears whole or not at all, and replaces nothing: if the name
 * is taken, it gets `-2`, `-3`, … before `.txt`.
 *
 * @param dir The folder; made, mode 0700, if it is not there.
 * @param subject The death.
 * @param text What {@linkcode renderSnapshot} made.
 * @returns Path of the file.
 * @throws {Error} If the storage refuses.
 *
 * @example From a death to its file
 * ```ts
 * import assert from "node:assert/strict";
 * import { denoSnapshotHost, gatherSections, renderSnapshot, writeSnapshot } from "./forensics.ts";
 * import { denoTools } from "./process.ts";
 *
 * const dir = Deno.makeTempDirSync();
 * const subject = {
 *   identity: "claude-bob",
 *   deathId: "claude-bob-4242-1795327507",
 *   serverPid: 4242,
 *   observedAt: 1795327509123,
 *   header: [["cause", "signal"], ["signal", "SIGKILL"]] as const,
 *   paneLog: `${dir}/claude-bob.log`,
 * };
 * const sections = await gatherSections(denoSnapshotHost(denoTools), subject);
 * const path = writeSnapshot(dir, subject, renderSnapshot(subject, [], sections));
 * assert.equal(path, `${dir}/claude-bob-1795327509-4242.txt`);
 * Deno.removeSync(dir, { recursive: true });
 * ```
 */
export function writeSnapshot(dir: string, subject: SnapshotSubject, text: string): string {
  const { identity, observedAt, serverPid, number = "" } = subject;
  const name = `${identity}-${Math.floor(observedAt / 1000)}-${serverPid}${number}`;
  if (!/^[a-z0-9-]+$/.test(name)) {
    throw new TypeError(`Cannot name a snapshot "${name}": only a-z, 0-9 and "-" are allowed`);
  }
  Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
  Deno.chmodSync(dir, 0o700);
  for (let n = 1;; n++) {
    const path = join(dir, `${name}${n === 1 ? "" : `-${n}`}.txt`);
    if (createFileOnce(path, text)) {
      syncDir(dir);
      return path;
    }
  }
}
