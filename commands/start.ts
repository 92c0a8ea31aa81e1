import type { Context } from "../lib/context.ts";
import { IapeerError, UsageError } from "../lib/errors.ts";
import { handOver } from "../lib/hand_over.ts";
import { askedFor, launch, type Launched } from "../lib/launch.ts";
import { needSession } from "../lib/sessions.ts";
import { type App, contextFor, reportErrors, type RootFlags, say } from "./app.ts";

interface Flags extends RootFlags {
  readonly direct: boolean;
}

/** `iapeer start` */
export default async function (
  this: App,
  flags: Flags,
  ...identities: string[]
): Promise<void> {
  if (identities.length === 0) {
    throw new UsageError("Cannot tell what to start: give one or more identities");
  }
  const ctx = contextFor(flags);
  const errors: unknown[] = [];
  for (const identity of identities) {
    try {
      const { serverPid, canaryPid, sock } = await start(ctx, identity, flags.direct);
      say(
        this,
        `READY identity=${identity} server_pid=${serverPid} canary_pid=${canaryPid} sock=${sock}`,
      );
    } catch (error) {
      errors.push(error);
    }
  }
  reportErrors(this, errors);
}

async function start(ctx: Context, identity: string, direct: boolean): Promise<Launched> {
  const { spec } = needSession(ctx, identity);
  if (spec === undefined) {
    throw new IapeerError(
      `Cannot start "${identity}": it is adopted, so it is watched only; start it where it was started before`,
    );
  }
  const options = { identity, spec, replace: false };
  return await handOver(ctx, {
    request: { kind: "launch", ...options },
    direct,
    here: (id) => launch(ctx, { ...options, ...askedFor(id) }),
  });
}
