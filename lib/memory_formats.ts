/**
 * Reads what the system says about its memory, swap and boot, on Linux and
 * macOS. Pure and tolerant: what is not there is `undefined`, never 0.
 *
 * @module
 */

/** Memory of a macOS host, from `vm_stat`. What it does not say is `undefined`. */
export interface VmStat {
  /** Bytes of a page; 4096 on Intel, 16384 on Apple silicon. */
  readonly pageSize: number | undefined;
  /** Free. */
  readonly freeBytes: number | undefined;
  /** In use and used lately. */
  readonly activeBytes: number | undefined;
  /** In use, not used lately. */
  readonly inactiveBytes: number | undefined;
  /** Read ahead, can be dropped. */
  readonly speculativeBytes: number | undefined;
  /** Can be dropped at will. */
  readonly purgeableBytes: number | undefined;
  /** Cannot be paged out. */
  readonly wiredBytes: number | undefined;
  /** What the compressor takes up. */
  readonly compressorBytes: number | undefined;
  /** What the compressor holds, before compression. */
  readonly compressedBytes: number | undefined;
  /** Pages read back from swap since boot. */
  readonly swapins: number | undefined;
  /** Pages written to swap since boot. */
  readonly swapouts: number | undefined;
}

/** Swap of a macOS host. What is not told is `undefined`. */
export interface SwapUsage {
  /** All swap files. */
  readonly totalBytes: number | undefined;
  /** In use. */
  readonly usedBytes: number | undefined;
  /** Free. */
  readonly freeBytes: number | undefined;
}

/**
 * Reads `vm_stat` of macOS.
 *
 * @param text The output.
 * @returns Sizes in bytes and counters, each `undefined` when it is not told.
 *
 * @example Free memory
 * ```ts
 * import { parseVmStat } from "./memory_formats.ts";
 * import assert from "node:assert/strict";
 *
 * const { freeBytes, swapouts } = parseVmStat(
 *   "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:   100.\n",
 * );
 * assert.equal(freeBytes, 1638400);
 * assert.equal(swapouts, undefined);
 * ```
 */
export function parseVmStat(text: string): VmStat {
  const pageSize = whole(/page size of (\d{1,9}) bytes/.exec(text)?.[1]);
  const counters = new Map<string, number | undefined>();
  for (
    const [, name = "", value] of text.matchAll(
      /^"?([A-Z][^":\n]{0,63})"?:[ \t]{1,64}(\d{1,20})\.?\r?$/gm,
    )
  ) {
    counters.set(name, whole(value));
  }
  const bytes = (name: string): number | undefined => times(counters.get(name), pageSize);
  return {
    pageSize,
    freeBytes: bytes("Pages free"),
    activeBytes: bytes("Pages active"),
    inactiveBytes: bytes("Pages inactive"),
    speculativeBytes: bytes("Pages speculative"),
    purgeableBytes: bytes("Pages purgeable"),
    wiredBytes: bytes("Pages wired down"),
    compressorBytes: bytes("Pages occupied by compressor"),
    compressedBytes: bytes("Pages stored in compressor"),
    swapins: counters.get("Swapins"),
    swapouts: counters.get("Swapouts"),
  };
}

/** A number that a double holds exactly; a rounded counter would be an invented one. */
function whole(digits: string | undefined): number | undefined {
  const value = digits === undefined ? NaN : Number(digits);
  return Number.isSafeInteger(value) ? value : undefined;
}

function times(
  count: number | undefined,
  unit: number | undefined,
): number | undefined {
  if (count === undefined || unit === undefined) return undefined;
  return Number.isSafeInteger(count * unit) ? count * unit : undefined;
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
};

/**
 * Reads `sysctl -n vm.swapusage` of macOS.
 *
 * @param text The output.
 * @returns Sizes in bytes, each `undefined` when it is not told.
 *
 * @example Swap in use
 * ```ts
 * import { parseSwapUsage } from "./memory_formats.ts";
 * import assert from "node:assert/strict";
 *
 * const { usedBytes } = parseSwapUsage("total = 4096.00M  used = 512.50M  free = 3583.50M");
 * assert.equal(usedBytes, 537395200);
 * ```
 */
export function parseSwapUsage(text: string): SwapUsage {
  const size = (name: string): number | undefined => {
    const match = new RegExp(
      `\\b${name} = (\\d{1,15}(?:\\.\\d{1,9})?)([BKMGT]?)`,
    ).exec(text);
    if (match === null) return undefined;
    const bytes = Math.round(Number(match[1]) * UNITS[match[2]!]!);
    return Number.isSafeInteger(bytes) ? bytes : undefined;
  };
  return {
    totalBytes: size("total"),
    usedBytes: size("used"),
    freeBytes: size("free"),
  };
}

/**
 * Reads `sysctl -n kern.boottime` of macOS.
 *
 * @param text The output.
 * @returns When the system booted in epoch seconds, if told.
 *
 * @example Usage
 * ```ts
 * import { parseBoottime } from "./memory_formats.ts";
 * import assert from "node:assert/strict";
 *
 * const text = "{ sec = 1789196391, usec = 979990 } Fri Sep 11 23:59:51 2026";
 * assert.equal(parseBoottime(text), 1789196391);
 * ```
 */
export function parseBoottime(text: string): number | undefined {
  return whole(/\{ *sec = (\d{1,15})\b/.exec(text)?.[1]);
}

/**
 * Reads `/proc/meminfo` of Linux.
 *
 * @param text The file.
 * @returns Bytes by name; what the file counts in something else, as huge
 * pages, is left out.
 *
 * @example Memory that can be had
 * ```ts
 * import { parseMeminfo } from "./memory_formats.ts";
 * import assert from "node:assert/strict";
 *
 * const memory = parseMeminfo("MemAvailable:    1024 kB\nHugePages_Total:       0\n");
 * assert.deepEqual([...memory], [["MemAvailable", 1048576]]);
 * ```
 */
export function parseMeminfo(text: string): Map<string, number> {
  const sizes = new Map<string, number>();
  for (
    const [, name = "", value] of text.matchAll(
      /^([\w()]{1,64}):[ \t]{1,64}(\d{1,20}) kB\r?$/gm,
    )
  ) {
    const bytes = times(whole(value), 1024);
    if (bytes !== undefined) sizes.set(name, bytes);
  }
  return sizes;
}

/**
 * Reads one counter of `/proc/vmstat` of Linux.
 *
 * @param text The file.
 * @param name The counter, for example `oom_kill`.
 * @returns Its value, or `undefined` when the file does not have it.
 *
 * @example Kills for want of memory since boot
 * ```ts
 * import { parseVmstatCounter } from "./memory_formats.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(parseVmstatCounter("pgfault 7\noom_kill 3\n", "oom_kill"), 3);
 * assert.equal(parseVmstatCounter("pgfault 7\n", "oom_kill"), undefined);
 * ```
 */
export function parseVmstatCounter(
  text: string,
  name: string,
): number | undefined {
  for (const line of text.split("\n")) {
    if (!line.startsWith(`${name} `)) continue;
    const digits = line.slice(name.length + 1).trim();
    return /^\d{1,20}$/.test(digits) ? whole(digits) : undefined;
  }
  return undefined;
}
