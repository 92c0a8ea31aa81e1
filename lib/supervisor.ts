/**
 * Whether a supervisor is at work on a root: it holds a lock for as long as it
 * lives.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { inspect } from "./host.ts";
import { isLocked } from "./locks.ts";

/** The lock that a supervisor holds while it is at work. */
export function supervisorLock(ctx: Context): string {
  return ctx.paths.lock("supervise");
}

/**
 * Tells whether a supervisor is at work on a root.
 *
 * @param ctx The root.
 * @returns `true` if one holds the lock.
 * @throws {Error} If the lock file is there and cannot be opened.
 */
export function isSupervised(ctx: Context): boolean {
  return isLocked(supervisorLock(ctx));
}

/** What a supervisor has noted in its lock. */
export interface SupervisorNote {
  /** Its process id. */
  readonly pid: number;
  /** When it noted that, in epoch milliseconds. */
  readonly at: number;
}

/**
 * Tells which supervisor is at work on a root.
 *
 * @param ctx The root.
 * @returns `undefined` if none is, or it is only starting.
 */
export function supervisorOf(ctx: Context): SupervisorNote | undefined {
  try {
    if (!isSupervised(ctx)) return undefined;
    const pid = supervisorPid(ctx);
    const at = Deno.statSync(supervisorLock(ctx)).mtime?.getTime() ?? 0;
    return pid === undefined ? undefined : { pid, at };
  } catch {
    // Between the lock and the note.
    return undefined;
  }
}

/**
 * The process id of the supervisor.
 *
 * @param ctx The root.
 * @returns What the holder of the lock, or the last one, has noted there.
 */
export function supervisorPid(ctx: Context): number | undefined {
  try {
    const { pid } = JSON.parse(Deno.readTextFileSync(supervisorLock(ctx)));
    return Number.isSafeInteger(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Tells whether a signal holds the supervisor up: it keeps its locks then, and
 * does nothing.
 *
 * @param ctx The root.
 * @returns `true` for one that is stopped.
 */
export async function isSupervisorStopped(ctx: Context): Promise<boolean> {
  const pid = supervisorPid(ctx);
  if (pid === undefined) return false;
  return (await inspect(ctx.host, [pid]))?.get(pid)?.stopped ?? false;
}
