/**
 * What ought to have been recorded, against what was.
 *
 * @module
 */

import { parseLine } from "../lib/logfmt.ts";
import type { Seen } from "./observer.ts";
import type { Command, World } from "./world.ts";

/**
 * What is right for a server that ended: a record, none, or either, where an
 * unasked end raced with a wanted one.
 */
export type Class = "must" | "must-not" | "may";

/** One server that ended. */
export interface Entry {
  readonly server: Seen;
  readonly class: Class;
  readonly why: string;
  /** It was up, and is known to have been watched. */
  readonly armed: boolean;
  readonly records: number;
  readonly verdicts: number;
}

/** The books of a schedule. */
export interface Books {
  readonly entries: readonly Entry[];
  /** Records of servers that were never seen. */
  readonly strangers: readonly string[];
  readonly lost: number;
  readonly doubled: number;
  readonly false: number;
  /** Recorded deaths without a verdict. */
  readonly verdictless: number;
  /** Recorded deaths with more than one first verdict, and verdicts on what was not recorded. */
  readonly verdictsTooMany: number;
}

/** A session that has run for so long is being watched, in milliseconds. */
const ARMED_MS = 400;
const CLOCK_TICKS = 100;

/** Reads the records and weighs them against what was seen. */
export function balance(world: World): Books {
  const lines = exitLines(world);
  const records = lines.filter((fields) => fields.get("ev") === "server-exit");
  const first = lines.filter((fields) =>
    fields.get("ev") === "server-verdict" && !fields.has("revises")
  );
  const bootAt = bootTime();
  const idOf = ({ identity, pid, ticks }: Seen, more: number) =>
    `${identity}-${pid}-${Math.floor(bootAt + ticks / CLOCK_TICKS) + more}`;
  const known = new Set<string>();
  const gone = world.observer.of(world.root, "server").filter(({ goneAt }) => goneAt !== undefined);
  const entries = gone.map((server): Entry => {
    // The boot time, from which the seconds are computed, is not quite steady.
    const ids = [-2, -1, 0, 1, 2].map((more) => idOf(server, more));
    for (const id of ids) known.add(id);
    const of = (some: Map<string, string>[]) =>
      some.filter((fields) => ids.includes(fields.get("death") ?? "")).length;
    return {
      server,
      ...classify(world, server),
      armed: armedBy(world, server) !== undefined,
      records: of(records),
      verdicts: of(first),
    };
  });
  const strangers = records.map((fields) => fields.get("death") ?? "?").filter((id) =>
    !known.has(id)
  );
  const count = (test: (entry: Entry) => boolean) => entries.filter(test).length;
  return {
    entries,
    strangers,
    lost: count((entry) => entry.class === "must" && entry.records === 0),
    doubled: count((entry) => entry.records > 1),
    false: count((entry) => entry.class === "must-not" && entry.records > 0) + strangers.length,
    verdictless: count(({ records, verdicts }) => verdicts < Math.min(records, 1)),
    verdictsTooMany: count(({ records, verdicts }) => verdicts > Math.min(records, 1)),
  };
}

/** The lines of `exits.log` and its rotated files. */
export function exitLines(world: World): Map<string, string>[] {
  return [5, 4, 3, 2, 1, 0].flatMap((n) => {
    try {
      const text = Deno.readTextFileSync(
        n === 0 ? world.paths.exitsLog : `${world.paths.exitsLog}.${n}`,
      );
      return text.split("\n").filter((line) => line !== "").map(parseLine);
    } catch {
      return [];
    }
  });
}

function bootTime(): number {
  return Number(/^btime (\d+)$/m.exec(Deno.readTextFileSync("/proc/stat"))![1]);
}

function classify(world: World, server: Seen): { class: Class; why: string } {
  const blow = world.blows.find((one) => one.server === server);
  if (blow === undefined) return { class: "must-not", why: "nobody killed it" };
  const wanted = wantedEnd(world, server);
  if (wanted !== undefined) return { class: "may", why: `${blow.what} raced ${wanted}` };
  const armed = armedBy(world, server);
  return armed === undefined
    ? { class: "may", why: `${blow.what} while it was starting` }
    : { class: "must", why: `${blow.what}; ${armed}` };
}

/** A wanted end of a server that was under way before it was gone. */
export function wantedEnd(world: World, server: Seen): string | undefined {
  const during = ({ begunAt, endedAt }: Command) =>
    begunAt < server.goneAt! && (endedAt ?? Infinity) > server.firstAt;
  for (const command of world.commands) {
    const { deed } = command;
    if (deed === undefined || !("who" in deed) || deed.who !== server.identity) continue;
    if (deed.do === "stop" && during(command)) return "a stop";
    if (deed.do !== "launch") continue;
    if (deed.replace && during(command)) return "a launch --replace";
    if (deed.program !== "waits" && command.begunAt < server.firstAt) {
      return "its program's own end";
    }
  }
  const own = world.ownEnds.some((end) =>
    (end.server === server || end.server === undefined) && end.at < server.goneAt!
  );
  return own ? "its program's own end" : undefined;
}

/** Why a server counts as watched when it was killed; `undefined` if it may not have been. */
function armedBy(world: World, server: Seen): string | undefined {
  const { pid, identity, firstAt } = server;
  const goneAt = server.goneAt!;
  for (const { args, code, stdout, endedAt, begunAt } of world.commands) {
    if (code !== 0 || endedAt! > goneAt || endedAt! < firstAt) continue;
    if (stdout.startsWith("READY ") && stdout.includes(` server_pid=${pid} `)) return "launched";
    const alive = args.includes("--json") && begunAt > firstAt &&
      JSON.parse(stdout).some((one: { identity: string; outcome: string }) =>
        one.identity === identity && one.outcome === "alive"
      );
    if (alive) return "a tick found it alive";
  }
  const pane = world.observer.of(world.root, "pane", identity).find(({ ppid }) => ppid === pid);
  if (pane === undefined || goneAt - pane.firstAt < ARMED_MS) return undefined;
  const parent = world.observer.of(world.root, "canary", identity)
    .find((canary) => canary.pid === server.ppid);
  const watched = parent !== undefined && (parent.goneAt ?? Infinity) > pane.firstAt + ARMED_MS &&
    !world.held.some(({ pid, at }) => pid === parent.pid && at < pane.firstAt + ARMED_MS);
  return watched ? "its session was up" : undefined;
}
