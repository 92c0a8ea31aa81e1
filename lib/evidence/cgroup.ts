/**
 * Where in the cgroup tree a process lives, and how many OOM kills its place
 * has seen. It must be asked while the process is alive.
 *
 * @module
 */

import { parseVmstatCounter } from "../host_formats.ts";
import type { Tools } from "../process.ts";
import { ask } from "./context.ts";

/** A place in the cgroup tree. Goes into the session's record when a canary is armed. */
export interface CgroupPlace {
  /** Path below the root of its hierarchy. */
  readonly path: string;
  /** systemd units on the way there, from the outermost to the innermost. */
  readonly units: readonly string[];
  /** The file that counts OOM kills there. */
  readonly counterFile?: string;
  /** What it said. */
  readonly oomKill?: number;
}

/**
 * Reads `/proc/PID/cgroup`.
 *
 * @param text Its content.
 * @returns The place, and the files that may count its OOM kills, best first;
 * `undefined` if the text names no place.
 *
 * @example A service on cgroup v2
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseCgroup } from "./cgroup.ts";
 *
 * const place = parseCgroup("0::/user.slice/user-1000.slice/session-3.scope\n");
 * assert.deepEqual(place?.units, ["user.slice", "user-1000.slice", "session-3.scope"]);
 * ```
 */
export function parseCgroup(
  text: string,
): { path: string; units: string[]; counterFiles: string[] } | undefined {
  let unified: string | undefined;
  let memory: string | undefined;
  let systemd: string | undefined;
  for (const line of text.split("\n", 64)) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    if (controllers === "") unified = path;
    else if (controllers === "name=systemd") systemd = path;
    else if (controllers.split(",").includes("memory")) memory = path;
  }
  const path = [unified, systemd, memory].find((at) => at !== undefined && at !== "/") ??
    unified ??
    memory;
  if (path === undefined) return undefined;
  const counterFiles: string[] = [];
  // A path that leaves the mount is of another namespace and not to be found here.
  const reachable = (at: string | undefined): at is string =>
    at !== undefined && !at.split("/").includes("..");
  if (reachable(memory)) {
    counterFiles.push(`/sys/fs/cgroup/memory${memory}/memory.oom_control`);
  }
  if (reachable(unified) && unified !== "/") {
    counterFiles.push(`/sys/fs/cgroup${unified}/memory.events`);
    counterFiles.push(`/sys/fs/cgroup/unified${unified}/memory.events`);
  }
  const units = path.split("/").filter((part) => /\.(?:service|scope|slice)$/.test(part));
  return {
    path,
    units,
    counterFiles: counterFiles.map((file) => file.replaceAll("//", "/")),
  };
}

/**
 * Reads the count of OOM kills out of `/proc/vmstat`, `memory.oom_control`
 * (cgroup v1) or `memory.events` (v2), which all write it the same way.
 *
 * @param text Content of one of them.
 * @returns The count, or `undefined` if there is none (kernels before 4.13).
 */
export function oomKillIn(text: string): number | undefined {
  return parseVmstatCounter(text, "oom_kill");
}

/**
 * Finds where a living process is, and how many OOM kills that place has seen.
 *
 * @param tools Runs `cat`.
 * @param pid The process.
 * @returns The place, or `undefined` if it cannot be told.
 */
export async function cgroupOf(
  tools: Tools,
  pid: number,
): Promise<CgroupPlace | undefined> {
  const read = await ask({ tools }, "cat", [`/proc/${pid}/cgroup`], {
    maxBytes: 65_536,
  });
  const place = read.code === 0 ? parseCgroup(read.stdout) : undefined;
  if (place === undefined) return undefined;
  const { path, units } = place;
  for (const counterFile of place.counterFiles) {
    const counted = await ask({ tools }, "cat", [counterFile], {
      maxBytes: 65_536,
    });
    const oomKill = counted.code === 0 ? oomKillIn(counted.stdout) : undefined;
    if (oomKill !== undefined) return { path, units, counterFile, oomKill };
  }
  return { path, units };
}

/**
 * Reads `oom_kill` of `/proc/vmstat`, to be recorded when a canary is armed.
 * It counts the kills of memory cgroups too, and anyone may read it.
 *
 * @param tools Runs `cat`.
 * @returns The count, or `undefined` if it cannot be told.
 */
export async function hostOomKill(tools: Tools): Promise<number | undefined> {
  const read = await ask({ tools }, "cat", ["/proc/vmstat"], {
    maxBytes: 262_144,
  });
  return read.code === 0 ? oomKillIn(read.stdout) : undefined;
}
