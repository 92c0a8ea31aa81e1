import assert from "node:assert/strict";
import { decide, type Decision, type Ending, endingOf, recent } from "../lib/policy.ts";
import type { RestartPolicy, SessionRecord } from "../lib/sessions.ts";

const TABLE: readonly (readonly [RestartPolicy, Ending, Decision])[] = [
  ["never", "death", "rest"],
  ["never", "failure", "rest"],
  ["never", "success", "rest"],
  ["never", "wanted", "rest"],
  ["on-failure", "death", "restart"],
  ["on-failure", "failure", "restart"],
  ["on-failure", "success", "rest"],
  ["on-failure", "wanted", "rest"],
  ["always", "death", "restart"],
  ["always", "failure", "restart"],
  ["always", "success", "restart"],
  ["always", "wanted", "rest"],
];

const RECORD: SessionRecord = {
  identity: "claude-bob",
  state: "gone",
  external: false,
  sock: "/r/run/claude-bob.sock",
  launchedAt: 0,
};

for (const [restart, ending, decision] of TABLE) {
  Deno.test(`decide() answers ${decision} to ${ending} under ${restart}`, () => {
    const often = [{ uptime: 998 }, { uptime: 999 }, { uptime: 1000 }];
    assert.equal(decide(restart, ending, often.slice(2), 1000), decision);
    assert.equal(decide(restart, ending, often.slice(1), 1000), decision);
    const looping = decision === "restart" ? "crash-loop" : "rest";
    assert.equal(decide(restart, ending, often, 1000), looping);
  });
}

Deno.test("decide() forgets ends of more than five minutes ago", () => {
  const ends = [{ uptime: 700 }, { uptime: 999 }, { uptime: 1000 }];
  assert.equal(decide("always", "death", ends, 1000), "crash-loop");
  assert.equal(decide("always", "death", ends, 1000.1), "restart");
});

Deno.test("recent() leaves out the old and the impossible", () => {
  const ends = [699.9, 700, 1000, 1000.1].map((uptime) => ({ uptime }));
  assert.deepEqual(recent(ends, 1000), [{ uptime: 700 }, { uptime: 1000 }]);
});

Deno.test("endingOf() tells death, failure, success and what was wanted", () => {
  const ended = (lastExit: SessionRecord["lastExit"] & object) =>
    endingOf({ ...RECORD, lastExit }, "claimed");
  assert.equal(endingOf(RECORD, "death"), "death");
  assert.equal(endingOf({ ...RECORD, lastExit: { status: "0" } }, "death"), "death");
  assert.equal(ended({ status: "0" }), "success");
  assert.equal(ended({ status: "3" }), "failure");
  assert.equal(ended({ signal: "9" }), "failure");
  assert.equal(ended({}), "failure");
  assert.equal(endingOf(RECORD, "claimed"), "wanted");
  for (const state of ["stopped", "parked"] as const) {
    assert.equal(endingOf({ ...RECORD, state, lastExit: { status: "1" } }, "claimed"), "wanted");
  }
});
