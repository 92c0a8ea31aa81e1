import { isAbsolute, resolve } from "../lib/path.ts";
import { contextFor } from "./app.ts";
import { type App, callersDir, type JsonFlags, printJson, say } from "./app.ts";
import { callersEnvironment, unreadableVariables } from "../lib/environment.ts";
import { UsageError } from "../lib/errors.ts";
import { handOver } from "../lib/hand_over.ts";
import { askedFor, launch } from "../lib/launch.ts";
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
  readonly direct: boolean;
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
  const options = {
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
  };
  const launched = await handOver(ctx, {
    request: { kind: "launch", ...options },
    direct: flags.direct,
    obstacle: async () => {
      const [name] = await unreadableVariables(ctx.host.tools);
      return name && `the variable "${name}" is not valid UTF-8 and cannot be handed over`;
    },
    here: (id) => launch(ctx, { ...options, ...askedFor(id) }),
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
