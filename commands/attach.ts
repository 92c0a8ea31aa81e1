import { livenessOf } from "../lib/host.ts";
import { runOnTerminal } from "../lib/process.ts";
import { needSession } from "../lib/sessions.ts";
import { NotRunningError } from "../lib/stop.ts";
import { attachArgs } from "../lib/tmux.ts";
import { type App, contextFor, type RootFlags } from "./app.ts";

/** `iapeer attach` */
export default async function (this: App, flags: RootFlags, identity: string): Promise<void> {
  const ctx = contextFor(flags);
  const { server, sock } = needSession(ctx, identity);
  if (server === undefined || await livenessOf(ctx.host, server) === "gone") {
    throw new NotRunningError(
      `Cannot attach to "${identity}": it is not running; start it with: iapeer start ${identity}`,
    );
  }
  // tmux refuses to nest; this is another server, so it is none.
  Deno.env.delete("TMUX");
  this.process.exitCode = runOnTerminal("tmux", attachArgs(sock, identity));
}
