import { attachCanary } from "../lib/canary.ts";
import type { Conclusion } from "../lib/conclusion.ts";
import { exitRecord } from "../lib/exits.ts";
import { UsageError } from "../lib/errors.ts";
import { ownCanary, type StartReport } from "../lib/own.ts";
import { type App, callersDir, contextFor, type RootFlags, say } from "./app.ts";
import { isAbsolute, resolve } from "../lib/path.ts";

interface Flags extends RootFlags {
  readonly identity: string;
  readonly sock?: string;
  readonly own?: number;
}

/** `iapeer canary` */
export default async function (this: App, flags: Flags): Promise<void> {
  const ctx = contextFor(flags);
  const { identity } = flags;
  let killClient = () => {};
  const leave = () => {
    killClient();
    Deno.exit(0);
  };
  const signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, leave);
  let conclusion: Conclusion | undefined;
  if (flags.own !== undefined) {
    if (flags.sock !== undefined) throw new UsageError("Cannot use --sock together with --own");
    const report = (started: StartReport) => say(this, JSON.stringify(started));
    conclusion = await ownCanary(ctx, identity, flags.own, report);
  } else {
    const sock = flags.sock ?? ctx.paths.sock(identity);
    conclusion = await attachCanary(ctx, {
      identity,
      sock: isAbsolute(sock) ? sock : resolve(callersDir(), sock),
      onArmed: (server) =>
        say(this, `ARMED identity=${identity} server_pid=${server.pid} mode=attach`),
      onClient: (kill) => killClient = kill,
    });
  }
  if (conclusion !== undefined && !conclusion.claimed && conclusion.recorded !== undefined) {
    say(this, exitRecord(ctx, conclusion.recorded.death));
    await conclusion.recorded.closed;
  }
  for (const signal of signals) Deno.removeSignalListener(signal, leave);
}
