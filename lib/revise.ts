/**
 * Verdicts that later evidence raises: crash reports appear seconds to minutes
 * after the crash.
 *
 * @module
 */

import { type Context, messageOf, warnOnce } from "./context.ts";
import { collectContext, spanOf, withVerdict } from "./death_facts.ts";
import { type Death, deathsSince, readDeath, updateDeath } from "./deaths.ts";
import { verdictRecord } from "./exits.ts";
import { type Finding, LATE_REPORT } from "./evidence.ts";
import { collectEvidence } from "./evidence/collect.ts";
import type { Collector } from "./evidence/context.ts";
import { coredumps } from "./evidence/linux.ts";
import { Together } from "./evidence/together.ts";
import { crashReports, jetsamEvents } from "./evidence/macos.ts";
import { tryLock } from "./locks.ts";
import { appendLine, readLines } from "./log.ts";
import { parseLine } from "./logfmt.ts";
import { deathLock } from "./record.ts";
import type { Confidence } from "./verdict.ts";

/** What can appear late, by the name its finding carries. */
const LATE: Readonly<Record<string, Readonly<Record<string, Collector>>>> = {
  linux: { "coredumpctl": coredumps },
  darwin: { "DiagnosticReports": crashReports, "JetsamEvent": jetsamEvents },
};

const RANK: Readonly<Record<Confidence, number>> = { possible: 1, likely: 2, certain: 3 };

/**
 * Looks again for evidence about the deaths of the last ten minutes whose
 * verdict is not certain, and raises the verdict where there is more.
 *
 * @param ctx The root.
 */
export async function reviseDeaths(ctx: Context): Promise<void> {
  const collectors = LATE[ctx.host.platform];
  if (collectors === undefined) return;
  const now = ctx.host.now();
  const open = deathsSince(ctx, now - LATE_REPORT * 1000).filter((death) => {
    const age = now - death.observedAt;
    return death.step === "closed" && death.confidence !== "certain" &&
      death.findings !== undefined && age >= 0 && age <= LATE_REPORT * 1000;
  });
  const together = new Together(ctx.host.tools, open.map(spanOf));
  for (const death of open) {
    try {
      using lock = tryLock(deathLock(ctx, death.id));
      if (lock !== undefined) await reviseDeath(ctx, death.id, collectors, together);
    } catch (error) {
      warnOnce(`cannot revise the verdict on ${death.id}: ${messageOf(error)}`);
    }
  }
}

async function reviseDeath(
  ctx: Context,
  id: string,
  collectors: Readonly<Record<string, Collector>>,
  together: Together,
): Promise<void> {
  const death = readDeath(ctx, id);
  if (death?.findings === undefined || death.verdict === undefined) return;
  const fresh = await collectEvidence(collectContext(ctx, death, together), { collectors });
  if (!fresh.some((finding) => isNews(finding, death))) return;
  const findings = merged(death.findings, fresh);
  const revised = withVerdict(ctx, death, findings);
  const raised = revised.verdict !== death.verdict
    ? RANK[revised.confidence!] >= RANK[death.confidence!] || death.verdict === "unknown"
    : RANK[revised.confidence!] > RANK[death.confidence!];
  // The evidence itself is kept in any case.
  if (!raised) return updateDeath(ctx, { ...death, findings });
  // The line first: whoever is killed in between leaves an entry that is
  // revised again, and the line is not written twice.
  if (!isTold(ctx, revised, death.verdict)) {
    const line = verdictRecord(ctx, revised, death.verdict)!;
    appendLine(ctx.paths, ctx.paths.exitsLog, line, { sync: true });
  }
  updateDeath(ctx, { ...revised, revisedAt: ctx.host.now() });
}

/** What was seen before, but for what is known better now. */
function merged(before: readonly Finding[], fresh: readonly Finding[]): Finding[] {
  const better = fresh.filter(({ source, state }) =>
    state !== "unseen" || !before.some((finding) => finding.source === source)
  );
  return [
    ...before.filter(({ source }) => !better.some((finding) => finding.source === source)),
    ...better,
  ];
}

function isTold(ctx: Context, { id, verdict, confidence }: Death, revises: string): boolean {
  return readLines(ctx.paths, ctx.paths.exitsLog).map(parseLine).some((fields) =>
    fields.get("death") === id && fields.get("revises") === revises &&
    fields.get("verdict") === verdict && fields.get("confidence") === confidence
  );
}

function isNews({ source, facts }: Finding, death: Death): boolean {
  const before = death.findings?.find((finding) => finding.source === source);
  return facts.length > 0 && JSON.stringify(facts) !== JSON.stringify(before?.facts ?? []);
}
