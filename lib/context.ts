/**
 * What every part of one run shares: the root, the machine, and the log of
 * decisions.
 *
 * @module
 */

import { getLogger } from "@logtape/logtape";
import { type Paths, pathsOf } from "./config.ts";
import { denoHost, type Host } from "./host.ts";
import { appendLine } from "./log.ts";
import { formatLine, type LogField } from "./logfmt.ts";

/** Given to every function that touches the root or the machine. */
export interface Context {
  /** The root. */
  readonly paths: Paths;
  /** The machine. */
  readonly host: Host;
}

/**
 * Makes a context for a root. Touches nothing.
 *
 * @param root Absolute path of the root.
 * @param host The machine; this one unless told.
 * @returns The context.
 */
export function contextOf(root: string, host: Host = denoHost): Context {
  return { paths: pathsOf(root), host };
}

const logger = getLogger(["iapeer"]);
/** Troubles that were told already: one clear line each, not a flood. */
const told = new Set<string>();

/**
 * Says once on stderr that something about the watching went wrong.
 *
 * @param what One line.
 */
export function warnOnce(what: string): void {
  if (told.has(what)) return;
  told.add(what);
  logger.warn(what);
}

/**
 * Appends a decision to `lifecycle.log`. It never fails: a decision that
 * cannot be logged is still carried out.
 *
 * @param ctx The root.
 * @param ev What happened, such as `launched`.
 * @param fields More about it.
 */
export function note(ctx: Context, ev: string, fields: readonly LogField[] = []): void {
  try {
    appendLine(
      ctx.paths,
      ctx.paths.lifecycleLog,
      formatLine([["ts", new Date(ctx.host.now()).toISOString()], ["ev", ev], ...fields]),
    );
  } catch (error) {
    warnOnce(`cannot write ${ctx.paths.lifecycleLog}: ${messageOf(error)}`);
  }
}

/** The random part of a temporary name, see lib/store.ts. */
const RANDOM = /\.[0-9a-f]{8}-[0-9a-f-]{27}(?=\.tmp)/g;

/**
 * The message of whatever was thrown. The same trouble gives the same message
 * each time, or {@linkcode warnOnce} would tell of it again and again.
 *
 * @param error What was caught.
 * @returns One line.
 */
export function messageOf(error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  return said.replaceAll("\n", " ").replaceAll(RANDOM, "");
}
