/**
 * From a noticed death to a closed entry: journal, line, snapshot, in this
 * order, exactly once, whoever is killed on the way.
 *
 * Two rules carry the promise. The entry of a death is made for exactly one
 * witness (the file system decides). And whoever works on an entry holds its
 * lock, which the kernel frees when the worker dies: an entry that is open and
 * not locked has been left, and the next one who comes by finishes it.
 *
 * What reaches the disk, and when: the entry is created without a sync, the
 * line is synced (and the directory, when the log is new), the entry's next
 * state is synced. A power cut therefore leaves, in the order of its moment:
 * nothing; an entry, whole, torn or none, without a line; the line, and an entry
 * that is open, torn or none; both. Whoever finds an open entry, or none, after
 * a cut searches `exits.log` for the death's id before writing the line. Only a
 * witness that saw the server die with its own eyes does not: nobody before it
 * can have known.
 *
 * @module
 */

import { conclude } from "./conclude.ts";
import { type Context, messageOf, note, warnOnce } from "./context.ts";
import {
  type Death,
  journalId,
  listDeaths,
  type Observation,
  openDeath,
  readDeath,
  updateDeath,
} from "./deaths.ts";
import { exitRecord, isInLog, observedFields } from "./exits.ts";
import { faultPoint } from "./fault.ts";
import { sameIncarnation } from "./host.ts";
import { type Lock, tryLock } from "./locks.ts";
import { appendLine } from "./log.ts";
import { isThere, NewerFormatError, removeIfThere } from "./store.ts";

/** How long a death that cannot be written is held in memory, in milliseconds. */
const HOLD_MS = 24 * 3600 * 1000;
/** How long a root may be gone until it counts as removed for good, in milliseconds. */
const ROOT_GONE_MS = 600_000;
const LOCK_ENDING = ".death";
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 30_000;

/** A death whose line is on disk; the evidence is on its way. */
export interface Recorded {
  /** The entry as it was when its line was on disk. */
  readonly death: Death;
  /** Settles when the entry is closed. Never rejects. */
  readonly closed: Promise<Death>;
}

/**
 * Records a death if nobody did.
 *
 * @param ctx The root.
 * @param seen What was observed.
 * @param onJournal Called as soon as the entry is in the journal, whoever made it.
 * @param more What goes into the entry once the line is on disk: nothing large
 * may stand between a death and its line.
 * @returns The record, or `undefined` if somebody else has it in hand.
 * @throws {Error} If the storage refuses; then nothing is lost and it may be tried again.
 */
export function recordDeath(
  ctx: Context,
  seen: Observation,
  onJournal: () => void = () => {},
  more: () => Partial<Observation> = () => ({}),
): Recorded | undefined {
  const id = journalId(ctx, seen.identity, seen.server);
  const lock = takeDeathLock(ctx, id);
  if (lock === undefined) {
    // Whoever holds it has made the entry, or is about to.
    onJournal();
    return undefined;
  }
  try {
    const fresh: Death = { id, step: "noticed", ...seen };
    faultPoint("record:locked");
    const first = openDeath(ctx, fresh);
    faultPoint("record:journal-written");
    onJournal();
    faultPoint("record:lock-released");
    if (!first) {
      // A witness that died has left it open, or it is finished.
      const left = readDeath(ctx, id);
      if (left !== undefined && !sameIncarnation(left.server, seen.server)) {
        // Another incarnation's, made since the look: the next number is ours.
        dropLock(ctx, id, lock, left.step === "closed");
        return recordDeath(ctx, seen, onJournal, more);
      }
      if (left?.step === "closed") {
        dropLock(ctx, id, lock, true);
        return undefined;
      }
      // A corrupt one has been set aside by this look: it is made anew.
      if (left === undefined) openDeath(ctx, fresh);
      return proceed(ctx, left ?? fresh, lock, false, more);
    }
    return proceed(ctx, fresh, lock, true, more);
  } catch (error) {
    lock.release();
    // A newer program has made the entry; it, or the next of its kind, brings it to its end.
    if (error instanceof NewerFormatError) return undefined;
    throw error;
  }
}

/**
 * The lock of an entry of the journal.
 *
 * @param ctx The root.
 * @param id The death.
 * @returns Its path.
 */
export function deathLock(ctx: Context, id: string): string {
  return ctx.paths.lock(id + LOCK_ENDING);
}

/** Takes an entry's lock, and notes whose it is: see {@linkcode evictHolder}. */
function takeDeathLock(ctx: Context, id: string): Lock | undefined {
  const lock = tryLock(deathLock(ctx, id));
  try {
    lock?.note(JSON.stringify({ pid: Deno.pid }));
  } catch {
    // The disk is full: then it cannot be told who is held up, that is all.
  }
  return lock;
}

/**
 * Lets go of an entry. Once it is closed its lock file goes too: whoever opened
 * that before, or makes a new one, reads a closed entry under it and leaves.
 * Of an entry that is open, or not made yet, the file has to stay, or two could
 * hold "the" lock at once.
 */
function dropLock(ctx: Context, id: string, lock: Lock, closed: boolean): void {
  if (closed) removeIfThere(deathLock(ctx, id));
  faultPoint("record:lock-removed");
  lock.release();
}

/** Takes an entry from the step it is at to its end; releases `lock` there. */
function proceed(
  ctx: Context,
  death: Death,
  lock: Lock,
  first: boolean,
  more: () => Partial<Observation> = () => ({}),
): Recorded {
  let recorded = death;
  if (death.step === "noticed") {
    const eyewitness = first && death.cause !== "unobserved" && !wasSetAside(ctx, death.id);
    if (eyewitness || !isInLog(ctx, "server-exit", death.id)) {
      appendLine(ctx.paths, ctx.paths.exitsLog, exitRecord(ctx, death), { sync: true });
    }
    faultPoint("record:line-written");
    recorded = { ...death, ...more(), step: "recorded", recordedAt: ctx.host.now() };
    updateDeath(ctx, recorded);
    faultPoint("record:marked");
    note(ctx, "death-recorded", observedFields(recorded));
  }
  return {
    death: recorded,
    closed: conclude(ctx, recorded, !first).then((concluded) => {
      dropLock(ctx, death.id, lock, concluded.step === "closed");
      return concluded;
    }),
  };
}

/** An entry of this death became corrupt before: its line may be there. */
function wasSetAside(ctx: Context, id: string): boolean {
  return isThere(`${ctx.paths.death(id)}.corrupt`);
}

/** Options of {@linkcode finishOpenDeaths}. */
export interface FinishOptions {
  /** Only the entries of this session. */
  readonly identity?: string;
  /** Read the whole journal: lock files are never synced, and can be swept away. */
  readonly thorough?: boolean;
}

/**
 * Finishes the entries that a dead witness has left open. They are known by
 * their lock files, which go when an entry is closed: the journal itself only
 * grows, and is read as a whole when asked to only.
 *
 * @param ctx The root.
 * @param options See {@linkcode FinishOptions}.
 * @returns What was taken on. One that the storage refuses is left for the next time.
 */
export function finishOpenDeaths(
  ctx: Context,
  { identity, thorough = false }: FinishOptions = {},
): Recorded[] {
  const taken: Recorded[] = [];
  const ids = thorough
    ? listDeaths(ctx).filter(({ step }) => step !== "closed").map(({ id }) => id)
    : openDeaths(ctx);
  for (const id of ids) {
    try {
      const one = finishDeath(ctx, id, identity);
      if (one !== undefined) taken.push(one);
    } catch (error) {
      warnOnce(`cannot finish the entry of ${id}: ${messageOf(error)}`);
    }
  }
  return taken;
}

function openDeaths(ctx: Context): string[] {
  return [...Deno.readDirSync(ctx.paths.locks)]
    .filter(({ name }) => name.endsWith(LOCK_ENDING))
    .map(({ name }) => name.slice(0, -LOCK_ENDING.length))
    .sort();
}

/** Finishes one entry, if it is open, of the session asked for, and nobody is at work on it. */
function finishDeath(ctx: Context, id: string, identity?: string): Recorded | undefined {
  const lock = takeDeathLock(ctx, id);
  if (lock === undefined) return undefined;
  try {
    const death = readDeath(ctx, id);
    const open = death !== undefined && death.step !== "closed";
    if (open && (identity === undefined || death.identity === identity)) {
      return proceed(ctx, death, lock, false);
    }
    dropLock(ctx, id, lock, death?.step === "closed");
    return undefined;
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * Holds a death in memory whatever the storage says: settling it is tried again
 * and again, for a day at most, or until the root itself is gone for good.
 *
 * @param ctx The root.
 * @param seen Whose death.
 * @param settle Throws while the storage refuses.
 * @returns What `settle` gave, or `undefined` if the death was given up.
 */
export async function holdDeath<T>(
  ctx: Context,
  seen: Pick<Observation, "identity" | "server">,
  settle: () => T,
): Promise<T | undefined> {
  const started = performance.now();
  let rootGoneAt: number | undefined;
  for (let pause = FIRST_RETRY_MS;; pause = Math.min(pause * 2, LAST_RETRY_MS)) {
    try {
      return settle();
    } catch (error) {
      warnOnce(
        `cannot record the death of ${seen.identity} (server ${seen.server.pid}), holding it and trying again: ${
          messageOf(error)
        }`,
      );
      rootGoneAt = isGone(ctx.paths.root) ? rootGoneAt ?? performance.now() : undefined;
      const held = performance.now() - started;
      if (held > HOLD_MS || performance.now() - (rootGoneAt ?? Infinity) > ROOT_GONE_MS) {
        warnOnce(`gave up recording the death of ${seen.identity} (server ${seen.server.pid})`);
        return undefined;
      }
      await ctx.host.sleep(pause);
    }
  }
}

/** One that cannot be looked at is not gone. */
function isGone(root: string): boolean {
  try {
    return !isThere(root);
  } catch {
    return false;
  }
}
