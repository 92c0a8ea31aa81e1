/**
 * What a verdict is drawn from, of a death in the journal.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { type Death, deathsSince } from "./deaths.ts";
import type { DeathFacts, Finding, Span } from "./evidence.ts";
import { type CollectContext, denoFiles } from "./evidence/context.ts";
import type { Together } from "./evidence/together.ts";
import { memoryOf } from "./memory.ts";
import { decide } from "./verdict.ts";

/** Servers of one root that are lost within this time, in milliseconds, point at a common cause. */
export const PEERS_MS = 2000;

/**
 * What the evidence is weighed against.
 *
 * @param ctx The root.
 * @param death The entry.
 * @param recent The deaths around it; those that are recorded now unless told.
 * @returns The facts of the death, with its peers.
 */
export function factsOf(
  ctx: Context,
  death: Death,
  recent: readonly Death[] = deathsSince(ctx, death.observedAt - PEERS_MS),
): DeathFacts {
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
    peersLost: peersLost(death, recent),
    children: death.children ?? memoryOf(ctx, identity, server.pid)?.children,
    oomKillAtArming: armed?.oomKill,
  };
}

/** Deaths that nobody watched are all found at the same moment: that says nothing. */
function peersLost(death: Death, recent: readonly Death[]): number {
  if (death.cause === "unobserved") return 0;
  return recent.filter((other) =>
    other.id !== death.id && other.cause !== "unobserved" &&
    Math.abs(other.observedAt - death.observedAt) <= PEERS_MS
  ).length;
}

/**
 * What a question about several deaths has to know of one.
 *
 * @param death The entry.
 * @returns When it can have been.
 */
export function spanOf({ server, cause, observedAt, lastSeen, armed }: Death): Span {
  return { server, cause, observedAt, lastSeenAt: lastSeen, armedAt: armed?.at };
}

/**
 * What collectors are given.
 *
 * @param ctx The root.
 * @param death The entry.
 * @param together The answers that it shares.
 * @param recent See {@linkcode factsOf}.
 * @returns The context of {@linkcode collectEvidence}.
 */
export function collectContext(
  ctx: Context,
  death: Death,
  together: Together,
  recent?: readonly Death[],
): CollectContext {
  const { host } = ctx;
  return {
    tools: together.tools(),
    files: denoFiles,
    death: factsOf(ctx, death, recent),
    together: together.deaths,
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
 * @param recent See {@linkcode factsOf}.
 * @returns A new entry.
 */
export function withVerdict(
  ctx: Context,
  death: Death,
  findings: readonly Finding[],
  recent?: readonly Death[],
): Death {
  const facts = factsOf(ctx, death, recent);
  const { verdict, confidence, reason } = decide({ death: facts, findings });
  const peers = facts.peersLost > 0 ? { peersLost: facts.peersLost } : {};
  return { ...death, verdict, confidence, reason, ...peers, findings };
}
