/**
 * The log of a session's output, which its own tmux server writes.
 *
 * @module
 */

import { DEFAULTS } from "./config.ts";
import { type Context, messageOf, note } from "./context.ts";
import { moveOn } from "./log.ts";
import type { SessionRecord } from "./sessions.ts";
import { Server } from "./tmux.ts";

/**
 * Rotates the log of a session's output when it has grown too large: the files
 * move on, then the server is told to begin the log anew. What comes in
 * between lands in the file that was moved.
 *
 * @param ctx The root.
 * @param record The session.
 */
export async function rotatePaneLog(ctx: Context, record: SessionRecord): Promise<void> {
  const path = ctx.paths.paneLog(record.identity);
  try {
    if (Deno.statSync(path).size < DEFAULTS.logBytes) return;
    moveOn(path, DEFAULTS.logsKept);
    await new Server(ctx.host.tools, record.sock).repipe(record.identity, path);
    note(ctx, "pane-log-rotated", [["identity", record.identity]]);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    note(ctx, "pane-log-failed", [["identity", record.identity], ["reason", messageOf(error)]]);
  }
}
