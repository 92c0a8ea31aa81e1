/**
 * A canary's watch while it lasts, and what follows when its server ends.
 *
 * @module
 */

import { type Arming, lookAround } from "./arming.ts";
import { covers, nowOf, readClaim, spendClaim } from "./claims.ts";
import type { Context } from "./context.ts";
import type { Observation } from "./deaths.ts";
import { faultPoint } from "./fault.ts";
import { FlightRecorder } from "./flight.ts";
import type { Incarnation } from "./host.ts";
import type { Lock } from "./locks.ts";
import { holdDeath, recordDeath, type Recorded } from "./record.ts";
import { rehearse } from "./rehearsal.ts";
import type { End } from "./watch.ts";
import type { CanaryNote } from "./watcher.ts";

/** What {@linkcode concludeWatch} has done about the end of a server. */
export type Conclusion = { readonly claimed: true } | {
  readonly claimed: false;
  readonly recorded: Recorded | undefined;
};

/** A watch under way: what is written into the lock, and what is recorded for later. */
export class Watch implements Disposable {
  readonly #lock: Lock;
  readonly #flight: FlightRecorder;
  #note: CanaryNote;

  /**
   * Writes the note and begins to sample the machine.
   *
   * @param ctx The root.
   * @param lock The canary's lock.
   * @param note Who watches what.
   * @param nudge Called every few seconds.
   */
  constructor(ctx: Context, lock: Lock, note: CanaryNote, nudge?: () => void) {
    this.#flight = new FlightRecorder(nudge);
    this.#lock = lock;
    this.#note = note;
    this.tell({});
    // After the server is watched: arming waits for nothing.
    lookAround(ctx, note.server.pid).then((armed) => this.tell({ armed }), () => {})
      .then(() => rehearse(ctx, note));
  }

  /** Adds to what the lock says. */
  tell(more: { readonly armed?: Arming; readonly client?: Incarnation | undefined }): void {
    const { client, ...rest } = { ...this.#note, ...more };
    this.#note = { ...rest, ...(client === undefined ? {} : { client }) };
    try {
      this.#lock.note(JSON.stringify(this.#note));
    } catch {
      // The disk is full, or the watch is over: it is for others to read only.
    }
  }

  /** What is known when the server has ended. */
  observed(): Pick<Observation, "armed" | "flight" | "panePid"> {
    const { armed, panePid } = this.#note;
    return {
      ...(panePid === undefined ? {} : { panePid }),
      ...(armed === undefined ? {} : { armed }),
      flight: this.#flight.read(),
    };
  }

  /** Ends the nudges and the flight recorder. */
  [Symbol.dispose](): void {
    this.#flight[Symbol.dispose]();
  }
}

/**
 * The end of a watched server: silence if it was wanted, a record if not.
 *
 * @param ctx The root.
 * @param seen Which server, and how it ended.
 * @param release Lets go of the canary's lock.
 * @returns What was done.
 */
export async function concludeWatch(
  ctx: Context,
  seen: {
    readonly identity: string;
    readonly server: Incarnation;
    readonly mode: "own" | "attach";
    readonly end: End;
    readonly watch?: Watch;
  },
  release: () => void,
): Promise<Conclusion> {
  const { identity, server, mode, end, watch } = seen;
  faultPoint("canary:server-ended");
  const moment = nowOf(ctx);
  const observation: Observation = {
    identity,
    server,
    ...end,
    witness: "canary",
    mode,
    observedAt: moment.at,
  };
  const more = () => watch?.observed() ?? {};
  const settle = (): Conclusion => {
    // While this cannot be read the lock is kept: a session that is launched and
    // stopped meanwhile would put its own claim in the place of this one.
    const claim = readClaim(ctx, identity);
    if (claim !== undefined && covers(claim, server, moment)) {
      spendClaim(ctx, claim);
      release();
      faultPoint("canary:claim-spent");
      return { claimed: true };
    }
    try {
      return { claimed: false, recorded: recordDeath(ctx, observation, release, more) };
    } catch (error) {
      // The death is held; the next incarnation may be watched meanwhile.
      release();
      throw error;
    }
  };
  return await holdDeath(ctx, seen, settle) ?? { claimed: false, recorded: undefined };
}
