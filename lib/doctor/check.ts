/**
 * What a check of the doctor is given, and what it says.
 *
 * @module
 */

import type { Context } from "../context.ts";
import type { PsRow } from "../ps_table.ts";
import type { ServiceState } from "../service.ts";
import type { RecordTrouble, SessionRecord } from "../sessions.ts";
import type { SessionStatus } from "../status.ts";
import { quoteWord } from "../tmux.ts";

/** How bad it is: only a problem fails. */
export type Level = "ok" | "warning" | "problem";

/** One line of the doctor's report. */
export interface Finding {
  /** Name of the check. */
  readonly check: string;
  /** How bad it is. */
  readonly level: Level;
  /** What is the case. */
  readonly text: string;
  /** What to do about it, a command in each line. Never absent where something is wrong. */
  readonly remedy?: string;
}

/** What a check says; the name of the check is added by whoever runs it. */
export type Said = Omit<Finding, "check">;

/** All is well. */
export function ok(text: string): Said {
  return { level: "ok", text };
}

/** Something will go wrong one day, or cannot be looked at. */
export function warning(text: string, remedy: string): Said {
  return { level: "warning", text, remedy };
}

/** Something does not work. */
export function problem(text: string, remedy: string): Said {
  return { level: "problem", text, remedy };
}

/** A session with what its record says. */
export interface Known {
  /** Its record. */
  readonly record: SessionRecord;
  /** How it is. */
  readonly status: SessionStatus;
  /** A launch, a stop or a tick is at work on it just now. */
  readonly busy: boolean;
}

/** The supervisor at work on a root, as it has noted in the lock that it holds. */
export interface Supervisor {
  /** Its pid; absent while it is only starting. */
  readonly pid?: number;
  /** Its version; absent if it is too old to say. */
  readonly version?: string;
}

/** The sessions of a root. */
export interface Sessions {
  /** Those whose record can be read. */
  readonly known: readonly Known[];
  /** Those whose record cannot, and why. */
  readonly damaged: readonly {
    readonly identity: string;
    readonly trouble: RecordTrouble;
  }[];
}

/**
 * What is looked at. What several checks need is looked up once, when the first
 * of them asks; where that fails, those checks fail and no others.
 */
export interface Examined {
  /** Root and machine. */
  readonly ctx: Context;
  /** User id of this process, or `null` where there is none. */
  readonly uid: number | null;
  /** PATH of the caller. */
  readonly path: string;
  /** Version of this program. */
  readonly version: string;
  /** Whether the root is there at all. */
  readonly made: boolean;
  /** The command line that runs `iapeer` with these arguments on this root. */
  command(args: string): string;
  /** The service. */
  service(): Promise<ServiceState>;
  /** The supervisor at work on this root, of the service or not. */
  supervisor(): Promise<Supervisor | undefined>;
  /** The sessions. */
  sessions(): Promise<Sessions>;
  /** The process table. */
  processes(): Promise<readonly PsRow[]>;
}

/** One subject. It may throw: that becomes a line of its own. */
export type Check = (of: Examined) => readonly Said[] | Promise<readonly Said[]>;

/**
 * A word for the command line of a remedy.
 *
 * @param text Any text.
 * @returns The text, quoted if a shell would not take it for one word.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { word } from "./check.ts";
 *
 * assert.equal(word("/srv/iapeer"), "/srv/iapeer");
 * assert.equal(word("/srv/my root"), "'/srv/my root'");
 * ```
 */
export function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : quoteWord(text);
}

/**
 * Some of many names.
 *
 * @param names All.
 * @param most How many are named.
 * @returns For example `a, b and 3 more`.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { some } from "./check.ts";
 *
 * assert.equal(some(["a", "b"]), "a, b");
 * assert.equal(some(["a", "b", "c", "d", "e"], 2), "a, b and 3 more");
 * ```
 */
export function some(names: readonly string[], most = 3): string {
  if (names.length <= most) return names.join(", ");
  return `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}

/**
 * A number with its noun.
 *
 * @param n How many.
 * @param noun In the singular; its plural takes an `s`.
 * @returns For example `1 session`, `2 sessions`.
 */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
