import assert from "node:assert/strict";
import { Random } from "../chaos/random.ts";
import { describe, faultsOf, scheduleOf } from "../chaos/schedule.ts";

const POINTS = [
  "attach:locked",
  "claim:voided",
  "kill:claimed",
  "own:abandoned",
  "record:locked",
  "request:written",
  "request:withdrawn",
  "request:dismissed",
  "request:answered",
  "serve:taken",
  "launch:locked",
];

Deno.test("scheduleOf() does the same for the same seed", () => {
  for (let seed = 0; seed < 500; seed++) {
    assert.deepEqual(scheduleOf(seed, POINTS), scheduleOf(seed, POINTS));
  }
});

Deno.test("scheduleOf() does something else for another seed", () => {
  const texts = Array.from(
    { length: 200 },
    (_, seed) => JSON.stringify(scheduleOf(seed, POINTS).steps),
  );
  assert(new Set(texts).size > 195);
});

Deno.test("scheduleOf() aims at every fault point in turn", () => {
  POINTS.forEach((point, n) => {
    for (let seed = 2 * n; seed < 400; seed += 2 * POINTS.length) {
      const { steps } = scheduleOf(seed, POINTS);
      assert(
        steps.some((step) => faultsOf(step).some((fault) => fault.point === point)),
        `${point}: ${steps.map(describe).join("; ")}`,
      );
    }
  });
});

Deno.test("Random gives the same numbers on every machine", () => {
  const random = new Random(1);
  assert.deepEqual([random.whole(0, 999), random.whole(0, 999), random.whole(0, 999)], [
    149,
    531,
    535,
  ]);
  assert.equal(random.pick(["only"]), "only");
  const many = Array.from({ length: 1000 }, () => random.weigh({ often: 9, seldom: 1 }));
  const often = many.filter((one) => one === "often").length;
  assert(often > 850 && often < 950, String(often));
});
