/**
 * Removing what a writer that was killed has left behind.
 *
 * @module
 */

import { dirname, join } from "./path.ts";
import type { Context } from "./context.ts";
import { REHEARSAL } from "./rehearsal.ts";

/** What is so old has no writer any more, in milliseconds. */
const OLD_MS = 600_000;

/**
 * Removes the temporary files of writers that were killed between writing and
 * renaming, the folders of canaries that were killed while they rehearsed, and
 * requests and answers for which nobody waits. Readers pass them over; they only
 * take up room.
 *
 * @param ctx The root.
 */
export function sweepTemporary(ctx: Context): void {
  const { sessions, claims, deaths, locks, requests, serverDeaths } = ctx.paths;
  for (const dir of [dirname(sessions), sessions, claims, deaths, locks, requests, serverDeaths]) {
    try {
      for (const { name } of Deno.readDirSync(dir)) {
        const temporary = name.startsWith(".") && name.endsWith(".tmp");
        const rehearsal = dir === locks && name.startsWith(REHEARSAL);
        if (temporary || rehearsal || dir === requests) removeIfOld(ctx, join(dir, name));
      }
    } catch {
      // Not there, not readable, or gone meanwhile: the next tick looks again.
    }
  }
}

function removeIfOld(ctx: Context, path: string): void {
  const writtenAt = Deno.lstatSync(path).mtime?.getTime() ?? Infinity;
  if (ctx.host.now() - writtenAt > OLD_MS) Deno.removeSync(path, { recursive: true });
}
