/**
 * A limit to how much is done side by side.
 *
 * @module
 */

/**
 * So many at once, the others in the order in which they came.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { Slots } from "./slots.ts";
 *
 * const slots = new Slots(1);
 * const order: string[] = [];
 * const one = slots.run(() => Promise.resolve().then(() => order.push("one")));
 * const two = slots.run(() => Promise.resolve(order.push("two")));
 * await Promise.all([two, one]);
 * assert.deepEqual(order, ["one", "two"]);
 * ```
 */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /**
   * All slots are free.
   *
   * @param count How many there are.
   */
  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Does something as soon as a slot is free.
   *
   * @param work What to do.
   * @returns What came of it.
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((go) => this.#waiting.push(go));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // Handed on: nobody who comes now is faster.
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
