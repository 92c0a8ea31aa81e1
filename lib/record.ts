/**
 * From a noticed death to a closed entry: journal, line, snapshot, in this
 * order, exactly once, whoever is killed on the way.
 *
 * Two rules carry the promise. The entry of a death is made for exactly one
 * witness (the file system decides). And whoever works on an entry holds its
 * lock, which the kernel frees when the worker dies: an entry that is open and
 * not locked has been left, and the next one who comes by finishes it.
 *
 * What a power cut leaves: before the entry is on disk, nothing, and the next
 * tick finds an incarnation gone without an entry. After it, an open entry;
 * `exits.log` is searched for the death's id before the line is written again.
 *
 * @module
 */

import { conclude } from "./conclude.ts";
import { type Context, messageOf, note, warnOnce } from "./context.ts";
import {
  type Death,
  deathId,
  exitRecord,
  isInLog,
  listDeaths,
  type Observation,
  observedFields,
  openDeath,
  readDeath,
  updateDeath,
} from "./deaths.ts";
import { type Lock, tryLock } from "./locks.ts";
import { appendLine } from "./log.ts";
import { removeIfThere } from "./store.ts";

/** How long a death that cannot be written is held in memory, in milliseconds. */
const HOLD_MS = 24 * 3600 * 1000;
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
 * @returns The record, or `undefined` if somebody else has it in hand.
 * @throws {Error} If the storage refuses; then nothing is lost and it may be tried again.
 */
export function recordDeath(
  ctx: Context,
  seen: Observation,
  onJournal: () => void = () => {},
): Recorded | undefined {
  const id = deathId(seen.identity, seen.server);
  const lock = tryLock(deathLock(ctx, id));
  if (lock === undefined) {
    // Whoever holds it has made the entry, or is about to.
    onJournal();
    return undefined;
  }
  try {
    const fresh: Death = { id, step: "noticed", ...seen };
    const first = openDeath(ctx, fresh);
    onJournal();
    if (!first) {
      // A witness that died has left it open, or it is finished.
      const left = readDeath(ctx, id);
      if (left === undefined || left.step === "closed") {
        dropLock(ctx, id, lock);
        return undefined;
      }
      return proceed(ctx, left, lock, false);
    }
    return proceed(ctx, fresh, lock, true);
  } catch (error) {
    lock.release();
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
  return ctx.paths.lock(`${id}.death`);
}

/**
 * Lets go of an entry that is closed. Its lock file goes too: whoever opened
 * it before, or makes a new one, reads a closed entry under it and leaves.
 */
function dropLock(ctx: Context, id: string, lock: Lock): void {
  removeIfThere(deathLock(ctx, id));
  lock.release();
}

/** Takes an entry from the step it is at to its end; releases `lock` there. */
function proceed(ctx: Context, death: Death, lock: Lock, first: boolean): Recorded {
  let recorded = death;
  if (death.step === "noticed") {
    if (first || !isInLog(ctx, "server-exit", death.id)) {
      appendLine(ctx.paths, ctx.paths.exitsLog, exitRecord(ctx, death), { sync: true });
    }
    recorded = { ...death, step: "recorded", recordedAt: ctx.host.now() };
    updateDeath(ctx, recorded);
    note(ctx, "death-recorded", observedFields(recorded));
  }
  return {
    death: recorded,
    closed: conclude(ctx, recorded, !first).finally(() => dropLock(ctx, death.id, lock)),
  };
}

/**
 * Finishes the entries that a dead witness has left open.
 *
 * @param ctx The root.
 * @param identity Only those of this session; all unless told.
 * @returns What was taken on. One that the storage refuses is left for the next time.
 */
export function finishOpenDeaths(ctx: Context, identity?: string): Recorded[] {
  const taken: Recorded[] = [];
  for (const { id, step, identity: whose } of listDeaths(ctx)) {
    if (step === "closed" || (identity !== undefined && whose !== identity)) continue;
    try {
      const lock = tryLock(deathLock(ctx, id));
      if (lock === undefined) continue;
      const death = readDeath(ctx, id);
      if (death === undefined || death.step === "closed") {
        dropLock(ctx, id, lock);
        continue;
      }
      try {
        taken.push(proceed(ctx, death, lock, false));
      } catch (error) {
        lock.release();
        throw error;
      }
    } catch (error) {
      warnOnce(`cannot finish the entry of ${id}: ${messageOf(error)}`);
    }
  }
  return taken;
}

/**
 * Records a death whatever the storage says: it is held in memory and tried
 * again, for a day at most, or until the root itself is gone for good.
 *
 * @param ctx The root.
 * @param seen What was observed.
 * @param onJournal Called when the entry is in the journal, or when the first
 * try has failed: in both cases the next incarnation may be watched.
 * @returns The record, or `undefined` if somebody else has it, or it was given up.
 */
export async function recordDeathSurely(
  ctx: Context,
  seen: Observation,
  onJournal: () => void,
): Promise<Recorded | undefined> {
  const started = performance.now();
  for (let pause = FIRST_RETRY_MS;; pause = Math.min(pause * 2, LAST_RETRY_MS)) {
    try {
      return recordDeath(ctx, seen, onJournal);
    } catch (error) {
      onJournal();
      warnOnce(
        `cannot record the death of ${seen.identity} (server ${seen.server.pid}), holding it and trying again: ${
          messageOf(error)
        }`,
      );
      if (performance.now() - started > HOLD_MS) {
        warnOnce(`gave up recording the death of ${seen.identity} (server ${seen.server.pid})`);
        return undefined;
      }
      await ctx.host.sleep(pause);
    }
  }
}
