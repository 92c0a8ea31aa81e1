/**
 * What has to be looked at while a server lives, for its death to be explained
 * later.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { cgroupOf, type CgroupPlace, hostOomKill } from "./evidence/cgroup.ts";

/** The machine as it was when the watch began. */
export interface Arming {
  /** Epoch milliseconds. */
  readonly at: number;
  /** How many OOM kills the kernel had counted. */
  readonly oomKill?: number;
  /** Where the server lives, and how many OOM kills that place had seen. */
  readonly cgroup?: CgroupPlace;
}

/**
 * Looks at a living server's surroundings.
 *
 * @param ctx For its machine.
 * @param pid The server.
 * @returns What could be seen. Never rejects.
 */
export async function lookAround(ctx: Context, pid: number): Promise<Arming> {
  const at = ctx.host.now();
  if (ctx.host.platform !== "linux") return { at };
  const { tools } = ctx.host;
  const [oomKill, cgroup] = await Promise.all([hostOomKill(tools), cgroupOf(tools, pid)]);
  return {
    at,
    ...(oomKill === undefined ? {} : { oomKill }),
    ...(cgroup === undefined ? {} : { cgroup }),
  };
}
