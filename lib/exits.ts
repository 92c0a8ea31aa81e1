/**
 * What `exits.log` says, for one who asks about many deaths: it is long, and
 * read once.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { readLines } from "./log.ts";
import { parseLine } from "./logfmt.ts";

/** What `exits.log` and its rotated files say. */
export interface Exits {
  /** Deaths that a verdict is written on. */
  readonly verdicts: ReadonlySet<string>;
  /** By session the last record of one that ended by itself. */
  readonly sessionExits: ReadonlyMap<string, string>;
}

/**
 * Reads `exits.log` and its rotated files.
 *
 * @param ctx The root.
 * @returns What they say now.
 * @throws {Error} If a file is there and cannot be read.
 */
export function readExits(ctx: Context): Exits {
  const verdicts = new Set<string>();
  const sessionExits = new Map<string, string>();
  for (const line of readLines(ctx.paths, ctx.paths.exitsLog)) {
    if (line.includes(" ev=server-verdict ")) {
      verdicts.add(parseLine(line).get("death") ?? "");
    } else if (line.includes(" ev=session-exit ")) {
      sessionExits.set(/ identity=(\S+)/.exec(line)?.[1] ?? "", line);
    }
  }
  return { verdicts, sessionExits };
}
