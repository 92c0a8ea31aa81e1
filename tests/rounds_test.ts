import assert from "node:assert/strict";
import { Rounds } from "../lib/rounds.ts";

/** Rounds that last until they are ended. */
function held(limits: { atOnce: number; most: number }) {
  const begun: number[][] = [];
  const ends: (() => void)[] = [];
  const rounds = new Rounds<number>((pieces) => {
    begun.push([...pieces]);
    return new Promise((end) => ends.push(end));
  }, limits);
  return { rounds, begun, ends };
}

/** Lets everything happen that waits for nothing. */
function calm(): Promise<void> {
  return new Promise((wake) => setTimeout(wake, 0));
}

Deno.test("Rounds lets what comes in meanwhile wait, and takes it together", async () => {
  const { rounds, begun, ends } = held({ atOnce: 2, most: 10 });
  for (const piece of [1, 2]) rounds.add(piece);
  await calm();
  rounds.add(3);
  await calm();
  for (const piece of [4, 5]) rounds.add(piece);
  await calm();
  rounds.add(6);
  await calm();
  assert.deepEqual(begun, [[1, 2], [3]]);
  ends[1]!();
  await calm();
  assert.deepEqual(begun, [[1, 2], [3], [4, 5, 6]]);
});

Deno.test("Rounds splits what is too much for one round", async () => {
  const { rounds, begun, ends } = held({ atOnce: 2, most: 2 });
  for (const piece of [1, 2, 3, 4, 5]) rounds.add(piece);
  await calm();
  assert.deepEqual(begun, [[1, 2], [3, 4]]);
  ends[0]!();
  await calm();
  assert.deepEqual(begun, [[1, 2], [3, 4], [5]]);
});
