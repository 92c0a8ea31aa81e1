import assert from "node:assert/strict";
import { Slots } from "../lib/slots.ts";

Deno.test("Slots lets so many in at once, in their order, whatever becomes of them", async () => {
  const slots = new Slots(3);
  const order: number[] = [];
  let busy = 0;
  let most = 0;
  const work = async (n: number) => {
    order.push(n);
    most = Math.max(most, ++busy);
    for (let turns = 0; turns <= n % 4; turns++) await Promise.resolve();
    busy--;
    if (n % 5 === 0) throw new Error(String(n));
    return n;
  };
  const numbers = Array.from({ length: 40 }, (_, n) => n);
  const ended = await Promise.allSettled(numbers.map((n) => slots.run(() => work(n))));
  assert.equal(most, 3);
  assert.deepEqual(order, numbers);
  for (const [n, one] of ended.entries()) {
    assert.equal(one.status, n % 5 === 0 ? "rejected" : "fulfilled");
  }
  assert.equal(await slots.run(() => Promise.resolve(7)), 7);
});
