/**
 * Where evidence lies on macOS: one small collector per place. Written to the
 * documented formats.
 *
 * @module
 */

import {
  earliestDeath,
  type Fact,
  type Finding,
  LATE_REPORT,
  type Span,
  windowOf,
} from "../evidence.ts";
import { failureOf } from "../process.ts";
import { ask, type CollectContext, type Collector, looked, unseen, why } from "./context.ts";
import { crashOf, jetsamVictims, parseReport, type Report, reportNameTime } from "./ips.ts";
import { logTime, parseLogShow, PREDICATE } from "./unified_log.ts";

const SYSTEM_REPORTS = "/Library/Logs/DiagnosticReports";
/** A report with more than this is not looked into: a crash of tmux fills 100 KiB. */
const MAX_REPORT = 8 << 20;
/** Reports are looked into from the newest on, this many at most. */
const MAX_REPORTS = 12;
/** Reading more than this of the unified log does not end in time, in seconds. */
const MAX_LOG_SECS = 3600;

/** How a folder of reports is searched. */
interface Search {
  readonly source: string;
  readonly folders: readonly string[];
  readonly named: (name: string) => boolean;
  readonly factsOf: (report: Report, path: string) => readonly Fact[];
}

async function searchReports(
  ctx: CollectContext,
  search: Search,
): Promise<Finding> {
  const { source } = search;
  const { from } = windowOf(ctx.death);
  const facts: Fact[] = [];
  const hidden: string[] = [];
  const broken: string[] = [];
  for (const folder of search.folders) {
    let names: string[];
    try {
      names = await ctx.files.list(folder);
    } catch (error) {
      hidden.push(`${folder}: ${why(error)}`);
      continue;
    }
    const recent = names
      .filter((name) => name.endsWith(".ips") && search.named(name))
      .map((name) => ({ name, at: reportNameTime(name) ?? Infinity }))
      // A name carries whole seconds, and the time at which the report was begun.
      .filter(({ at }) => at >= from - 60)
      .sort((a, b) => a.at < b.at ? 1 : a.at > b.at ? -1 : 0)
      .slice(0, MAX_REPORTS);
    for (const { name } of recent) {
      const path = `${folder}/${name}`;
      try {
        const report = parseReport(await ctx.files.readText(path, MAX_REPORT));
        if (report === undefined) broken.push(`${path}: not a whole report`);
        else facts.push(...search.factsOf(report, path));
      } catch (error) {
        broken.push(`${path}: ${why(error)}`);
      }
    }
  }
  const kept = facts.filter((fact) => {
    const at = "at" in fact ? fact.at : undefined;
    return at !== undefined && at >= from &&
      at <= windowOf(ctx.death).to + LATE_REPORT;
  });
  const trouble = broken[0] ?? hidden[0];
  // A report that cannot be read may be the one; of the folders, one that can be read will do.
  const blind = broken.length > 0 || hidden.length === search.folders.length;
  if (kept.length === 0 && blind) {
    return unseen(source, trouble ?? "there is no folder to look into");
  }
  const finding = looked(source, kept, ctx.death);
  return trouble === undefined ? finding : { ...finding, why: trouble };
}

/**
 * Crash reports about the server. They can come seconds to minutes late.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export function crashReports(ctx: CollectContext): Promise<Finding> {
  const { pid, name: own } = ctx.death.server;
  const names = ["tmux", ...(own === undefined ? [] : [own])];
  return searchReports(ctx, {
    source: "DiagnosticReports",
    folders: [
      ...(ctx.home === undefined ? [] : [`${ctx.home}/Library/Logs/DiagnosticReports`]),
      SYSTEM_REPORTS,
    ],
    named: (name) => names.some((start) => name.startsWith(start)),
    factsOf(report, path) {
      const fact = crashOf(report, path);
      return fact?.pid === pid ? [fact] : [];
    },
  });
}

/**
 * Processes that the kernel killed to free memory.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export function jetsamEvents(ctx: CollectContext): Promise<Finding> {
  const { server, panePids, children } = ctx.death;
  const pids = new Set([
    server.pid,
    ...panePids,
    ...(children ?? []).map(({ pid }) => pid),
  ]);
  return searchReports(ctx, {
    source: "JetsamEvent",
    folders: [SYSTEM_REPORTS],
    named: (name) => name.startsWith("JetsamEvent"),
    factsOf: (report, path) => jetsamVictims(report, path, pids),
  });
}

/**
 * The unified log around the death. It can take tens of seconds: then it is cut off.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export async function unifiedLog(ctx: CollectContext): Promise<Finding> {
  const source = "log show";
  const { from, to } = windowOf(ctx.death);
  const over = ([start, end]: readonly [number, number]) =>
    ask(ctx, "log", [
      ...["show", "--start", logTime(start), "--end", logTime(end + 1)],
      ...["--style", "ndjson", "--predicate", PREDICATE],
    ], { timeoutMs: 10_000, maxBytes: 4 << 20 });
  const own = logSpan(ctx.death);
  const spans = (ctx.together ?? [ctx.death]).map(logSpan);
  const [start, end] = [Math.min(...spans.map(([a]) => a)), Math.max(...spans.map(([, b]) => b))];
  let result = await over(end - start > MAX_LOG_SECS ? own : [start, end]);
  if (result.truncated && spans.length > 1) result = await over(own);
  const facts = parseLogShow(result.stdout).filter((fact) => {
    const at = "at" in fact ? fact.at : undefined;
    return at !== undefined && at >= from && at <= to;
  });
  const finding = looked(source, facts, ctx.death);
  const trouble = failureOf("log", result);
  if (trouble === undefined) return finding;
  return finding.state === "found" ? { ...finding, why: trouble } : unseen(source, trouble);
}

/** What of the log is read for one death, in epoch seconds. */
function logSpan(death: Span): readonly [start: number, end: number] {
  const { from, to } = windowOf(death);
  return [Math.max(from, earliestDeath(death) - 60, to - MAX_LOG_SECS), to];
}

/**
 * Memory as it is now.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export async function vmStat(ctx: CollectContext): Promise<Finding> {
  const result = await ask(ctx, "vm_stat", [], { maxBytes: 65_536 });
  const trouble = failureOf("vm_stat", result);
  if (trouble !== undefined) return unseen("vm_stat", trouble);
  const value = result.stdout.trim();
  return looked(
    "vm_stat",
    [{ kind: "reading", name: "vm_stat", value }],
    ctx.death,
  );
}

/**
 * Swap, memory pressure, and which boot this is.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export async function sysctls(ctx: CollectContext): Promise<Finding> {
  const names = [
    "vm.swapusage",
    "kern.memorystatus_vm_pressure_level",
    "kern.bootsessionuuid",
  ];
  const result = await ask(ctx, "sysctl", names, { maxBytes: 65_536 });
  const facts = result.stdout.split("\n").flatMap((line): Fact[] => {
    const name = names.find((start) => line.startsWith(`${start}: `));
    return name === undefined
      ? []
      : [{ kind: "reading", name, value: line.slice(name.length + 2).trim() }];
  });
  if (facts.length > 0) return looked("sysctl", facts, ctx.death);
  return unseen(
    "sysctl",
    failureOf("sysctl", result) ?? "it names none of them",
  );
}

/** All of them, by the source their finding names. */
export const MACOS: Readonly<Record<string, Collector>> = {
  "DiagnosticReports": crashReports,
  "JetsamEvent": jetsamEvents,
  "log show": unifiedLog,
  "vm_stat": vmStat,
  "sysctl": sysctls,
};
