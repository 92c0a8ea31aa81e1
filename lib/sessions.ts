/**
 * Session records: what was launched, with which policy, and which incarnation
 * runs it now. Only the holder of a session's operation lock writes its record.
 *
 * @module
 */

import { FORMAT_VERSION } from "./config.ts";
import type { Context } from "./context.ts";
import { messageOf, note } from "./context.ts";
import { IapeerError } from "./errors.ts";
import type { Incarnation } from "./host.ts";
import { type Lock, waitLock } from "./locks.ts";
import { listJson, readJson, writeJson } from "./store.ts";

/** When a session that ended is started again. */
export type RestartPolicy = "never" | "on-failure" | "always";

/** What the user wants of a session. */
export interface Policy {
  /** When it is started again. */
  readonly restart: RestartPolicy;
  /** Seconds without output after which it is reaped; absent: never. */
  readonly idleSecs?: number;
  /** Globs of files whose change counts as activity too. */
  readonly activity?: readonly string[];
}

/** What to run. */
export interface Spec {
  /** The program and its arguments. */
  readonly argv: readonly string[];
  /** Working directory. */
  readonly cwd: string;
  /** The whole environment of the program. */
  readonly env: Readonly<Record<string, string>>;
  /** Columns and rows, as `220x50`. */
  readonly size: string;
  /** Configuration file of tmux in place of the user's own. */
  readonly tmuxConf?: string;
  /** What becomes of it. */
  readonly policy: Policy;
}

/**
 * What a record says of its session. `running` claims that a server lives or
 * did when last looked at; `starting` that a launch is, or was, under way; the
 * others that there is none and why.
 */
export type RecordState = "starting" | "running" | "stopped" | "gone" | "parked" | "crash-loop";

/**
 * How a session ended by itself, as its exit hook wrote it: tmux gives an exit
 * status or a signal's number (later versions its name).
 */
export interface SessionExit {
  /** Exit status of the program. */
  readonly status?: string;
  /** The signal that ended the program. */
  readonly signal?: string;
}

/** One end of a session, for the crash-loop guard. */
export interface End {
  /** Seconds since boot. */
  readonly uptime: number;
  /** The boot in which it ended. */
  readonly bootId?: string;
}

/** The record of one session. */
export interface SessionRecord {
  /** Which session. */
  readonly identity: string;
  /** How it is. */
  readonly state: RecordState;
  /** Somebody else started it: it is watched only. */
  readonly external: boolean;
  /** Path of the server's socket. */
  readonly sock: string;
  /** What to run; absent for an external session. */
  readonly spec?: Spec;
  /** The incarnation that runs it; absent when none does. */
  readonly server?: Incarnation;
  /** Process id of its program. */
  readonly panePid?: number;
  /** How it is watched. */
  readonly mode?: "own" | "attach";
  /** The boot in which it was launched. */
  readonly bootId?: string;
  /** The machine on which it was launched. */
  readonly hostName?: string;
  /** Epoch milliseconds. */
  readonly launchedAt: number;
  /** Id of the request by which it was launched, where it was handed over. */
  readonly request?: string;
  /** When the server was last seen alive, in epoch milliseconds. */
  readonly lastSeen?: number;
  /** Id of its last recorded death. */
  readonly lastDeath?: string;
  /** How its program ended by itself. */
  readonly lastExit?: SessionExit;
  /**
   * It ended in this way, and what its policy wants is not done yet: a tick
   * that is killed before it has started the session again leaves this behind.
   */
  readonly undecided?: "claimed" | "death";
  /** Its last ends, for the crash-loop guard. */
  readonly ends?: readonly End[];
}

function check(value: unknown): SessionRecord {
  const record = value as SessionRecord;
  if (typeof record.identity !== "string" || typeof record.sock !== "string") {
    throw new TypeError("no identity or sock");
  }
  if (typeof record.state !== "string" || typeof record.launchedAt !== "number") {
    throw new TypeError("no state or launchedAt");
  }
  if (record.server !== undefined) {
    const { pid, startedAt } = record.server;
    if (!Number.isSafeInteger(pid) || !Number.isFinite(startedAt)) {
      throw new TypeError("no pid or startedAt in server");
    }
  }
  if (record.spec !== undefined) {
    const { argv, cwd, env, size, policy } = record.spec;
    const whole = Array.isArray(argv) && argv.length > 0 && typeof cwd === "string" &&
      typeof env === "object" && env !== null && typeof size === "string" &&
      typeof policy?.restart === "string";
    if (!whole) throw new TypeError("the spec is not whole");
  }
  return record;
}

/**
 * Reads the record of a session. A corrupt one is set aside, logged, and
 * counts as absent.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @returns The record, or `undefined`.
 * @throws {Error} If it is there and cannot be read.
 */
export function readSession(ctx: Context, identity: string): SessionRecord | undefined {
  const stored = readJson(ctx.paths.session(identity), (value) => {
    const record = check(value);
    if (record.identity !== identity) throw new TypeError(`it is of ${record.identity}`);
    return record;
  });
  if (stored.state === "corrupt") {
    note(ctx, "corrupt-state", [
      ["identity", identity],
      ["file", ctx.paths.session(identity)],
      ["aside", stored.aside],
      ["reason", stored.why],
    ]);
  }
  return stored.state === "found" ? stored.value : undefined;
}

/** What is wrong with a record. */
export interface RecordTrouble {
  /** It is not whole; or a newer program has written it; or it may not be read. */
  readonly kind: "corrupt" | "newer" | "closed";
  /** What exactly. */
  readonly why: string;
}

/**
 * Tells what is wrong with the record of a session, and leaves it where it is.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @returns `undefined` if it can be read, or is not there.
 */
export function troubleWith(ctx: Context, identity: string): RecordTrouble | undefined {
  let text: string;
  try {
    text = Deno.readTextFileSync(ctx.paths.session(identity));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    return { kind: "closed", why: messageOf(error) };
  }
  try {
    const value = JSON.parse(text);
    if (value?.v > FORMAT_VERSION) return { kind: "newer", why: `format ${value.v}` };
    if (check(value).identity !== identity) throw new TypeError("it is of another session");
    return undefined;
  } catch (error) {
    return { kind: "corrupt", why: messageOf(error) };
  }
}

/**
 * Writes the record of a session.
 *
 * @param ctx The root.
 * @param record The record.
 * @throws {Error} If the storage refuses; the old record is then untouched.
 */
export function writeSession(ctx: Context, record: SessionRecord): void {
  writeJson(ctx.paths.session(record.identity), record);
}

/**
 * The identities that have a record.
 *
 * @param ctx The root.
 * @returns Sorted.
 */
export function listSessions(ctx: Context): string[] {
  return listJson(ctx.paths.sessions);
}

/**
 * The record without a server: what it becomes when the server has ended.
 *
 * @param record The record.
 * @param changes What else changes.
 * @returns A new record.
 */
export function rested(record: SessionRecord, changes: Partial<SessionRecord>): SessionRecord {
  const { server: _server, panePid: _pane, mode: _mode, ...rest } = record;
  return { ...rest, ...changes };
}

/**
 * The record of a session about whose last end nothing is left to be decided.
 *
 * @param record The record.
 * @returns A new record.
 */
export function decided(record: SessionRecord): SessionRecord {
  const { undecided: _undecided, ...rest } = record;
  return rest;
}

/**
 * The record of a session that runs anew: its last end is nobody's concern any
 * more.
 *
 * @param record The record.
 * @returns A new record.
 */
export function begun(record: SessionRecord): SessionRecord {
  const { lastExit: _exit, ...rest } = decided(record);
  return rest;
}

/**
 * Takes a session's operation lock: launch, stop, adopt and the tick change a
 * session one at a time.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @param timeoutMs How long to wait for whoever has it.
 * @returns The lock, or `undefined` when the time was up.
 */
export function lockSession(
  ctx: Context,
  identity: string,
  timeoutMs: number,
): Promise<Lock | undefined> {
  return waitLock(ctx.paths.lock(`${identity}.session`), timeoutMs);
}

/**
 * The record of a session that must be there.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @returns The record.
 * @throws {IapeerError} If there is none.
 */
export function needSession(ctx: Context, identity: string): SessionRecord {
  const record = readSession(ctx, identity);
  if (record === undefined) {
    throw new IapeerError(
      `Cannot find the session "${identity}": no session of that identity is known; see: iapeer status`,
    );
  }
  return record;
}
