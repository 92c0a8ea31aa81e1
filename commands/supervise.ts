import { unreadableVariables } from "../lib/environment.ts";
import { UsageError } from "../lib/errors.ts";
import { handOver } from "../lib/hand_over.ts";
import { tick } from "../lib/lifecycle.ts";
import { supervise } from "../lib/supervise.ts";
import { type App, columns, contextFor, type JsonFlags, printJson, say } from "./app.ts";

interface Flags extends JsonFlags {
  readonly once: boolean;
  readonly direct: boolean;
  readonly interval: number;
  readonly verbose: boolean;
}

/** `iapeer supervise` */
export default async function (this: App, flags: Flags): Promise<void> {
  const ctx = contextFor(flags);
  if (flags.once) {
    const closing: Promise<unknown>[] = [];
    const { verbose, direct } = flags;
    const results = await handOver(ctx, {
      request: { kind: "tick", verbose },
      direct,
      here: async () => {
        const { results, recorded } = await tick(ctx, { verbose, thorough: true });
        closing.push(...recorded.map((one) => one.closed));
        return results;
      },
    });
    if (flags.json) printJson(this, results);
    else {
      for (
        const line of columns(results.map((r) => [r.identity, r.outcome, r.reason ?? ""]))
      ) say(this, line);
    }
    await Promise.all(closing);
    return;
  }
  if (flags.direct) {
    throw new UsageError("Cannot supervise with --direct: it goes with --once only");
  }
  // They would reach every session: what starts a server inherits them.
  for (const name of await unreadableVariables(ctx.host.tools)) Deno.env.delete(name);
  /** A log on a full disk never ends the daemon. */
  const tell = (line: string) => {
    try {
      say(this, line);
    } catch {
      // What matters is in lifecycle.log, too.
    }
  };
  const stop = new AbortController();
  const leave = () => stop.abort();
  const signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, leave);
  try {
    await supervise(ctx, {
      intervalSecs: flags.interval,
      verbose: flags.verbose,
      stop: stop.signal,
      onReady: () => {
        if (!flags.json) tell(`SUPERVISING root=${ctx.paths.root} pid=${Deno.pid}`);
      },
      onTick: ({ results }) => {
        if (flags.json) return;
        for (const { identity, outcome, reason } of results) {
          if (outcome === "alive" || outcome === "stopped" || outcome === "skipped-external") {
            continue;
          }
          tell(`${identity} ${outcome}${reason === undefined ? "" : ` (${reason})`}`);
        }
      },
    });
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, leave);
  }
}
