/**
 * Whether a session has been idle for too long: asked of files, never of the
 * session.
 *
 * @module
 */

import { join } from "./path.ts";
import type { Context } from "./context.ts";
import type { Policy, SessionRecord } from "./sessions.ts";
import { removeIfThere } from "./store.ts";

/**
 * Tells for how long a session has been idle, if that is too long.
 *
 * Output counts as activity (the pane's log changes), and so does a change of
 * any file that the policy's globs name.
 *
 * @param ctx The root.
 * @param record The session.
 * @param policy Its policy.
 * @returns Whole seconds, or `undefined` while it is not idle.
 */
export async function idleSeconds(
  ctx: Context,
  record: SessionRecord,
  policy: Policy,
): Promise<number | undefined> {
  const limit = policy.idleSecs;
  if (limit === undefined) return undefined;
  const now = ctx.host.now() - setForward(ctx, record) * 1000;
  const last = Math.max(record.launchedAt, changedAt(ctx.paths.paneLog(record.identity)));
  const idle = Math.floor((now - last) / 1000);
  if (idle < limit) return undefined;
  for (const glob of policy.activity ?? []) {
    if (await changedSince(ctx, record.identity, glob, now - limit * 1000)) return undefined;
  }
  return idle;
}

/** So far the clock and the boot's uptime drift apart by themselves, in seconds. */
const DRIFT = 5;
/** Clock ticks per second, as Linux tells them to programs. */
const USER_HZ = 100;

/**
 * By how many seconds the clock was set forward since the launch, as far as
 * that can be told: its files may bear times of before. Rather reaped too late.
 */
function setForward({ host }: Context, { server }: SessionRecord): number {
  if (server?.startTicks === undefined) return 0;
  const bootTime = host.now() / 1000 - host.uptime();
  const step = bootTime + server.startTicks / USER_HZ - server.startedAt;
  return step > DRIFT ? step : 0;
}

function changedAt(path: string): number {
  try {
    return Deno.statSync(path).mtime?.getTime() ?? 0;
  } catch {
    return 0;
  }
}

/**
 * Whether a file that matches `glob` has changed since `since`. `find` looks,
 * because the files lie outside the root; a file of our own carries the time.
 */
async function changedSince(
  ctx: Context,
  identity: string,
  glob: string,
  since: number,
): Promise<boolean> {
  const reference = join(ctx.paths.locks, `${identity}.idle`);
  try {
    Deno.writeFileSync(reference, new Uint8Array(), { mode: 0o600 });
    const time = new Date(since);
    Deno.utimeSync(reference, time, time);
    const result = await ctx.host.tools.run("find", [
      globBase(glob),
      "-path",
      glob,
      "-newer",
      reference,
      "-print",
    ]);
    // Who cannot tell must not reap.
    return result.stdout !== "" || result.failure !== undefined || result.timedOut;
  } catch {
    return true;
  } finally {
    removeIfThere(reference);
  }
}

/**
 * The directory above the first wildcard of a glob.
 *
 * @param glob An absolute glob as `find -path` takes it (`*` matches `/` too).
 * @returns Where to look.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { globBase } from "./idle.ts";
 *
 * assert.equal(globBase("/home/bob/work/*.jsonl"), "/home/bob/work");
 * ```
 */
export function globBase(glob: string): string {
  const wild = glob.search(/[*?[\\]/);
  if (wild === -1) return glob;
  return glob.slice(0, glob.lastIndexOf("/", wild)) || "/";
}
