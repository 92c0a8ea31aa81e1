import assert from "node:assert/strict";
import { readClaim, writeClaim } from "../lib/claims.ts";
import { concludeWatch } from "../lib/conclusion.ts";
import { type Context, contextOf } from "../lib/context.ts";
import { denoHost } from "../lib/host.ts";
import { tick } from "../lib/lifecycle.ts";
import { readSession, type SessionRecord, writeSession } from "../lib/sessions.ts";
import { writeJson } from "../lib/store.ts";
import { withRoot } from "./fixtures/root.ts";
import { assertRecorded, Live } from "./live.ts";
import { readLog, sendSignal, untilGone } from "./live_host.ts";

const BOB = "claude-bob";
const HOUR = 3600;
/** The clock is set back, and forward. */
const JUMPS = [-5 * HOUR, 5 * HOUR];
/** This test's own pid, as another process had it before. */
const GONE = { pid: Deno.pid, startedAt: 1_700_000_000, startTicks: 1 };

/** The root on a machine whose clock was set by `jump` seconds, `later` seconds later. */
function at(ctx: Context, jump: number, later = 0): Context {
  const now = () => Date.now() + (jump + later) * 1000;
  const uptime = () => Deno.osUptime() + later;
  return { ...ctx, host: { ...denoHost, now, uptime } };
}

/** A session that runs, by its record. */
function sessionOf(ctx: Context): SessionRecord {
  const { now } = ctx.host;
  const sock = ctx.paths.sock(BOB);
  const seen = { launchedAt: now() - 60_000, lastSeen: now() };
  return { identity: BOB, state: "running", external: false, sock, server: GONE, ...seen };
}

/** One tick with everything that it sets off. */
async function wholeTick(ctx: Context): Promise<string[]> {
  const { results, recorded } = await tick(ctx, { thorough: true });
  await Promise.all(recorded.map((one) => one.closed));
  return results.map(({ outcome }) => outcome);
}

function told(ctx: Context): (string | undefined)[] {
  return readLog(ctx.paths.exitsLog).filter((fields) => fields["ev"] === "server-exit")
    .map((fields) => fields["cause"]);
}

for (const jump of JUMPS) {
  const way = jump < 0 ? "set back" : "set forward";

  Deno.test(`a death between two ticks is recorded once though the clock was ${way}`, () =>
    withRoot(async (ctx) => {
      writeSession(ctx, sessionOf(ctx));
      assert.deepEqual(await wholeTick(at(ctx, jump)), ["reaped-gone"]);
      await wholeTick(ctx);
      await wholeTick(at(ctx, jump, 60));
      assert.deepEqual(told(ctx), ["unobserved"]);
    }));

  Deno.test(`a death that nobody saw stays claimed though the clock was ${way} after the claim`, () =>
    withRoot(async (ctx) => {
      writeSession(ctx, sessionOf(ctx));
      writeClaim(ctx, BOB, GONE, "stop", "x");
      await wholeTick(at(ctx, jump));
      assert.deepEqual([told(ctx), readSession(ctx, BOB)!.state], [[], "stopped"]);
    }));

  Deno.test(`a death stays claimed though the clock was ${way} and a tick saw its server since`, () =>
    withRoot(async (ctx) => {
      writeSession(ctx, sessionOf(ctx));
      writeClaim(ctx, BOB, GONE, "stop", "x");
      const seen = new Date(at(ctx, jump, 5).host.now());
      Deno.utimeSync(ctx.paths.session(BOB), seen, seen);
      await wholeTick(at(ctx, jump, 10));
      assert.deepEqual([told(ctx), readSession(ctx, BOB)!.state], [[], "stopped"]);
    }));

  Deno.test(`a canary goes by the uptime when the clock was ${way} between claim and death`, () =>
    withRoot(async (ctx) => {
      writeClaim(ctx, BOB, GONE, "stop", "x");
      const seen = {
        identity: BOB,
        server: GONE,
        mode: "own" as const,
        end: { cause: "signal" as const, signal: "SIGKILL" },
      };
      const late = await concludeWatch(at(ctx, jump, 31), seen, () => {});
      assert(!late.claimed);
      await late.recorded!.closed;
      assert.deepEqual(told(ctx), ["signal"]);
      const other = { ...seen, server: { ...GONE, startedAt: GONE.startedAt + 9, startTicks: 9 } };
      writeClaim(ctx, BOB, other.server, "stop", "x");
      assert((await concludeWatch(at(ctx, jump, 29), other, () => {})).claimed);
      assert.deepEqual(told(ctx), ["signal"]);
    }));

  Deno.test(`the claim of an exit hook lasts 30 s though the clock was ${way} after it`, async () => {
    await using live = await Live.open();
    const session = await live.launch(BOB, [], ["/bin/sh", "-c", "read line"]);
    const ctx = contextOf(live.root);
    const server = readSession(ctx, BOB)!.server!;
    const typed = await live.tmux(session.sock, "send-keys", "-t", `=${BOB}:`, "Enter");
    assert.equal(typed.code, 0, typed.stderr);
    await untilGone(session.canaryPid, "the canary");
    const { spent, ...claim } = readClaim(ctx, BOB)!;
    assert.deepEqual([claim.who, spent], ["exit-hook", true]);
    // As it was before its canary had seen the end.
    writeJson(ctx.paths.claim(BOB), claim);
    const seen = {
      identity: BOB,
      server,
      mode: "own" as const,
      end: { cause: "exit-code" as const },
    };
    assert((await concludeWatch(at(ctx, jump, 20), seen, () => {})).claimed);
    writeJson(ctx.paths.claim(BOB), claim);
    const late = await concludeWatch(at(ctx, jump, 40), seen, () => {});
    assert(!late.claimed);
    await late.recorded!.closed;
    assert.deepEqual(told(ctx), ["exit-code"]);
  });

  Deno.test(`a living server is not taken for dead by a tick after the clock was ${way}`, async () => {
    await using live = await Live.open();
    const session = await live.launch(BOB);
    const ctx = contextOf(live.root);
    assert.deepEqual(await wholeTick(at(ctx, jump)), ["alive"]);
    assert.deepEqual(await wholeTick(ctx), ["alive"]);
    sendSignal(session.serverPid, "SIGKILL");
    await assertRecorded(live, session, { signal: "SIGKILL" });
    await wholeTick(at(ctx, jump));
    assert.deepEqual(told(ctx), ["signal"]);
  });

  Deno.test(`a claim on a server that lives on is void after 30 s of uptime though the clock was ${way}`, async () => {
    await using live = await Live.open();
    const session = await live.launch(BOB);
    const ctx = contextOf(live.root);
    writeClaim(ctx, BOB, readSession(ctx, BOB)!.server!, "stop", "it did not come to it");
    await wholeTick(at(ctx, jump, 1));
    assert.notEqual(readClaim(ctx, BOB), undefined);
    await wholeTick(at(ctx, jump, 31));
    assert.equal(readClaim(ctx, BOB), undefined);
    assert.equal(live.decisions("claim-expired", BOB).length, 1);
    sendSignal(session.serverPid, "SIGKILL");
    await assertRecorded(live, session, { signal: "SIGKILL" });
  });
}
