/**
 * Work that comes in piece by piece and is cheaper to do several pieces at a
 * time.
 *
 * @module
 */

/**
 * Hands pieces of work on in rounds. A round takes all that wait when it
 * begins; what comes in while as many rounds as may be are under way waits, and
 * goes into the next one together.
 *
 * @example Pieces that come in at once go into one round
 * ```ts
 * import assert from "node:assert/strict";
 * import { Rounds } from "./rounds.ts";
 *
 * const seen: number[][] = [];
 * const over = Promise.withResolvers<void>();
 * const rounds = new Rounds<number>((pieces) => {
 *   seen.push([...pieces]);
 *   over.resolve();
 *   return Promise.resolve();
 * }, { atOnce: 1, most: 10 });
 * rounds.add(1);
 * rounds.add(2);
 * await over.promise;
 * assert.deepEqual(seen, [[1, 2]]);
 * ```
 */
export class Rounds<T> {
  readonly #work: (pieces: readonly T[]) => Promise<void>;
  readonly #atOnce: number;
  readonly #most: number;
  readonly #waiting: T[] = [];
  #busy = 0;

  /**
   * Begins without any work.
   *
   * @param work Does a round. Must not reject.
   * @param limits Rounds under way at once, and most pieces of one.
   */
  constructor(
    work: (pieces: readonly T[]) => Promise<void>,
    limits: { readonly atOnce: number; readonly most: number },
  ) {
    this.#work = work;
    this.#atOnce = limits.atOnce;
    this.#most = limits.most;
  }

  /**
   * Adds a piece of work.
   *
   * @param piece The piece.
   */
  add(piece: T): void {
    this.#waiting.push(piece);
    // Not at once: whoever has one piece often has more at hand.
    queueMicrotask(() => this.#begin());
  }

  #begin(): void {
    if (this.#busy >= this.#atOnce || this.#waiting.length === 0) return;
    this.#busy++;
    void this.#work(this.#waiting.splice(0, this.#most)).finally(() => {
      this.#busy--;
      this.#begin();
    });
    this.#begin();
  }
}
