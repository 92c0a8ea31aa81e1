import type { Context } from "../lib/context.ts";
import { UsageError } from "../lib/errors.ts";
import { listSessions, readSession } from "../lib/sessions.ts";
import { NotRunningError, stop } from "../lib/stop.ts";
import { type App, contextFor, reportErrors, type RootFlags, say } from "./app.ts";

interface Flags extends RootFlags {
  readonly all: boolean;
}

/** `iapeer stop` */
export default async function (this: App, flags: Flags, ...given: string[]): Promise<void> {
  if (flags.all === given.length > 0) {
    throw new UsageError("Cannot tell what to stop: give one or more identities, or --all");
  }
  const ctx = contextFor(flags);
  const identities = flags.all
    ? listSessions(ctx).filter((identity) => !isExternal(ctx, identity))
    : given;
  const results = await Promise.allSettled(identities.map(async (identity) => {
    const recorded = await stop(ctx, identity);
    say(this, `STOPPED identity=${identity}`);
    await recorded?.closed;
  }));
  const errors = results.filter((one) => one.status === "rejected").map((one) => one.reason)
    .filter((error) => !(flags.all && error instanceof NotRunningError));
  reportErrors(this, errors);
}

/** Whether it is adopted. One whose record cannot be read is not passed over: its stop says why. */
function isExternal(ctx: Context, identity: string): boolean {
  try {
    return readSession(ctx, identity)?.external === true;
  } catch {
    return false;
  }
}
