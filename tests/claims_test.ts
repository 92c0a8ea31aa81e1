import assert from "node:assert/strict";
import {
  type Claim,
  covers,
  expired,
  nowOf,
  readClaim,
  spendClaim,
  voidClaim,
  writeClaim,
} from "../lib/claims.ts";
import { readLines } from "../lib/log.ts";
import { parseLine } from "../lib/logfmt.ts";
import { withRoot } from "./fixtures/root.ts";

const SERVER = { pid: 42, startedAt: 1000, startTicks: 77 };
const AT = Date.UTC(2026, 10, 22);
const CLAIM: Claim = {
  identity: "claude-bob",
  who: "stop",
  why: "iapeer stop",
  at: AT,
  uptime: 500,
  server: SERVER,
};
const { uptime: _uptime, ...HOOKED } = { ...CLAIM, who: "exit-hook" as const };
const clock = { now: () => AT, uptime: () => 500 };

/** A moment so many seconds later, on a wall clock that was moved by `stepped` seconds. */
function later(secs: number, stepped = 0): { at: number; uptime: number } {
  return { at: AT + (secs + stepped) * 1000, uptime: 500 + secs };
}

Deno.test("writeClaim() names who, why, when and which incarnation", () =>
  withRoot((ctx) => {
    writeClaim(ctx, "claude-bob", SERVER, "stop", "iapeer stop");
    const claim = readClaim(ctx, "claude-bob")!;
    assert.deepEqual({ ...claim }, { v: 1, ...CLAIM });
    assert.deepEqual(nowOf(ctx), { at: AT, uptime: 500 });
    assert(covers(claim, SERVER, nowOf(ctx)));
  }, clock));

Deno.test("writeClaim() throws when the storage refuses, so that nothing is killed", () =>
  withRoot((ctx) => {
    Deno.removeSync(ctx.paths.claims);
    assert.throws(() => writeClaim(ctx, "claude-bob", SERVER, "stop", "x"));
  }));

Deno.test("covers() covers the named incarnation only", () => {
  assert.equal(covers(undefined, SERVER, later(0)), false);
  assert.equal(covers(CLAIM, SERVER, later(1)), true);
  assert.equal(covers(CLAIM, { ...SERVER, startTicks: 78 }, later(1)), false);
  assert.equal(covers(CLAIM, { ...SERVER, pid: 43 }, later(1)), false);
});

Deno.test("expired() goes by the clock that nobody sets", () => {
  for (const stepped of [-86_400, -10, 0, 10, 86_400]) {
    assert.equal(expired(CLAIM, later(0, stepped)), false);
    assert.equal(expired(CLAIM, later(30, stepped)), false);
    assert.equal(expired(CLAIM, later(30.001, stepped)), true);
    assert.equal(covers(CLAIM, SERVER, later(31, stepped)), false);
  }
});

Deno.test("expired() goes by the wall clock for a claim without an uptime", () => {
  assert.equal(expired(HOOKED, later(30)), false);
  assert.equal(expired(HOOKED, later(30.001)), true);
  // Set back meanwhile: it cannot be told how old the claim is.
  assert.equal(expired(HOOKED, later(0, -3600)), false);
});

Deno.test("covers() covers a death that a hook-shaped claim announced", () =>
  withRoot((ctx) => {
    Deno.writeTextFileSync(
      ctx.paths.claim("claude-bob"),
      `{"v":1,"identity":"claude-bob","who":"exit-hook","why":"session ended","at":${AT},"server":{"pid":42,"startedAt":1001},"exit":{"status":"3"}}\n`,
    );
    const claim = readClaim(ctx, "claude-bob")!;
    assert.equal(claim.who, "exit-hook");
    assert.deepEqual(claim.exit, { status: "3" });
    // The hook knows seconds only; a second off is still the same server.
    assert(covers(claim, SERVER, later(2)));
    assert(!covers(claim, { ...SERVER, startedAt: 1004 }, later(2)));
  }));

Deno.test("spendClaim() makes a claim cover its death for good", () =>
  withRoot((ctx) => {
    spendClaim(ctx, CLAIM);
    const claim = readClaim(ctx, "claude-bob")!;
    assert.equal(claim.spent, true);
    assert(covers(claim, SERVER, later(86_400)));
    assert(!covers(claim, { ...SERVER, pid: 43 }, later(0)));
  }));

Deno.test("spendClaim() does not throw when the storage refuses", () =>
  withRoot((ctx) => {
    Deno.removeSync(ctx.paths.claims);
    spendClaim(ctx, CLAIM);
  }));

Deno.test("voidClaim() removes the claim and says so", () =>
  withRoot((ctx) => {
    writeClaim(ctx, "claude-bob", SERVER, "stop", "iapeer stop");
    voidClaim(ctx, CLAIM);
    assert.equal(readClaim(ctx, "claude-bob"), undefined);
    const [line] = readLines(ctx.paths, ctx.paths.lifecycleLog);
    const fields = parseLine(line!);
    assert.equal(fields.get("ev"), "claim-expired");
    assert.equal(fields.get("server_pid"), "42");
    assert.equal(fields.get("why"), "iapeer stop");
  }));

for (
  const [what, text] of [
    ["a torn one", '{"v":1,"identity":"claude-bob","who":"exit-'],
    ["one without a server", '{"v":1,"identity":"claude-bob","at":1}'],
    ["one without a time", '{"v":1,"server":{"pid":42,"startedAt":1000}}'],
    ["one with a pid that is none", '{"v":1,"at":1,"server":{"pid":"42","startedAt":1000}}'],
  ]
) {
  Deno.test(`readClaim() claims nothing by ${what}, and says so`, () =>
    withRoot((ctx) => {
      Deno.writeTextFileSync(ctx.paths.claim("claude-bob"), text!);
      assert.equal(readClaim(ctx, "claude-bob"), undefined);
      const [line] = readLines(ctx.paths, ctx.paths.lifecycleLog);
      assert.equal(parseLine(line!).get("ev"), "corrupt-state");
      assert.equal(Deno.readTextFileSync(parseLine(line!).get("aside")!), text);
    }));
}

Deno.test("readClaim() does not take one that cannot be read for none", () =>
  withRoot((ctx) => {
    Deno.mkdirSync(ctx.paths.claim("claude-bob"));
    assert.throws(() => readClaim(ctx, "claude-bob"), /directory/);
    Deno.removeSync(ctx.paths.claims, { recursive: true });
    Deno.writeTextFileSync(ctx.paths.claims, "");
    assert.throws(() => readClaim(ctx, "claude-bob"), /Not a directory/);
  }));

Deno.test("readClaim() finds none where the folder of claims is gone", () =>
  withRoot((ctx) => {
    Deno.removeSync(ctx.paths.claims);
    assert.equal(readClaim(ctx, "claude-bob"), undefined);
  }));
