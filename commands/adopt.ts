import { isAbsolute, resolve } from "../lib/path.ts";
import { adopt } from "../lib/adopt.ts";
import { type App, callersDir, contextFor, type JsonFlags, printJson, say } from "./app.ts";

interface Flags extends JsonFlags {
  readonly identity: string;
  readonly sock: string;
}

/** `iapeer adopt` */
export default async function (this: App, flags: Flags): Promise<void> {
  const ctx = contextFor(flags);
  const sock = isAbsolute(flags.sock) ? flags.sock : resolve(callersDir(), flags.sock);
  const adopted = await adopt(ctx, flags.identity, sock);
  if (flags.json) return printJson(this, adopted);
  say(this, `ADOPTED identity=${adopted.identity} server_pid=${adopted.serverPid} sock=${sock}`);
}
