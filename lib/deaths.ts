/**
 * The death journal: one entry per incarnation that ended unasked, and the
 * records made from it.
 *
 * @module
 */

import { join } from "node:path";
import type { Context } from "./context.ts";
import { note } from "./context.ts";
import type { Incarnation } from "./host.ts";
import { formatLine, type LogField } from "./logfmt.ts";
import { createFileOnce, encodeJson, listJson, readJson, writeJson } from "./store.ts";

/** What was observed at the moment. */
export type Cause =
  | "signal"
  | "exit-code"
  | "vanished"
  | "orderly"
  | "client-killed"
  | "unobserved";

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
  readonly identity: string;
  readonly server: Incarnation;
  readonly cause: Cause;
  readonly signal?: string;
  readonly code?: number;
  readonly waitRc?: number;
  readonly witness: "canary" | "supervise";
  readonly mode?: "own" | "attach";
  /** Epoch milliseconds. */
  readonly observedAt: number;
  /** Found dead later: it was alive then, in epoch milliseconds. */
  readonly lastSeen?: number;
}

/** An entry of the journal. */
export interface Death extends Observation {
  readonly id: string;
  readonly step: Step;
  /** When the line was on disk, in epoch milliseconds. */
  readonly recordedAt?: number;
  /** When the snapshot was on disk, in epoch milliseconds. */
  readonly snapshotAt?: number;
  /** Path of the snapshot, once it is written. */
  readonly forensics?: string;
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
 * Path of the snapshot that belongs to a death.
 *
 * @param ctx The root.
 * @param death The death.
 * @returns `…/server-deaths/<identity>-<epoch s>-<pid>.txt`.
 */
export function snapshotPath(ctx: Context, death: Observation): string {
  const secs = Math.floor(death.observedAt / 1000);
  return join(ctx.paths.serverDeaths, `${death.identity}-${secs}-${death.server.pid}.txt`);
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
    .map((id) => readDeath(ctx, id))
    .filter((death) => death !== undefined)
    .sort((a, b) => a.observedAt - b.observedAt);
}

/**
 * Opens an entry, unless there is one for this death.
 *
 * @param ctx The root.
 * @param death The entry.
 * @returns `true` for the first witness, `false` for every other.
 * @throws {Error} If the storage refuses.
 */
export function openDeath(ctx: Context, death: Death): boolean {
  return createFileOnce(ctx.paths.death(death.id), encodeJson(death));
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

/** The fields that tell what was observed, for the record and the snapshot's header. */
export function observedFields(death: Death): LogField[] {
  return [
    ["identity", death.identity],
    ["server_pid", death.server.pid],
    ["cause", death.cause],
    ["signal", death.signal],
    ["code", death.code],
    ["wait_rc", death.waitRc],
    [
      "last_seen",
      death.lastSeen === undefined ? undefined : new Date(death.lastSeen).toISOString(),
    ],
    ["witness", death.witness],
    ["mode", death.mode],
    ["death", death.id],
  ];
}

/**
 * The `server-exit` record of a death.
 *
 * @param ctx The root.
 * @param death The entry.
 * @returns One line of logfmt.
 */
export function exitRecord(ctx: Context, death: Death): string {
  return formatLine([
    ["ts", new Date(death.observedAt).toISOString()],
    ["ev", "server-exit"],
    ...observedFields(death),
    ["forensics", snapshotPath(ctx, death)],
  ]);
}
