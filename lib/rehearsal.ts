/**
 * The recording of a death, gone through once beforehand: code that runs for
 * the first time is compiled then, and that took longer than the two writes to
 * the disk [measured: 8.0 ms from noticing to the durable line without, 3.5 ms
 * with].
 *
 * @module
 */

import { join } from "./path.ts";
import { covers, nowOf, readClaim } from "./claims.ts";
import { type Context, contextOf } from "./context.ts";
import { type Death, journalId, openDeath, updateDeath } from "./deaths.ts";
import { exitRecord } from "./exits.ts";
import { type Incarnation, livenessOf } from "./host.ts";
import { tryLock } from "./locks.ts";
import { appendLine, prepareLog } from "./log.ts";

/** How the names of the folders begin in which deaths are rehearsed. */
export const REHEARSAL = "rehearsal-";

/**
 * Records a death that did not happen, in a folder of its own that is removed
 * again, and makes sure that `exits.log` is there: a new file's first line
 * waits for its directory to be synced, too.
 *
 * @param ctx The root.
 * @param watched What the canary watches.
 */
export async function rehearse(
  ctx: Context,
  watched: { readonly server: Incarnation; readonly mode: "own" | "attach" },
): Promise<void> {
  const scratch = contextOf(
    join(ctx.paths.locks, REHEARSAL + crypto.randomUUID()),
    ctx.host,
  );
  const { paths } = scratch;
  try {
    prepareLog(ctx.paths.exitsLog);
    await livenessOf(ctx.host, watched.server);
    for (const dir of [paths.claims, paths.deaths, paths.locks, paths.logs]) {
      Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
    }
    go(scratch, watched);
    go(scratch, watched);
  } catch {
    // A first time that takes a few milliseconds longer is all that this costs.
  } finally {
    try {
      Deno.removeSync(paths.root, { recursive: true });
    } catch {
      // It was not made.
    }
  }
}

function go(
  ctx: Context,
  { server, mode }: { readonly server: Incarnation; readonly mode: "own" | "attach" },
): void {
  const moment = nowOf(ctx);
  covers(readClaim(ctx, "re-hearsal"), server, moment);
  const death: Death = {
    id: journalId(ctx, `re-hearsal-${Math.round(performance.now())}`, server),
    step: "noticed",
    identity: "re-hearsal",
    server,
    cause: "signal",
    signal: "SIGKILL",
    witness: "canary",
    mode,
    observedAt: moment.at,
  };
  using lock = tryLock(ctx.paths.lock(`${death.id}.death`));
  lock?.note(JSON.stringify({ pid: Deno.pid }));
  openDeath(ctx, death);
  appendLine(ctx.paths, ctx.paths.exitsLog, exitRecord(ctx, death), { sync: true });
  updateDeath(ctx, { ...death, step: "recorded" });
}
