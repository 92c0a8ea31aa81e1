/**
 * What happened when, around a death, and what was recorded before it.
 *
 * @module
 */

import { readClaim } from "./claims.ts";
import type { Context } from "./context.ts";
import type { Death } from "./deaths.ts";
import { type Exits, readExits } from "./exits.ts";
import { sameIncarnation } from "./host.ts";
import { parseLine } from "./logfmt.ts";
import { memoryOf } from "./memory.ts";
import type { Curves, Moment } from "./story.ts";

/**
 * What happened when, as far as it is known.
 *
 * @param ctx The root.
 * @param death The entry.
 * @param exits What `exits.log` says; read now unless told.
 * @returns Moments, oldest first.
 */
export function timelineOf(
  ctx: Context,
  death: Death,
  exits: () => Exits = () => readExits(ctx),
): Moment[] {
  const { server, armed, observedAt, lastSeen, recordedAt, verdictAt, snapshotAt } = death;
  const { revisedAt, verdict } = death;
  const moments: (Moment | undefined)[] = [
    { at: server.startedAt * 1000, what: `server ${server.pid} started` },
    armed && { at: armed.at, what: `canary armed (${death.mode ?? "unknown"} mode)` },
    lastExitOf(death, exits),
    claimOf(ctx, death),
    at(lastSeen, "server last seen alive"),
    { at: observedAt, what: `death noticed by ${death.witness}` },
    at(recordedAt, "line in exits.log on disk"),
    at(verdictAt, "verdict written"),
    at(snapshotAt, "snapshot on disk"),
    at(revisedAt, `verdict revised to ${verdict}, from evidence that came late`),
  ];
  return moments.filter((moment) => moment !== undefined).sort((a, b) => a.at - b.at);
}

function at(ms: number | undefined, what: string): Moment | undefined {
  return ms === undefined ? undefined : { at: ms, what };
}

function claimOf(ctx: Context, death: Death): Moment | undefined {
  try {
    const claim = readClaim(ctx, death.identity);
    if (claim === undefined || !sameIncarnation(claim.server, death.server)) return undefined;
    const what = `claim by ${claim.who} (${claim.why}), void when the server died`;
    return { at: claim.at, what };
  } catch {
    return undefined;
  }
}

/** The last time that a session of this identity ended by itself. */
function lastExitOf(death: Death, exits: () => Exits): Moment | undefined {
  try {
    const line = exits().sessionExits.get(death.identity);
    if (line === undefined) return undefined;
    const fields = parseLine(line);
    const when = Date.parse(fields.get("ts") ?? "");
    if (Number.isNaN(when)) return undefined;
    const how = fields.get("dead_signal")
      ? `signal ${fields.get("dead_signal")}`
      : `status ${fields.get("dead_status") || "unknown"}`;
    return { at: when, what: `an earlier session of this identity ended by itself (${how})` };
  } catch {
    return undefined;
  }
}

/**
 * The curves that belong to a death.
 *
 * @param ctx The root.
 * @param death The entry.
 * @returns What canary and ticks recorded before it.
 */
export function curvesOf(ctx: Context, death: Death): Curves {
  return {
    flight: death.flight ?? [],
    memory: death.memory ?? memoryOf(ctx, death.identity, death.server.pid)?.samples ?? [],
  };
}
