/**
 * From a recorded death to its verdict and snapshot.
 *
 * @module
 */

import { readClaim } from "./claims.ts";
import { type Context, messageOf, note, warnOnce } from "./context.ts";
import {
  type Death,
  deathsSince,
  isInLog,
  numberOf,
  observedFields,
  snapshotPath,
  updateDeath,
  verdictRecord,
} from "./deaths.ts";
import type { DeathFacts, Finding } from "./evidence.ts";
import { collectEvidence } from "./evidence/collect.ts";
import { type CollectContext, denoFiles } from "./evidence/context.ts";
import { faultPoint } from "./fault.ts";
import { denoSnapshotHost, gatherSections, renderSnapshot, writeSnapshot } from "./forensics.ts";
import { sameIncarnation } from "./host.ts";
import { appendLine, readLines } from "./log.ts";
import { parseLine } from "./logfmt.ts";
import { memoryOf } from "./memory.ts";
import { isThere } from "./store.ts";
import { type Curves, leadSections, type Moment } from "./story.ts";
import { decide } from "./verdict.ts";

/** Servers of one root that are lost within this time point at a common cause. */
const PEERS_MS = 2000;

/**
 * Gathers evidence about a recorded death, concludes, and closes its entry.
 * Never rejects: the death itself is on disk, and nobody waits for this.
 *
 * The verdict goes into the entry before its line goes into `exits.log`: one
 * who finishes the entry after a crash in between writes the same line, if it
 * is not there.
 *
 * @param ctx The root.
 * @param death The entry, in step `recorded`.
 * @param recovering Somebody else began: what is done already is not done again.
 * @returns The closed entry.
 */
export async function conclude(ctx: Context, death: Death, recovering: boolean): Promise<Death> {
  await enter();
  try {
    return await concludeNow(ctx, death, recovering);
  } finally {
    leave();
  }
}

/**
 * So many deaths are concluded at once; the others wait. Each starts a dozen
 * tools, and a tick that has a hundred entries to finish has other work to do.
 */
const AT_ONCE = 4;
let busy = 0;
const waiting: (() => void)[] = [];

async function enter(): Promise<void> {
  if (busy >= AT_ONCE) await new Promise<void>((go) => waiting.push(go));
  else busy++;
}

/** Hands the place on, or gives it up. */
function leave(): void {
  const next = waiting.shift();
  if (next === undefined) busy--;
  else next();
}

async function concludeNow(ctx: Context, death: Death, recovering: boolean): Promise<Death> {
  let current = death;
  const attempt = async (what: string, work: () => Death | Promise<Death>) => {
    try {
      current = await work();
    } catch (error) {
      warnOnce(`cannot ${what} ${death.id}: ${messageOf(error)}`);
      note(ctx, "conclude-failed", [["death", death.id], ["step", what], [
        "reason",
        messageOf(error),
      ]]);
    }
  };
  const subject = subjectOf(ctx, death);
  const host = denoSnapshotHost(ctx.host.tools);
  const sections = gatherSections(host, subject);
  await attempt("reach a verdict on", async () => {
    if (current.verdict !== undefined) return current;
    // Kept in the entry: a new server of this session takes their place elsewhere.
    const { samples: memory, children } = memoryOf(ctx, death.identity, death.server.pid) ?? {};
    if (memory !== undefined) current = { ...current, memory };
    if (children !== undefined) current = { ...current, children };
    const findings = await collectEvidence(collectContext(ctx, current));
    return withVerdict(ctx, current, findings);
  });
  await attempt("write the verdict on", () => {
    faultPoint("conclude:evidence-gathered");
    updateDeath(ctx, current);
    faultPoint("conclude:verdict-noted");
    const line = verdictRecord(ctx, current);
    if (line !== undefined && !(recovering && isInLog(ctx, "server-verdict", death.id))) {
      appendLine(ctx.paths, ctx.paths.exitsLog, line, { sync: true });
    }
    faultPoint("conclude:verdict-written");
    return { ...current, verdictAt: ctx.host.now() };
  });
  await attempt("write the snapshot of", async () => {
    const planned = snapshotPath(ctx, death);
    const lead = leadSections(current, timelineOf(ctx, current), curvesOf(ctx, current));
    const path = recovering && isThere(planned) ? planned : writeSnapshot(
      ctx.paths.serverDeaths,
      subject,
      renderSnapshot(subject, lead, await sections),
    );
    faultPoint("conclude:snapshot-written");
    return { ...current, forensics: path, snapshotAt: ctx.host.now() };
  });
  await sections;
  await attempt("close the entry of", () => {
    const closed: Death = { ...current, step: "closed" };
    updateDeath(ctx, closed);
    faultPoint("conclude:closed");
    return closed;
  });
  return current;
}

function subjectOf(ctx: Context, death: Death) {
  return {
    identity: death.identity,
    deathId: death.id,
    serverPid: death.server.pid,
    observedAt: death.observedAt,
    number: numberOf(death),
    header: observedFields(death),
    paneLog: ctx.paths.paneLog(death.identity),
  };
}

/**
 * What the evidence is weighed against.
 *
 * @param ctx The root.
 * @param death The entry.
 * @returns The facts of the death, with its peers as far as they are recorded now.
 */
export function factsOf(ctx: Context, death: Death): DeathFacts {
  const { identity, server, cause, signal, code, waitRc, observedAt, armed } = death;
  const panePids = death.panePid === undefined ? [] : [death.panePid];
  return {
    identity,
    server: { pid: server.pid, startedAt: server.startedAt },
    cause,
    signal,
    code,
    waitRc,
    observedAt,
    lastSeenAt: death.lastSeen,
    armedAt: armed?.at,
    bootChanged: death.bootChanged === true,
    panePids,
    peersLost: peersLost(ctx, death),
    children: death.children ?? memoryOf(ctx, identity, server.pid)?.children,
    oomKillAtArming: armed?.oomKill,
  };
}

/** Deaths that nobody watched are all found at the same moment: that says nothing. */
function peersLost(ctx: Context, death: Death): number {
  if (death.cause === "unobserved") return 0;
  return deathsSince(ctx, death.observedAt - PEERS_MS).filter((other) =>
    other.id !== death.id && other.cause !== "unobserved" &&
    Math.abs(other.observedAt - death.observedAt) <= PEERS_MS
  ).length;
}

/**
 * What collectors are given.
 *
 * @param ctx The root.
 * @param death The entry.
 * @returns The context of {@linkcode collectEvidence}.
 */
export function collectContext(ctx: Context, death: Death): CollectContext {
  const { host } = ctx;
  return {
    tools: host.tools,
    files: denoFiles,
    death: factsOf(ctx, death),
    platform: host.platform,
    bootTime: host.now() / 1000 - host.uptime(),
    home: host.home,
    cgroup: death.armed?.cgroup,
    sleep: host.sleep,
  };
}

/**
 * The entry with the verdict that its evidence gives.
 *
 * @param ctx The root.
 * @param death The entry.
 * @param findings The evidence.
 * @returns A new entry.
 */
export function withVerdict(ctx: Context, death: Death, findings: readonly Finding[]): Death {
  const facts = factsOf(ctx, death);
  const { verdict, confidence, reason } = decide({ death: facts, findings });
  const peers = facts.peersLost > 0 ? { peersLost: facts.peersLost } : {};
  return { ...death, verdict, confidence, reason, ...peers, findings };
}

/**
 * What happened when, as far as it is known.
 *
 * @param ctx The root.
 * @param death The entry.
 * @returns Moments, oldest first.
 */
export function timelineOf(ctx: Context, death: Death): Moment[] {
  const { server, armed, observedAt, lastSeen, recordedAt, verdictAt, snapshotAt } = death;
  const { revisedAt, verdict } = death;
  const moments: (Moment | undefined)[] = [
    { at: server.startedAt * 1000, what: `server ${server.pid} started` },
    armed && { at: armed.at, what: `canary armed (${death.mode ?? "unknown"} mode)` },
    lastExitOf(ctx, death),
    claimOf(ctx, death),
    at(lastSeen, "server last seen alive"),
    { at: observedAt, what: `death noticed by ${death.witness}` },
    at(recordedAt, "line in exits.log on disk"),
    at(verdictAt, "verdict written"),
    at(snapshotAt, "snapshot on disk"),
    at(revisedAt, `verdict revised to ${verdict}, from evidence that came late`),
  ];
  return moments.filter((moment) => moment !== undefined).sort((a, b) => a.at - b.at);
}

function at(ms: number | undefined, what: string): Moment | undefined {
  return ms === undefined ? undefined : { at: ms, what };
}

function claimOf(ctx: Context, death: Death): Moment | undefined {
  try {
    const claim = readClaim(ctx, death.identity);
    if (claim === undefined || !sameIncarnation(claim.server, death.server)) return undefined;
    const what = `claim by ${claim.who} (${claim.why}), void when the server died`;
    return { at: claim.at, what };
  } catch {
    return undefined;
  }
}

/** The last time that a session of this identity ended by itself. */
function lastExitOf(ctx: Context, death: Death): Moment | undefined {
  try {
    const fields = readLines(ctx.paths, ctx.paths.exitsLog)
      .filter((line) => line.includes("ev=session-exit"))
      .map(parseLine)
      .findLast((fields) => fields.get("identity") === death.identity);
    const when = Date.parse(fields?.get("ts") ?? "");
    if (fields === undefined || Number.isNaN(when)) return undefined;
    const how = fields.get("dead_signal")
      ? `signal ${fields.get("dead_signal")}`
      : `status ${fields.get("dead_status") || "unknown"}`;
    return { at: when, what: `an earlier session of this identity ended by itself (${how})` };
  } catch {
    return undefined;
  }
}

/** The curves that belong to a death. */
export function curvesOf(ctx: Context, death: Death): Curves {
  return {
    flight: death.flight ?? [],
    memory: death.memory ?? memoryOf(ctx, death.identity, death.server.pid)?.samples ?? [],
  };
}
