import assert from "node:assert/strict";
import type { Liveness } from "../lib/host.ts";
import { classifyGone } from "../lib/lifecycle.ts";
import type { ClientFailure } from "../lib/tmux.ts";

type Class = ReturnType<typeof classifyGone>;
const LIVENESS: readonly Liveness[] = ["alive", "stopped", "gone", "unknown"];

/** For each answer of the server what it means, by {@linkcode LIVENESS} of its process. */
const TABLE: readonly (readonly [boolean | ClientFailure, readonly Class[]])[] = [
  [true, ["alive", "alive", "server-dead", "alive"]],
  [false, ["session-gone", "session-gone", "server-dead", "session-gone"]],
  ["no-server", ["unreachable", "unreachable", "server-dead", "server-dead"]],
  ["no-socket", ["unreachable", "unreachable", "server-dead", "server-dead"]],
  ["lost", ["unreachable", "unreachable", "server-dead", "unreachable"]],
  ["version", ["unreachable", "unreachable", "server-dead", "unreachable"]],
  ["timeout", ["unreachable", "unreachable", "server-dead", "unreachable"]],
];

for (const [answer, classes] of TABLE) {
  for (const [n, server] of LIVENESS.entries()) {
    Deno.test(`classifyGone() says ${classes[n]} to ${answer} of a server that is ${server}`, () => {
      assert.equal(classifyGone(answer, server), classes[n]);
    });
  }
}
