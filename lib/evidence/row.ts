/**
 * What a row of the decision table is made of, and the words that several rows
 * share.
 *
 * @module
 */

import { quote } from "./reasons.ts";
import type { Fate, View } from "./view.ts";

/** What is concluded about a death. */
export type VerdictName =
  | "oom-kill"
  | "jetsam"
  | "crash"
  | "killed"
  | "shutdown-request"
  | "logout"
  | "host-reboot"
  | "unknown";

/** How far a verdict can be relied on. */
export type Confidence = "certain" | "likely" | "possible";

/** A conclusion, with the evidence it rests on. */
export interface Verdict {
  /** What is concluded. */
  readonly verdict: VerdictName;
  /** How far that can be relied on. */
  readonly confidence: Confidence;
  /** Why; it quotes the evidence. */
  readonly reason: string;
}

/** One row of the decision table. */
export interface Row {
  /** What the row is known by in tests. */
  readonly name: string;
  /** What it concludes. */
  readonly verdict: VerdictName;
  /** How far that can be relied on. */
  readonly confidence: Confidence;
  /** Ends of a server that the row is about; all of them unless told. */
  readonly fates?: readonly Fate[];
  /** The reason if the row fits, else `undefined`. */
  readonly when: (view: View) => string | undefined;
}

/** Ends that a SIGKILL from somewhere may be behind. */
export const KILL: readonly Fate[] = ["killed", "vanished", "unseen"];
/** Ends that a crash may be behind. */
export const CRASH: readonly Fate[] = ["crashed", "vanished", "unseen"];
/** Ends that somebody may have asked for, or that a SIGKILL may be behind. */
export const NOT_BY_ITSELF: readonly Fate[] = [...KILL, "asked", "orderly"];
/** Ends of a server whose unit or login session is stopped: it is sent a TERM. */
export const STOPPED: readonly Fate[] = [
  "asked",
  "orderly",
  "unseen",
  "vanished",
];

/**
 * Says how the server ended.
 *
 * @param view The evidence.
 * @returns The start of a sentence.
 */
export function how(view: View): string {
  const { signal, code } = view.death;
  if (view.fate === "unseen") return "the server ended, unseen,";
  if (view.fate === "vanished") return "the server vanished";
  if (signal !== undefined) return `the server was ended by ${signal}`;
  if (view.fate === "orderly") return "the server ended in good order";
  return `the server left with exit code ${code}`;
}

/**
 * Quotes the line of a fact.
 *
 * @param prefix Where it stands.
 * @param fact The fact, if there is one.
 * @returns The quote, or `undefined`.
 */
export function cite(
  prefix: string,
  fact: { readonly line: string } | undefined,
): string | undefined {
  return fact === undefined ? undefined : `${prefix}: ${quote(fact.line)}`;
}
