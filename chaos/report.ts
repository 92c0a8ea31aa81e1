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
  readonly minutes: number;
  /** Servers that ended. */
  readonly ends: number;
  /** Ends that had to be recorded. */
  readonly deaths: number;
  /** Ends that nothing may be recorded about. */
  readonly claimed: number;
  /** Unasked ends that raced with a claimed one, or came before the session was up. */
  readonly raced: number;
  readonly recorded: number;
  readonly lost: number;
  readonly doubled: number;
  readonly false: number;
  readonly verdictsMissing: number;
  readonly verdictsTooMany: number;
  readonly failed: readonly { readonly seed: number; readonly complaints: readonly string[] }[];
  /** How often a process died at each of them. */
  readonly faultPoints: Readonly<Record<string, number>>;
  readonly neverHit: readonly string[];
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
    minutes: Math.round(minutes * 10) / 10,
    ends: entries.length,
    deaths: of("must"),
    claimed: of("must-not"),
    raced: of("may"),
    recorded: entries.reduce((all, entry) => all + entry.records, 0),
    lost: sum((one) => one.lost),
    doubled: sum((one) => one.doubled),
    false: sum((one) => one.false),
    verdictsMissing: sum((one) => one.verdictless),
    verdictsTooMany: sum((one) => one.verdictsTooMany),
    failed: outcomes.filter((one) => one.complaints.length > 0)
      .map(({ seed, complaints }) => ({ seed, complaints })),
    faultPoints: Object.fromEntries(counts),
    neverHit: counts.filter(([, count]) => count === 0).map(([point]) => point),
  };
}

/**
 * Tells whether a run went well.
 *
 * @param report Its figures.
 * @param allPoints A fault point that was never hit is a failure.
 * @returns `true` if nothing was wrong.
 */
export function isGood(report: Report, allPoints: boolean): boolean {
  return report.failed.length === 0 && !(allPoints && report.neverHit.length > 0);
}

/** The figures, for people. */
export function reportText(report: Report): string {
  const { seed, schedules, minutes, ends, deaths, claimed, raced, neverHit } = report;
  const points = Object.entries(report.faultPoints);
  const hit = points.filter(([, count]) => count > 0);
  const figures = [
    [report.recorded, "recorded"],
    [report.lost, "lost"],
    [report.doubled, "doubled"],
    [report.false, "false"],
    [report.verdictsMissing, "verdicts missing"],
    [report.verdictsTooMany, "verdicts too many"],
  ];
  return [
    "",
    `${schedules} schedules from seed ${seed}, ${report.failed.length} failed, ${minutes} minutes`,
    `${ends} servers ended: ${deaths} deaths caused, ${claimed} claimed, ${raced} either (raced, or still starting)`,
    figures.map(([count, what]) => `${count} ${what}`).join(", "),
    `${hit.length} of ${points.length} fault points hit, ${
      hit.reduce((all, [, count]) => all + count, 0)
    } times: ${hit.map(([point, count]) => `${point} ${count}`).join(", ")}`,
    ...(neverHit.length === 0 ? [] : [`never hit: ${neverHit.join(", ")}`]),
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
