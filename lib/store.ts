/**
 * State files: JSON that is either whole or not there.
 *
 * Programs of several versions are at work on one root: after an update the
 * canaries of the older one go on until their servers end. Hence the rule:
 *
 * - Every file carries the version of its format as `v`; one without is of
 *   version 1. A reader reads all versions up to its own.
 * - A field that older readers may pass over is added under the same version.
 *   They keep it when they write the file again.
 * - What an older reader would misread makes a new version. It then refuses the
 *   file with a {@linkcode NewerFormatError} and leaves it where it is.
 * - Claims are read whatever their version: `server` and `at` mean the same for
 *   ever, or a canary would take the end that a newer program wanted for a death.
 *
 * Records in logfmt follow the second point; notes in lock files too.
 *
 * @module
 */

import { basename, dirname, join } from "./path.ts";
import { FORMAT_VERSION } from "./config.ts";
import { UnknownStateError } from "./errors.ts";
import { faultPoint } from "./fault.ts";

/** What a state file held, or why it cannot be had. */
export type Stored<T> =
  | { readonly state: "found"; readonly value: T }
  | { readonly state: "absent" }
  /** Set aside under `aside`; the reason is for the log. */
  | { readonly state: "corrupt"; readonly aside: string; readonly why: string };

/** A newer iapeer has written it: it is whole, and not for this program to judge. */
export class NewerFormatError extends UnknownStateError {
  /** Name of the class. */
  override readonly name: string = "NewerFormatError";
}

const encoder = new TextEncoder();

/**
 * A name beside `path` that no other writer uses and no listing takes for
 * state. Random: a pid can come again, and find what its forerunner left.
 */
function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}.tmp`);
}

/** Writes `text` to a new file of mode 0600, whatever the umask. */
function writeNew(path: string, text: string, sync: boolean): void {
  using file = Deno.openSync(path, { write: true, createNew: true, mode: 0o600 });
  Deno.chmodSync(path, 0o600);
  writeAll(file, encoder.encode(text));
  if (sync) file.syncSync();
}

/**
 * Writes all of `bytes`; a short write goes on where it stopped.
 *
 * @param file An open file.
 * @param bytes What to write.
 */
export function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}

/**
 * Puts `text` at `path`: temporary name, sync, rename, sync of the directory.
 *
 * A power cut before the rename leaves the old file (and a temporary one, which
 * readers pass over); between the rename and the directory's sync either the
 * old or the new; after it the new.
 *
 * @param path Where it shall be.
 * @param text The content.
 * @param options `sync: false` leaves it to the system when it reaches the disk.
 * @throws {Error} If the storage refuses; the old file is then untouched.
 */
export function writeFileAtomic(
  path: string,
  text: string,
  { sync = true }: { readonly sync?: boolean } = {},
): void {
  const temporary = temporaryName(path);
  try {
    writeNew(temporary, text, sync);
    faultPoint("store:temporary-written");
    Deno.renameSync(temporary, path);
    faultPoint("store:renamed");
  } catch (error) {
    removeIfThere(temporary);
    throw error;
  }
  if (sync) syncDir(dirname(path));
}

/**
 * Puts `text` at `path` only if nothing is there: the file appears whole, or
 * not at all, and for exactly one of several who try.
 *
 * A hard link in place of `O_EXCL` on the name itself: a creator that dies
 * between creating and writing would leave an empty entry that says nothing.
 *
 * @param path Where it shall be.
 * @param text The content.
 * @param options `sync: false` leaves it to the system when it reaches the disk.
 * @returns `true` for the one who made it, `false` if it was there.
 * @throws {Error} If the storage refuses.
 */
export function createFileOnce(
  path: string,
  text: string,
  { sync = true }: { readonly sync?: boolean } = {},
): boolean {
  const temporary = temporaryName(path);
  try {
    writeNew(temporary, text, sync);
    faultPoint("store:entry-written");
    Deno.linkSync(temporary, path);
    faultPoint("store:entry-linked");
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  } finally {
    removeIfThere(temporary);
  }
}

/**
 * Makes the names in a directory durable, where the system can.
 *
 * @param dir The directory.
 */
export function syncDir(dir: string): void {
  try {
    using file = Deno.openSync(dir, { read: true });
    file.syncSync();
  } catch {
    // Some file systems refuse to sync a directory; the files themselves are synced.
  }
}

/**
 * Removes a file; one that is not there is fine.
 *
 * @param path The file.
 */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // Gone already, or not removable: either way nothing of ours depends on it.
  }
}

/**
 * Tells whether something is at a path.
 *
 * @param path Whatever it is; a link that leads nowhere is there.
 * @returns `false` only if nothing is.
 * @throws {Error} If that cannot be told (no permission, I/O error).
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { isThere } from "./store.ts";
 *
 * assert(isThere("."));
 * assert(!isThere("./nobody-has-made-this"));
 * ```
 */
export function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Writes a state file, see {@linkcode writeFileAtomic}.
 *
 * @param path The file.
 * @param value Its content; a `v` with the format version is put in front.
 * @throws {Error} If the storage refuses.
 */
export function writeJson(path: string, value: object): void {
  writeFileAtomic(path, encodeJson(value));
}

/**
 * The text of a state file.
 *
 * @param value Its content.
 * @returns JSON with the format version, one line.
 */
export function encodeJson(value: object): string {
  // What was read and is written again is of this version now.
  return JSON.stringify(Object.assign({ v: 0 }, value, { v: FORMAT_VERSION })) + "\n";
}

/**
 * Reads a state file. One that cannot be understood is set aside as
 * `<name>.corrupt` (`.corrupt-2`, …), so that nothing is lost and nothing stops.
 *
 * @param path The file.
 * @param check Turns parsed JSON into a `T`, or throws saying what is wrong.
 * @param options `anyVersion`: what `check` looks for means the same in every
 * version to come.
 * @returns The content, or why there is none.
 * @throws {NewerFormatError} If a newer program has written it.
 * @throws {Error} If it is there and cannot be read (no permission, I/O error).
 */
export function readJson<T>(
  path: string,
  check: (value: unknown) => T,
  { anyVersion = false }: { readonly anyVersion?: boolean } = {},
): Stored<T> {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { state: "absent" };
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) throw new TypeError("not an object");
    const version = (value as { v?: unknown }).v;
    if (typeof version === "number" && version > FORMAT_VERSION && !anyVersion) {
      throw new NewerFormatError(
        `Cannot read "${path}": a newer iapeer has written it (format ${version}, this one knows ${FORMAT_VERSION}); run that one, or install it: iapeer install`,
      );
    }
    return { state: "found", value: check(value) };
  } catch (error) {
    if (error instanceof NewerFormatError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    return { state: "corrupt", aside: setAside(path), why };
  }
}

/** Moves a file to the first free `.corrupt` name. */
function setAside(path: string): string {
  for (let n = 1;; n++) {
    const aside = n === 1 ? `${path}.corrupt` : `${path}.corrupt-${n}`;
    try {
      Deno.lstatSync(aside);
    } catch {
      try {
        Deno.renameSync(path, aside);
        return aside;
      } catch {
        // Read-only, or another process moved it first: it stays where it is.
        return path;
      }
    }
  }
}

/**
 * The names of the state files in a directory, sorted, without `.json`.
 *
 * @param dir The directory; one that is not there has none.
 * @returns For example identities.
 */
export function listJson(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)]
      .filter((entry) => !entry.name.startsWith(".") && entry.name.endsWith(".json"))
      .map((entry) => entry.name.slice(0, -".json".length))
      .sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
