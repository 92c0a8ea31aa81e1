/**
 * What is known about a death: what was observed, and what each place that was
 * looked at had to say. Plain data, so that it can be kept as JSON.
 *
 * @module
 */

import type { Fact } from "./evidence/facts.ts";

export type { Fact, Termination } from "./evidence/facts.ts";

/** How an end was seen. */
export type Cause =
  | "signal"
  | "exit-code"
  | "vanished"
  | "orderly"
  | "client-killed"
  | "unobserved";

/** What was observed of one death, before anything was looked up. */
export interface DeathFacts {
  /** Whose server it was. */
  readonly identity: string;
  /** The incarnation; `name` as the kernel knows it, where that is known. */
  readonly server: {
    readonly pid: number;
    /** Epoch seconds. */
    readonly startedAt: number;
    readonly name?: string | undefined;
  };
  /** How the end was seen. */
  readonly cause: Cause;
  /** Such as `SIGKILL`. */
  readonly signal?: string | undefined;
  /** Exit code, own mode. */
  readonly code?: number | undefined;
  /** What `tmux wait-for` left with, attach mode. */
  readonly waitRc?: number | undefined;
  /** Epoch milliseconds. */
  readonly observedAt: number;
  /** Epoch milliseconds. */
  readonly lastSeenAt?: number | undefined;
  /** Epoch milliseconds. */
  readonly armedAt?: number | undefined;
  /** The host runs another boot than the one the server lived in. */
  readonly bootChanged: boolean;
  /** The first process of each pane. */
  readonly panePids: readonly number[];
  /** How many other servers of this root were lost at the same time. */
  readonly peersLost: number;
  /** Processes that ran under the server. */
  readonly children?:
    | readonly { readonly pid: number; readonly name: string }[]
    | undefined;
  /** `oom_kill` of `/proc/vmstat` when the canary was armed. */
  readonly oomKillAtArming?: number | undefined;
}

/** What a question about several deaths has to know of each. */
export type Span = Pick<
  DeathFacts,
  "server" | "cause" | "observedAt" | "lastSeenAt" | "armedAt"
>;

/** One source, and what looking at it gave. */
export interface Finding {
  /** Its name, as {@linkcode ROLES} has it where it can tell a cause. */
  readonly source: string;
  /** `unseen`: it could not be looked at, which is not "nothing there". */
  readonly state: "found" | "nothing" | "unseen";
  /** Why it could not be looked at, or what limits what was seen. */
  readonly why?: string;
  /** What it says. */
  readonly facts: readonly Fact[];
}

/** Everything that a verdict is drawn from. */
export interface Evidence {
  /** What was observed. */
  readonly death: DeathFacts;
  /** What was found. */
  readonly findings: readonly Finding[];
}

/** What a source can testify to. */
export interface SourceRole {
  /** It would show an OOM kill. */
  readonly oom: boolean;
  /** It would show a crash. */
  readonly crash: boolean;
  /** It is the kernel's own log. */
  readonly kernel: boolean;
}

/** The sources that can tell a cause, by the name their findings carry. */
export const ROLES: Readonly<Record<string, SourceRole>> = {
  "dmesg": { oom: true, crash: true, kernel: true },
  "journalctl -k": { oom: true, crash: true, kernel: true },
  "journalctl": { oom: true, crash: false, kernel: false },
  "/proc/vmstat": { oom: true, crash: false, kernel: false },
  "memory cgroup": { oom: true, crash: false, kernel: false },
  "coredumpctl": { oom: false, crash: true, kernel: false },
  "last": { oom: false, crash: false, kernel: false },
  "DiagnosticReports": { oom: false, crash: true, kernel: false },
  "JetsamEvent": { oom: true, crash: false, kernel: false },
  "log show": { oom: true, crash: false, kernel: false },
};

/** Start times and boot times can be this many seconds off [measured, Linux]. */
const START_SLACK = 2;
/** Evidence may be stamped this many seconds after the death was observed. */
const LATE = 10;
/** macOS may date a report this many seconds after the death it tells of. */
export const LATE_REPORT = 600;

/**
 * The span of time that evidence about a death can come from: since the canary
 * was armed, or since the server started if that is not known. An earlier line
 * may be about an earlier process with the same pid.
 *
 * @param death What was observed.
 * @returns Epoch seconds.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { type DeathFacts, windowOf } from "./evidence.ts";
 *
 * const death: DeathFacts = {
 *   identity: "claude-bob",
 *   server: { pid: 42, startedAt: 1000 },
 *   cause: "vanished",
 *   observedAt: 5_000_000,
 *   bootChanged: false,
 *   panePids: [],
 *   peersLost: 0,
 * };
 * assert.deepEqual(windowOf(death), { from: 998, to: 5010 });
 * assert.equal(windowOf({ ...death, armedAt: 1_500_000 }).from, 1498);
 * ```
 */
export function windowOf(death: Span): { from: number; to: number } {
  const armed = death.armedAt === undefined ? 0 : death.armedAt / 1000;
  return {
    from: Math.max(death.server.startedAt, armed) - START_SLACK,
    to: death.observedAt / 1000 + LATE,
  };
}

/**
 * The earliest moment at which the server can have died.
 *
 * @param death What was observed.
 * @returns Epoch seconds: for a death that somebody watched, the moment it was
 * observed; else when the server was last known to live.
 */
export function earliestDeath(death: Span): number {
  const watched = death.cause !== "unobserved" &&
    death.cause !== "client-killed";
  if (watched) return death.observedAt / 1000;
  const seen = Math.max(death.lastSeenAt ?? 0, death.armedAt ?? 0) / 1000;
  return Math.min(
    Math.max(seen, death.server.startedAt),
    death.observedAt / 1000,
  );
}

/** White space, control characters, and those that turn the direction of text. */
const UNPRINTABLE =
  // deno-lint-ignore no-control-regex -- taking them out is the point
  /[\u0000-\u0020\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g;

/**
 * Makes foreign text fit to be quoted: one line, printable, of bounded length.
 *
 * @param text Any text.
 * @param max Most characters; 300 unless told.
 * @returns The text, with `…` where it was cut.
 */
export function oneLine(text: string, max = 300): string {
  // Cut first: what is thrown away need not be cleaned.
  const cut = text.length > max ? text.slice(0, max - 1) + "…" : text;
  return cut.replace(UNPRINTABLE, " ").trim();
}
