/**
 * The death journal: one entry per incarnation that ended unasked.
 *
 * @module
 */

import { join } from "./path.ts";
import type { Context } from "./context.ts";
import { messageOf, note, warnOnce } from "./context.ts";
import { type Incarnation, sameIncarnation } from "./host.ts";
import type { Arming } from "./arming.ts";
import type { Cause, Finding } from "./evidence.ts";
import type { Confidence, VerdictName } from "./verdict.ts";
import type { FlightSample } from "./flight.ts";
import {
  createFileOnce,
  encodeJson,
  listJson,
  NewerFormatError,
  readJson,
  writeJson,
} from "./store.ts";

/** How far the recording of a death has come. */
export type Step =
  /** In the journal; its line may or may not be in `exits.log`. */
  | "noticed"
  /** Its line is on disk; evidence is being gathered. */
  | "recorded"
  /** Everything that can be known is written down. */
  | "closed";

/** A death as its first witness saw it. */
export interface Observation {
  /** Which session. */
  readonly identity: string;
  /** Which incarnation. */
  readonly server: Incarnation;
  /** What was observed. */
  readonly cause: Cause;
  /** Its name, such as `SIGKILL`, where a signal ended it. */
  readonly signal?: string;
  /** Exit code of the server, where its parent watched. */
  readonly code?: number;
  /** Exit code of the waiting client, in attach mode. */
  readonly waitRc?: number;
  /** Who saw it first. */
  readonly witness: "canary" | "supervise";
  /** How it was watched. */
  readonly mode?: "own" | "attach";
  /** Epoch milliseconds. */
  readonly observedAt: number;
  /** Found dead later: it was alive then, in epoch milliseconds. */
  readonly lastSeen?: number;
  /** Pid of the session's program. */
  readonly panePid?: number;
  /** The host runs another boot than the one the server lived in. */
  readonly bootChanged?: boolean;
  /** The machine as it was when the watch began. */
  readonly armed?: Arming;
  /** The machine over the last half hour. */
  readonly flight?: readonly FlightSample[];
}

/** An entry of the journal. */
export interface Death extends Observation {
  /** See {@linkcode deathId}. */
  readonly id: string;
  /** How far its recording has come. */
  readonly step: Step;
  /** When the line was on disk, in epoch milliseconds. */
  readonly recordedAt?: number;
  /** When the snapshot was on disk, in epoch milliseconds. */
  readonly snapshotAt?: number;
  /** Path of the snapshot, once it is written. */
  readonly forensics?: string;
  /** What is concluded. */
  readonly verdict?: VerdictName;
  /** How sure that is. */
  readonly confidence?: Confidence;
  /** Quotes the evidence. */
  readonly reason?: string;
  /** Other servers of this root lost within 2 s. */
  readonly peersLost?: number;
  /** When the verdict was written, in epoch milliseconds. */
  readonly verdictAt?: number;
  /** When late evidence last changed the verdict, in epoch milliseconds. */
  readonly revisedAt?: number;
  /** What was looked at, and what it gave. */
  readonly findings?: readonly Finding[];
  /** Resident size of the session's processes, as ticks saw it: epoch ms, KiB. */
  readonly memory?: readonly (readonly [at: number, rssKiB: number])[];
  /** Processes that ticks saw below the server. */
  readonly children?: readonly { readonly pid: number; readonly name: string }[];
}

/**
 * The id of an incarnation's death.
 *
 * @param identity Which session.
 * @param server The incarnation.
 * @returns `<identity>-<pid>-<start in epoch seconds>`.
 */
export function deathId(identity: string, server: Incarnation): string {
  return `${identity}-${server.pid}-${Math.floor(server.startedAt)}`;
}

/**
 * The id under which the journal keeps an incarnation's death, or would.
 *
 * Where pids are few, two incarnations can have had the same one within a
 * second. They differ in their start in clock ticks, which the entry knows: the
 * one that comes second takes `<id>-2`.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @param server The incarnation.
 * @returns {@linkcode deathId}, or that with a number.
 * @throws {Error} If the journal cannot be read.
 */
export function journalId(ctx: Context, identity: string, server: Incarnation): string {
  const first = deathId(identity, server);
  for (let n = 1;; n++) {
    const id = n === 1 ? first : `${first}-${n}`;
    const there = serverOf(ctx, id);
    if (there === undefined || sameIncarnation(there, server)) return id;
  }
}

/** Whose death an entry tells of; one that a newer program has made may be anybody's. */
function serverOf(ctx: Context, id: string): Incarnation | undefined {
  try {
    return readDeath(ctx, id)?.server;
  } catch (error) {
    if (error instanceof NewerFormatError) return undefined;
    throw error;
  }
}

/**
 * Path of the snapshot that belongs to a death.
 *
 * @param ctx The root.
 * @param death The death.
 * @returns `…/server-deaths/<identity>-<epoch s>-<pid>.txt`; a number that
 * {@linkcode journalId} gave the death is at the end of the name, too.
 */
export function snapshotPath(ctx: Context, death: Death): string {
  const { identity, server, observedAt } = death;
  const name = `${identity}-${Math.floor(observedAt / 1000)}-${server.pid}${numberOf(death)}.txt`;
  return join(ctx.paths.serverDeaths, name);
}

/**
 * What {@linkcode journalId} has put behind the id of a death.
 *
 * @param death The death.
 * @returns For example `-2`; empty in all but the rarest cases.
 */
export function numberOf(death: Death): string {
  return death.id.slice(deathId(death.identity, death.server).length);
}

function check(value: unknown): Death {
  const death = value as Death;
  const known = typeof death.id === "string" && typeof death.identity === "string" &&
    typeof death.cause === "string" && typeof death.step === "string" &&
    Number.isSafeInteger(death.server.pid) && Number.isFinite(death.server.startedAt) &&
    Number.isFinite(death.observedAt);
  if (!known) throw new TypeError("a field is missing");
  return death;
}

/**
 * Reads an entry of the journal. A corrupt one is set aside and logged.
 *
 * @param ctx The root.
 * @param id The death.
 * @returns The entry, or `undefined`.
 * @throws {Error} If it is there and cannot be read.
 */
export function readDeath(ctx: Context, id: string): Death | undefined {
  const stored = readJson(ctx.paths.death(id), check);
  if (stored.state === "corrupt") {
    note(ctx, "corrupt-state", [
      ["file", ctx.paths.death(id)],
      ["aside", stored.aside],
      ["reason", stored.why],
    ]);
  }
  return stored.state === "found" ? stored.value : undefined;
}

/**
 * Every entry of the journal, oldest first.
 *
 * @param ctx The root.
 * @returns The entries that can be read.
 */
export function listDeaths(ctx: Context): Death[] {
  return listJson(ctx.paths.deaths)
    .map((id) => readIfOurs(ctx, id))
    .filter((death) => death !== undefined)
    .sort((a, b) => a.observedAt - b.observedAt);
}

/**
 * The entries that were written since a moment: the others are not even read,
 * so that a long journal costs a tick next to nothing.
 *
 * @param ctx The root.
 * @param since Epoch milliseconds.
 * @returns The entries, oldest first.
 */
export function deathsSince(ctx: Context, since: number): Death[] {
  return listJson(ctx.paths.deaths)
    .filter((id) => writtenAt(ctx.paths.death(id)) >= since)
    .map((id) => readIfOurs(ctx, id))
    .filter((death) => death !== undefined)
    .sort((a, b) => a.observedAt - b.observedAt);
}

/** An entry that a newer program has made hides none of the others. */
function readIfOurs(ctx: Context, id: string): Death | undefined {
  try {
    return readDeath(ctx, id);
  } catch (error) {
    if (!(error instanceof NewerFormatError)) throw error;
    warnOnce(messageOf(error));
    return undefined;
  }
}

function writtenAt(path: string): number {
  try {
    return Deno.statSync(path).mtime?.getTime() ?? Infinity;
  } catch {
    return -Infinity;
  }
}

/**
 * Opens an entry, unless there is one for this death. Not synced: see
 * lib/record.ts for what a power cut leaves.
 *
 * @param ctx The root.
 * @param death The entry.
 * @returns `true` for the first witness, `false` for every other.
 * @throws {Error} If the storage refuses.
 */
export function openDeath(ctx: Context, death: Death): boolean {
  return createFileOnce(ctx.paths.death(death.id), encodeJson(death), { sync: false });
}

/**
 * Writes an entry's next state.
 *
 * @param ctx The root.
 * @param death The entry.
 * @throws {Error} If the storage refuses; the old state is then untouched.
 */
export function updateDeath(ctx: Context, death: Death): void {
  writeJson(ctx.paths.death(death.id), death);
}
