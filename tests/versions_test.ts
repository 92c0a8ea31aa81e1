import assert from "node:assert/strict";
import { covers, nowOf, readClaim, spendClaim } from "../lib/claims.ts";
import { FORMAT_VERSION } from "../lib/config.ts";
import type { Context } from "../lib/context.ts";
import { deathId, listDeaths, type Observation } from "../lib/deaths.ts";
import { deathLock, finishOpenDeaths, recordDeath } from "../lib/record.ts";
import { readSession } from "../lib/sessions.ts";
import { isLocked } from "../lib/locks.ts";
import { readLines } from "../lib/log.ts";
import { noTools, withRoot } from "./fixtures/root.ts";

const NEWER = FORMAT_VERSION + 1;
const SEEN: Observation = {
  identity: "claude-bob",
  server: { pid: 4242, startedAt: 1795327507 },
  cause: "signal",
  signal: "SIGKILL",
  witness: "canary",
  mode: "own",
  observedAt: Date.UTC(2026, 10, 22),
};
const ID = deathId(SEEN.identity, SEEN.server);

function put(path: string, value: object): void {
  Deno.writeTextFileSync(path, JSON.stringify(value));
}

/** The entry of the same death as a newer program might make it. */
function putNewer(ctx: Context): string {
  put(ctx.paths.death(ID), { v: NEWER, id: ID, cause: "something new" });
  return Deno.readTextFileSync(ctx.paths.death(ID));
}

Deno.test("a session record of a newer version is refused with a remedy, and stays", () =>
  withRoot((ctx) => {
    const path = ctx.paths.session("claude-bob");
    put(path, { v: NEWER, identity: "claude-bob" });
    assert.throws(() => readSession(ctx, "claude-bob"), {
      name: "NewerFormatError",
      message: /a newer iapeer has written it .*; run that one, or install it: iapeer install/,
    });
    assert(Deno.statSync(path).isFile);
  }));

Deno.test("a claim of a newer version covers its server for a canary of an older one", () =>
  withRoot((ctx) => {
    const { server } = SEEN;
    put(ctx.paths.claim("claude-bob"), {
      v: NEWER,
      identity: "claude-bob",
      who: "somebody new",
      at: ctx.host.now(),
      server,
      more: { than: "known" },
    });
    const claim = readClaim(ctx, "claude-bob");
    assert(covers(claim, server, nowOf(ctx)));
    spendClaim(ctx, claim!);
    const { spent, more } = readClaim(ctx, "claude-bob") as unknown as Record<string, unknown>;
    assert.deepEqual([spent, more], [true, { than: "known" }]);
  }));

Deno.test("a death whose entry a newer program has made is left to that one", () =>
  withRoot((ctx) => {
    const entry = putNewer(ctx);
    let journal = 0;
    assert.equal(recordDeath(ctx, SEEN, () => journal++), undefined);
    assert.equal(journal, 1, "the next incarnation may be watched");
    assert.deepEqual(finishOpenDeaths(ctx, { thorough: true }), []);
    assert.deepEqual(finishOpenDeaths(ctx), []);
    assert.equal(Deno.readTextFileSync(ctx.paths.death(ID)), entry);
    assert.equal(isLocked(deathLock(ctx, ID)), false);
    assert.deepEqual(readLines(ctx.paths, ctx.paths.exitsLog), []);
  }, { tools: noTools }));

Deno.test("an entry of a newer version hides none of the others", () =>
  withRoot(async (ctx) => {
    putNewer(ctx);
    const other = { ...SEEN, server: { pid: 7, startedAt: 1795327507 } };
    await recordDeath(ctx, other)!.closed;
    assert.deepEqual(listDeaths(ctx).map(({ server }) => server.pid), [7]);
  }, { tools: noTools }));
