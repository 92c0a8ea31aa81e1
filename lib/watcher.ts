/**
 * Who watches a session: the canary's lock, and what its holder has noted in it.
 *
 * @module
 */

import type { Arming } from "./arming.ts";
import { type Context, note } from "./context.ts";
import { IapeerError } from "./errors.ts";
import { commandOf, type Incarnation, inspect, livenessOf, sendSignal } from "./host.ts";
import { isLocked, type Lock, waitLock } from "./locks.ts";

/** What a canary writes into the lock that it holds. */
export interface CanaryNote {
  /** The canary's own process id. */
  readonly pid: number;
  /** How it watches. */
  readonly mode: "own" | "attach";
  /** Path of the server's socket. */
  readonly sock: string;
  /** The incarnation under watch. */
  readonly server: Incarnation;
  /** Own mode: of which launch, as its record says. */
  readonly launchedAt?: number;
  /** Own mode: pid of the session's program. */
  readonly panePid?: number;
  /** Attach mode: the client that waits. */
  readonly client?: Incarnation;
  /** The machine as it was when the watch began. */
  readonly armed?: Arming;
}

/** The lock that a canary holds while it watches. */
export function canaryLock(ctx: Context, identity: string): string {
  return ctx.paths.lock(`${identity}.canary`);
}

/**
 * Tells who watches a session.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @returns The canary's note; `"starting"` for one that has not written it
 * yet; `undefined` if nobody watches.
 */
export function watcherOf(ctx: Context, identity: string): CanaryNote | "starting" | undefined {
  if (!isLocked(canaryLock(ctx, identity))) return undefined;
  return readCanaryNote(ctx, identity) ?? "starting";
}

/** The last note, of a canary that lives or of one that is gone. */
export function readCanaryNote(ctx: Context, identity: string): CanaryNote | undefined {
  const value = readNote(canaryLock(ctx, identity)) as CanaryNote | undefined;
  return typeof value?.pid === "number" && typeof value.server?.pid === "number"
    ? value
    : undefined;
}

/** The note in a lock, of a canary that may be starting yet. */
function readNote(lock: string): Partial<CanaryNote> | undefined {
  try {
    const value = JSON.parse(Deno.readTextFileSync(lock));
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** How long a canary that lets go is waited for, in milliseconds. */
const LET_GO_MS = 1000;

/**
 * Waits for the canary's lock. A look by somebody else holds it for
 * microseconds, an older canary until its death is in the journal. One that a
 * signal holds up never lets go: see {@linkcode evictCanary}.
 *
 * What an older canary has noted stays until {@linkcode beginNote}.
 *
 * @throws {IapeerError} If another canary keeps watching.
 */
export async function takeCanaryLock(ctx: Context, identity: string): Promise<Lock> {
  const path = canaryLock(ctx, identity);
  let lock = await waitLock(path, LET_GO_MS);
  if (lock === undefined && await evictCanary(ctx, identity)) {
    lock = await waitLock(path, LET_GO_MS);
  }
  if (lock === undefined) {
    throw new IapeerError(
      `Cannot watch "${identity}": another canary watches it already; see: iapeer status ${identity}`,
    );
  }
  return lock;
}

/**
 * Takes the place of an older canary's note: whoever found that one beside the
 * lock of a canary that is only starting would take it for one that watches.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @param lock The canary's lock, just taken.
 * @returns The client that a canary in attach mode may have left waiting when
 * it was killed; `"unknown"` if it was killed before it could note which. Stays
 * noted until this canary notes its own.
 */
export function beginNote(
  ctx: Context,
  identity: string,
  lock: Lock,
): Incarnation | "unknown" | undefined {
  const { mode, client } = readNote(canaryLock(ctx, identity)) ?? {};
  lock.note(JSON.stringify({ pid: Deno.pid, mode, client }));
  return client ?? (mode === "attach" ? "unknown" : undefined);
}

/** The canary that has noted itself in a lock, if it is of this session and a signal holds it up. */
async function heldCanary(
  ctx: Context,
  identity: string,
  lock: string,
): Promise<Incarnation | undefined> {
  const pid = readNote(lock)?.pid;
  if (typeof pid !== "number" || pid === Deno.pid) return undefined;
  const info = (await inspect(ctx.host, [pid]))?.get(pid);
  if (info === undefined || info.zombie || !info.stopped) return undefined;
  const command = await commandOf(ctx.host, pid);
  // The pid may have come again since the note was written.
  const ours = command.includes(" canary ") && command.includes(` --identity ${identity} `) &&
    command.endsWith(` --root ${ctx.paths.root}`);
  const { startedAt, startTicks } = info;
  return ours ? { pid, startedAt, ...(startTicks === undefined ? {} : { startTicks }) } : undefined;
}

/**
 * Tells whether the canary of a session is held up by a signal: then it does
 * not finish what it does, however long it is waited for.
 */
export async function isHeldUp(ctx: Context, identity: string): Promise<boolean> {
  const lock = canaryLock(ctx, identity);
  return isLocked(lock) && await heldCanary(ctx, identity, lock) !== undefined;
}

/**
 * Ends a canary that a signal holds up while it has nothing to watch any more:
 * it would keep the next server unwatched. What it had to record is recorded by
 * whoever finds its server gone.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @returns `true` if there was one; its lock is then free.
 */
export async function evictCanary(ctx: Context, identity: string): Promise<boolean> {
  const watched = readCanaryNote(ctx, identity)?.server;
  if (watched !== undefined && await livenessOf(ctx.host, watched) !== "gone") return false;
  const lock = canaryLock(ctx, identity);
  return isLocked(lock) && await evictHolder(ctx, identity, lock);
}

/**
 * Ends the canary that holds a lock, if a signal holds it up. If it goes on
 * between the look and its end it gets as far as it gets: whatever it has
 * written by then, the next holder of the lock takes up.
 *
 * @param ctx The root.
 * @param identity Of which session.
 * @param lock A lock that is held; its holder has noted its `pid` there.
 * @returns `true` if there was one, and nobody has taken the lock since.
 */
export async function evictHolder(
  ctx: Context,
  identity: string,
  lock: string,
): Promise<boolean> {
  const canary = await heldCanary(ctx, identity, lock);
  if (canary === undefined || !await sendSignal(ctx.host, canary, "KILL")) return false;
  note(ctx, "canary-evicted", [["identity", identity], ["canary_pid", canary.pid]]);
  // Not when it is a zombie: its other threads may still be about to end, and
  // the lock with the last of them.
  const freed = await waitLock(lock, LET_GO_MS);
  freed?.release();
  return freed !== undefined;
}
