/**
 * What a run of schedules came to, and what is known about one that failed.
 *
 * @module
 */

import type { Books } from "./books.ts";
import type { World } from "./world.ts";

/** What one schedule came to. */
export interface Outcome {
  readonly seed: number;
  /** What was wrong; nothing if it is empty. */
  readonly complaints: readonly string[];
  readonly books: Books;
  /** Fault points at which a process died. */
  readonly hits: readonly string[];
  readonly secs: number;
  /** The failure at length; empty if there was none. */
  readonly text: string;
}

/** The figures of a run. */
export interface Report {
  readonly seed: number;
  readonly schedules: number;
  /** Servers that ended. */
  readonly ends: number;
  /** Ends that had to be recorded. */
  readonly deaths: number;
  /** Unasked ends that raced with a wanted one, or came before the session was up. */
  readonly raced: number;
  /** Ends that nothing may be recorded about. */
  readonly wanted: number;
  readonly recorded: number;
  readonly lost: number;
  readonly doubled: number;
  readonly false: number;
  readonly failed: readonly { readonly seed: number; readonly complaints: readonly string[] }[];
  readonly faultPoints: Readonly<Record<string, number>>;
  readonly neverHit: readonly string[];
  readonly minutes: number;
}

/** Adds up what the schedules came to. */
export function tally(
  outcomes: readonly Outcome[],
  points: readonly string[],
  seed: number,
  minutes: number,
): Report {
  const books = outcomes.map((one) => one.books);
  const entries = books.flatMap((one) => one.entries);
  const sum = (pick: (one: Books) => number) => books.reduce((all, one) => all + pick(one), 0);
  const of = (kind: string) => entries.filter((entry) => entry.class === kind).length;
  const hits = outcomes.flatMap((one) => one.hits);
  const counts = points.map((point) =>
    [point, hits.filter((hit) => hit === point).length] as const
  );
  return {
    seed,
    schedules: outcomes.length,
    ends: entries.length,
    deaths: of("must"),
    raced: of("may"),
    wanted: of("must-not"),
    recorded: entries.reduce((all, entry) => all + entry.records, 0),
    lost: sum((one) => one.lost),
    doubled: sum((one) => one.doubled),
    false: sum((one) => one.false),
    failed: outcomes.filter((one) => one.complaints.length > 0)
      .map(({ seed, complaints }) => ({ seed, complaints })),
    faultPoints: Object.fromEntries(counts.filter(([, count]) => count > 0)),
    neverHit: counts.filter(([, count]) => count === 0).map(([point]) => point),
    minutes: Math.round(minutes * 10) / 10,
  };
}

/** The figures, for people. */
export function reportText(report: Report): string {
  const { schedules, ends, deaths, raced, wanted, recorded, lost, doubled, minutes } = report;
  const hit = Object.entries(report.faultPoints);
  return [
    "",
    `${schedules} schedules, ${report.failed.length} failed, ${minutes} minutes`,
    `${ends} servers ended: ${deaths} deaths, ${wanted} wanted, ${raced} either (raced, or still starting)`,
    `${recorded} recorded, ${lost} lost, ${doubled} doubled, ${report.false} false`,
    `${hit.length} fault points hit, ${hit.reduce((all, [, count]) => all + count, 0)} times: ${
      hit.map(([point, count]) => `${point} ${count}`).join(", ")
    }`,
    ...(report.neverHit.length === 0 ? [] : [`never hit: ${report.neverHit.join(", ")}`]),
    ...report.failed.map(({ seed, complaints }) => `failed: --seed ${seed}: ${complaints[0]}`),
    "",
  ].join("\n");
}

/** Everything that helps to understand why a schedule failed. */
export function failureText(
  world: World,
  seed: number,
  complaints: readonly string[],
  books: Books,
  kept: boolean,
): string {
  const servers = books.entries.map(({ server, class: kind, why, records, verdicts }) => {
    const { identity, pid, ticks, firstAt, goneAt } = server;
    return `  ${identity} ${pid} (ticks ${ticks}), ${world.since(firstAt)} to ${
      world.since(goneAt!)
    } ms: ${kind} (${why}), ${records} records, ${verdicts} verdicts`;
  });
  const failed = world.commands.filter(({ code }) => code !== 0).map((command) =>
    `  ${command.args.slice(0, 3).join(" ")} [${command.pid}] ${command.signal ?? command.code}: ${
      (command.stderr || command.stdout).trim().slice(0, 600)
    }`
  );
  return [
    `\n== seed ${seed} FAILED; again: deno task chaos --seed ${seed} --schedules 1 --keep`,
    ...complaints.map((text) => `  ! ${text}`),
    "steps:",
    ...world.diary.map((line) => `  ${line}`),
    "servers that ended:",
    ...servers,
    ...books.strangers.map((id) => `  ${id}: recorded, never seen`),
    "commands that failed:",
    ...failed,
    "exits.log:",
    ...tail(world.paths.exitsLog),
    "lifecycle.log:",
    ...tail(world.paths.lifecycleLog),
    ...(kept ? [`kept: ${world.base}`] : []),
    "",
  ].join("\n");
}

function tail(path: string): string[] {
  try {
    return Deno.readTextFileSync(path).trimEnd().split("\n").slice(-40)
      .map((line) => `  ${line.slice(0, 400)}`);
  } catch {
    return ["  (there is none)"];
  }
}
