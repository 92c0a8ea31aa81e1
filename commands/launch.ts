import { isAbsolute, resolve } from "../lib/path.ts";
import { contextFor } from "./app.ts";
import { type App, callersDir, type JsonFlags, printJson, say } from "./app.ts";
import { callersEnvironment } from "../lib/environment.ts";
import { UsageError } from "../lib/errors.ts";
import { launch } from "../lib/launch.ts";
import type { RestartPolicy } from "../lib/sessions.ts";

interface Flags extends JsonFlags {
  readonly identity: string;
  readonly cwd?: string;
  readonly env?: readonly string[];
  readonly size: string;
  readonly tmuxConf?: string;
  readonly restart: RestartPolicy;
  readonly idle: number | "off";
  readonly activity?: readonly string[];
  readonly replace: boolean;
}

/** `iapeer launch` */
export default async function (this: App, flags: Flags): Promise<void> {
  if (this.rest === undefined || this.rest.length === 0) {
    throw new UsageError(
      "Cannot launch nothing: give the command after --, for example: iapeer launch --identity claude-bob -- claude",
    );
  }
  const ctx = contextFor(flags, false);
  const extra = Object.fromEntries(
    (flags.env ?? []).map((text) => {
      const at = text.indexOf("=");
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
  const launched = await launch(ctx, {
    identity: flags.identity,
    replace: flags.replace,
    spec: {
      argv: this.rest,
      cwd: absolute(flags.cwd ?? "."),
      env: callersEnvironment(extra),
      size: flags.size,
      ...(flags.tmuxConf === undefined ? {} : { tmuxConf: absolute(flags.tmuxConf) }),
      policy: {
        restart: flags.restart,
        ...(flags.idle === "off" ? {} : { idleSecs: flags.idle }),
        ...(flags.activity === undefined ? {} : { activity: flags.activity.map(absolute) }),
      },
    },
  });
  if (flags.json) return printJson(this, launched);
  const { identity, serverPid, canaryPid, sock } = launched;
  say(
    this,
    `READY identity=${identity} server_pid=${serverPid} canary_pid=${canaryPid} sock=${sock}`,
  );
}

function absolute(path: string): string {
  return isAbsolute(path) ? path : resolve(callersDir(), path);
}
