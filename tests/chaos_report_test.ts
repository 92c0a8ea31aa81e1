import assert from "node:assert/strict";
import type { Books, Entry } from "../chaos/books.ts";
import { isGood, type Outcome, reportText, tally } from "../chaos/report.ts";

const ENTRY: Entry = {
  server: {
    ...{ pid: 4242, ppid: 4241, ticks: 77, role: "server", root: "/r", identity: "chaos-a" },
    ...{ firstAt: 0, goneAt: 1, stopped: false },
  },
  class: "must",
  why: "SIGKILL",
  armed: true,
  records: 1,
  verdicts: 1,
};
const CLEAN: Books = {
  entries: [ENTRY, ENTRY, { ...ENTRY, class: "must-not", records: 0, verdicts: 0 }],
  strangers: [],
  lost: 0,
  doubled: 0,
  false: 0,
  verdictless: 0,
  verdictsTooMany: 0,
};
const GOOD: Outcome = { seed: 7, complaints: [], books: CLEAN, hits: ["a:x"], secs: 1, text: "" };
const POINTS = ["a:x", "b:y"];

Deno.test("tally() adds up deaths, claims and hits of all schedules", () => {
  const report = tally([GOOD, { ...GOOD, seed: 8, hits: ["a:x", "c:gone"] }], POINTS, 7, 1.26);
  const { deaths, claimed, recorded, lost, doubled, verdictsMissing, minutes } = report;
  assert.deepEqual([deaths, claimed, recorded, lost, doubled, verdictsMissing, minutes], [
    ...[4, 2, 4, 0, 0, 0],
    1.3,
  ]);
  assert.deepEqual(report.faultPoints, { "a:x": 2, "b:y": 0 });
  assert.deepEqual(report.neverHit, ["b:y"]);
});

Deno.test("isGood() wants every fault point hit only where that is asked for", () => {
  const some = tally([GOOD], POINTS, 7, 1);
  assert(isGood(some, false));
  assert(!isGood(some, true));
  assert(isGood(tally([{ ...GOOD, hits: POINTS }], POINTS, 7, 1), true));
  const failed = tally([{ ...GOOD, hits: POINTS, complaints: ["1 deaths lost"] }], POINTS, 7, 1);
  assert(!isGood(failed, false));
});

Deno.test("reportText() tells every figure, the points that were missed and how to do a failure again", () => {
  const books = { ...CLEAN, lost: 1, doubled: 2, false: 3, verdictless: 4, verdictsTooMany: 5 };
  const text = reportText(
    tally([{ ...GOOD, books, complaints: ["1 deaths lost"] }], POINTS, 7, 0.5),
  );
  for (
    const part of [
      "1 schedules from seed 7, 1 failed, 0.5 minutes",
      "3 servers ended: 2 deaths caused, 1 claimed, 0 either",
      "2 recorded, 1 lost, 2 doubled, 3 false, 4 verdicts missing, 5 verdicts too many",
      "1 of 2 fault points hit, 1 times: a:x 1",
      "never hit: b:y",
      "failed: --seed 7: 1 deaths lost",
    ]
  ) {
    assert(text.includes(part), `${part}\n${text}`);
  }
});
