/**
 * What becomes of a session that ended.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { faultPoint } from "./fault.ts";
import { launchLocked } from "./launch.ts";
import { decide, endingOf, recent } from "./policy.ts";
import { checkTmux } from "./program.ts";
import type { Recorded } from "./record.ts";
import { decided, type SessionRecord, writeSession } from "./sessions.ts";
import { settle } from "./teardown.ts";

/** What was done about a session that ended. */
export interface Aftermath {
  /** As the tick reports it. */
  /** What was done. */
  readonly outcome: "reaped-gone" | "restarted" | "crash-loop";
  /** How it ended, or what is to be done. */
  /** Why. */
  readonly reason: string;
}

/**
 * The server is gone: settles it, then starts it again or lets it rest.
 *
 * @param ctx The root.
 * @param record The session, with the server that is gone.
 * @param round The boot, and where evidence on its way is noted.
 * @returns What was done.
 */
export async function afterEnd(
  ctx: Context,
  record: SessionRecord,
  round: { readonly boot: string | undefined; readonly recorded: Recorded[] },
): Promise<Aftermath> {
  const settled = await settle(ctx, record);
  faultPoint("tick:settled");
  if (settled.recorded !== undefined) round.recorded.push(settled.recorded);
  return await decideAbout(ctx, settled.record, settled.how, round.boot);
}

/**
 * Does what the policy wants after an end.
 *
 * @param ctx The root.
 * @param settled The session, settled.
 * @param how How it ended.
 * @param bootId The present boot.
 * @returns What was done.
 * @throws {IapeerError} If it ought to be started again and cannot be: the next tick tries it anew.
 */
export async function decideAbout(
  ctx: Context,
  settled: SessionRecord,
  how: "claimed" | "death",
  bootId: string | undefined,
): Promise<Aftermath> {
  const record = decided(settled);
  const uptime = ctx.host.uptime();
  const ending = endingOf(record, how);
  const reason = how === "death" ? `server-dead: ${record.lastDeath}` : ending;
  const spec = record.spec;
  if (spec === undefined || ending === "wanted") {
    if (settled.undecided !== undefined) writeSession(ctx, record);
    return { outcome: "reaped-gone", reason };
  }
  const boot = bootId === undefined ? {} : { bootId };
  const ends = [
    ...recent((record.ends ?? []).filter((end) => end.bootId === bootId), uptime),
    { uptime, ...boot },
  ];
  const after = { ...record, ends };
  switch (decide(spec.policy.restart, ending, ends, uptime)) {
    case "rest":
      writeSession(ctx, after);
      return { outcome: "reaped-gone", reason };
    case "crash-loop":
      writeSession(ctx, { ...after, state: "crash-loop" });
      faultPoint("tick:crash-loop");
      return {
        outcome: "crash-loop",
        reason: `ended ${ends.length} times; start it with: iapeer start ${record.identity}`,
      };
    case "restart":
      // Not this session's failure, and so none of its ends: it waits.
      checkTmux(record.identity);
      // One that fails is tried again by the next tick, and counts as an end.
      writeSession(ctx, { ...after, undecided: how });
      faultPoint("tick:restart-due");
      await launchLocked(ctx, record.identity, spec, { ends, request: record.request });
      faultPoint("tick:restarted");
      return { outcome: "restarted", reason };
  }
}
