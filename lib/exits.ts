/**
 * The lines of `exits.log`: what is written there about a death, and what is
 * found there again.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { type Death, snapshotPath } from "./deaths.ts";
import { readLines } from "./log.ts";
import { formatLine, type LogField, parseLine } from "./logfmt.ts";

/** What `exits.log` and its rotated files say. */
export interface Exits {
  /** Deaths that a verdict is written on. */
  readonly verdicts: ReadonlySet<string>;
  /** By session the last record of one that ended by itself. */
  readonly sessionExits: ReadonlyMap<string, string>;
}

/**
 * Reads `exits.log` and its rotated files, for one who asks about many deaths:
 * it is long.
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

/** The fields that tell what was observed, for the record and the snapshot's header. */
export function observedFields(death: Death): LogField[] {
  return [
    ["identity", death.identity],
    ["server_pid", death.server.pid],
    ["cause", death.cause],
    ["signal", death.signal],
    ["code", death.code],
    ["wait_rc", death.waitRc],
    [
      "last_seen",
      death.lastSeen === undefined ? undefined : new Date(death.lastSeen).toISOString(),
    ],
    ["witness", death.witness],
    ["mode", death.mode],
    ["death", death.id],
  ];
}

/**
 * The `server-exit` record of a death.
 *
 * @param ctx The root.
 * @param death The entry.
 * @returns One line of logfmt.
 */
export function exitRecord(ctx: Context, death: Death): string {
  return formatLine([
    ["ts", new Date(death.observedAt).toISOString()],
    ["ev", "server-exit"],
    ...observedFields(death),
    ["forensics", snapshotPath(ctx, death)],
  ]);
}

/**
 * The `server-verdict` record of a death.
 *
 * @param ctx For its clock.
 * @param death The entry.
 * @param revises The verdict that it takes the place of.
 * @returns One line of logfmt, or `undefined` while there is no verdict.
 */
export function verdictRecord(ctx: Context, death: Death, revises?: string): string | undefined {
  if (death.verdict === undefined) return undefined;
  return formatLine([
    ["ts", new Date(ctx.host.now()).toISOString()],
    ["ev", "server-verdict"],
    ["identity", death.identity],
    ["death", death.id],
    ["verdict", death.verdict],
    ["confidence", death.confidence],
    ["peers_lost", death.peersLost],
    ["revises", revises],
    ["reason", death.reason],
  ]);
}

/**
 * Tells whether a record of a death is in `exits.log` or a rotated file of it.
 *
 * @param ctx The root.
 * @param ev Which record.
 * @param id The death.
 * @returns `true` if it is there.
 * @throws {Error} If a file is there and cannot be read.
 */
export function isInLog(
  ctx: Context,
  ev: "server-exit" | "server-verdict",
  id: string,
): boolean {
  return readLines(ctx.paths, ctx.paths.exitsLog, id).some((line) => {
    const fields = parseLine(line);
    return fields.get("ev") === ev && fields.get("death") === id;
  });
}
