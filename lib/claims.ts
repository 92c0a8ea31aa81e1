/**
 * Claims: durable notes, written before a deliberate teardown, that a server's
 * coming death is wanted.
 *
 * @module
 */

import { DEFAULTS } from "./config.ts";
import { type Context, note } from "./context.ts";
import { faultPoint } from "./fault.ts";
import { type Incarnation, sameIncarnation } from "./host.ts";
import type { SessionExit } from "./sessions.ts";
import { readJson, removeIfThere, writeJson } from "./store.ts";

/** Who tears down, which decides what the session is afterwards. */
export type Claimant = "stop" | "idle" | "replace" | "exit-hook" | "launch";

/** The note. The exit hook writes the same fields without this program. */
export interface Claim {
  /** Which session. */
  readonly identity: string;
  /** Who wants it. */
  readonly who: Claimant;
  /** In a few words. */
  readonly why: string;
  /** Epoch milliseconds. */
  readonly at: number;
  /** Seconds since boot; a clock that nobody sets. Absent if the exit hook could not learn it. */
  readonly uptime?: number;
  /** Which incarnation shall die. */
  readonly server: Incarnation;
  /** How the session's program ended, from the exit hook. */
  readonly exit?: SessionExit;
  /** The death that it named has come. */
  readonly spent?: boolean;
}

function check(value: unknown): Claim {
  const claim = value as Claim;
  const { pid, startedAt } = claim.server;
  if (!Number.isSafeInteger(pid) || !Number.isFinite(startedAt) || !Number.isFinite(claim.at)) {
    throw new TypeError("no server or no time");
  }
  return claim;
}

/**
 * Writes a claim and syncs it.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @param server Which incarnation shall die.
 * @param who Who wants it.
 * @param why In a few words.
 * @throws {Error} If the storage refuses; then nothing may be killed.
 */
export function writeClaim(
  ctx: Context,
  identity: string,
  server: Incarnation,
  who: Claimant,
  why: string,
): void {
  const { host, paths } = ctx;
  const claim: Claim = { identity, who, why, at: host.now(), uptime: host.uptime(), server };
  faultPoint("claim:before");
  writeJson(paths.claim(identity), claim);
  faultPoint("claim:written");
}

/**
 * Reads the claim of a session.
 *
 * Where none is, none was made, or it was removed on purpose, be it with the
 * whole root. One that cannot be read may well name the death in question:
 * that death is neither recorded nor let go of until the claim can be read.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @returns The claim, or `undefined`; a corrupt one is set aside and claims nothing.
 * @throws {Error} If it may be there and cannot be read (no permission, I/O error).
 */
export function readClaim(ctx: Context, identity: string): Claim | undefined {
  const stored = readJson(ctx.paths.claim(identity), check, { anyVersion: true });
  if (stored.state === "corrupt") {
    note(ctx, "corrupt-state", [
      ["identity", identity],
      ["file", ctx.paths.claim(identity)],
      ["aside", stored.aside],
      ["reason", stored.why],
    ]);
  }
  return stored.state === "found" ? stored.value : undefined;
}

/** A moment on both clocks. */
export interface Moment {
  /** Epoch milliseconds. */
  readonly at: number;
  /** Seconds since boot. */
  readonly uptime: number;
}

/**
 * Tells whether a claim covers the death of an incarnation at a moment.
 *
 * @param claim The claim, if there is one.
 * @param server The incarnation that died.
 * @param moment When; the last moment it can have been is not known to be later.
 * @returns `true` if the death was wanted.
 */
export function covers(claim: Claim | undefined, server: Incarnation, moment: Moment): boolean {
  if (claim === undefined || !sameIncarnation(claim.server, server)) return false;
  return claim.spent === true || !expired(claim, moment);
}

/**
 * Tells whether a claim has become void: its server lived on.
 *
 * @param claim The claim.
 * @param moment A moment at which the server was still alive, or died.
 * @returns `true` after 30 seconds.
 */
export function expired(claim: Claim, moment: Moment): boolean {
  const ms = claim.uptime === undefined
    // A clock that was set back makes the claim look younger than nothing.
    ? Math.max(0, moment.at - claim.at)
    : (moment.uptime - claim.uptime) * 1000;
  return ms > DEFAULTS.claimMs;
}

/**
 * The present moment.
 *
 * @param ctx For its clocks.
 * @returns Now, on both clocks.
 */
export function nowOf(ctx: Context): Moment {
  return { at: ctx.host.now(), uptime: ctx.host.uptime() };
}

/**
 * Marks a claim as spent: the death that it named has come, so that whoever
 * finds the server gone later knows it was wanted, however late that is.
 *
 * @param ctx The root.
 * @param claim The claim.
 */
export function spendClaim(ctx: Context, claim: Claim): void {
  faultPoint("claim:unspent");
  try {
    writeJson(ctx.paths.claim(claim.identity), { ...claim, spent: true });
    faultPoint("claim:spent");
  } catch {
    // The claim itself is still there and still names this death.
  }
}

/**
 * Removes a claim whose server lives on.
 *
 * @param ctx The root.
 * @param claim The claim.
 */
export function voidClaim(ctx: Context, claim: Claim): void {
  removeIfThere(ctx.paths.claim(claim.identity));
  faultPoint("claim:voided");
  note(ctx, "claim-expired", [
    ["identity", claim.identity],
    ["server_pid", claim.server.pid],
    ["who", claim.who],
    ["why", claim.why],
  ]);
}
