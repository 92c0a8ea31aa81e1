/**
 * The installed binary: put in its place in one rename, so that whoever runs
 * the old one goes on running it.
 *
 * @module
 */

import { dirname, join } from "./path.ts";
import { IapeerError } from "./errors.ts";
import type { Host } from "./host.ts";
import { failureOf } from "./process.ts";
import { shellWord, type Steps } from "./steps.ts";
import { removeIfThere, syncDir, writeAll } from "./store.ts";

const NAME = "iapeer";
/** Copies that an installation has left which was killed. */
const TEMPORARY = /^\.iapeer\.[0-9a-f-]{36}\.tmp$/;
/** What is so old has no writer any more, in milliseconds. */
const OLD_MS = 600_000;
const CHUNK = 1024 * 1024;
/** How long a copy may take to tell its version, in milliseconds: the first start unpacks it. */
const VERSION_MS = 60_000;

/**
 * Where the binary lies under a prefix.
 *
 * @param prefix Absolute path, such as `/home/bob/.local`.
 * @returns `<prefix>/bin/iapeer`.
 */
export function binaryPath(prefix: string): string {
  return join(prefix, "bin", NAME);
}

/** What {@linkcode placeBinary} needs. */
export interface PlaceOptions {
  /** The binary to copy. */
  readonly from: string;
  /** Where it shall be. */
  readonly to: string;
  /** What it says to `--version`. */
  readonly version: string;
}

/**
 * Copies the binary under a temporary name, syncs it, lets it tell its version,
 * and puts it in its place in one rename.
 *
 * @param host This machine.
 * @param steps Carries it out.
 * @param options See {@linkcode PlaceOptions}.
 * @returns `false` if the same bytes were there already.
 * @throws {IapeerError} If it cannot be copied, or the copy does not run; what
 * was there before is then untouched.
 */
export async function placeBinary(
  host: Host,
  steps: Steps,
  { from, to, version }: PlaceOptions,
): Promise<boolean> {
  try {
    if (sameBytes(from, to)) return false;
    await steps.step(
      `copy ${shellWord(from)} to ${
        shellWord(to)
      }, mode 0755, in one rename, after the copy has told its version ${version}`,
      () => copy(host, from, to, version),
    );
  } catch (error) {
    if (error instanceof IapeerError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new IapeerError(
      `Cannot install "${to}": ${why}; make its directory writable or choose another --prefix`,
    );
  }
  return true;
}

async function copy(host: Host, from: string, to: string, version: string): Promise<void> {
  const dir = dirname(to);
  Deno.mkdirSync(dir, { recursive: true });
  removeTemporary(dir, host.now() - OLD_MS);
  const temporary = join(dir, `.${NAME}.${crypto.randomUUID()}.tmp`);
  try {
    copySynced(from, temporary);
    // By way of `nice`: this program may run itself and tools by name only.
    const result = await host.tools.run("nice", ["-n", "0", temporary, "--version"], {
      timeoutMs: VERSION_MS,
    });
    const why = failureOf(NAME, result) ??
      (result.stdout.trim() === version
        ? undefined
        : `it says "${result.stdout.trim()}", not "${version}"`);
    if (why !== undefined) {
      throw new IapeerError(
        `Cannot install "${to}": the copy does not run there: ${why}; choose a --prefix from which programs can be run`,
      );
    }
    Deno.renameSync(temporary, to);
  } finally {
    removeIfThere(temporary);
  }
  syncDir(dir);
}

/** Writes a copy, and closes it: a file that is open for writing cannot be run. */
function copySynced(from: string, to: string): void {
  using source = Deno.openSync(from, { read: true });
  using target = Deno.openSync(to, { write: true, createNew: true, mode: 0o700 });
  const buffer = new Uint8Array(CHUNK);
  for (let n = source.readSync(buffer); n !== null; n = source.readSync(buffer)) {
    writeAll(target, buffer.subarray(0, n));
  }
  Deno.chmodSync(to, 0o755);
  target.syncSync();
}

/** A symlink in the place of the binary is not the binary: it is replaced. */
function sameBytes(a: string, b: string): boolean {
  try {
    const info = Deno.lstatSync(b);
    if (!info.isFile || info.size !== Deno.statSync(a).size) return false;
    if (info.mode !== null && (info.mode & 0o755) !== 0o755) return false;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
  using one = Deno.openSync(a, { read: true });
  using two = Deno.openSync(b, { read: true });
  while (true) {
    const [left, right] = [readChunk(one), readChunk(two)];
    if (left.length !== right.length || left.some((byte, n) => byte !== right[n])) return false;
    if (left.length === 0) return true;
  }
}

function readChunk(file: Deno.FsFile): Uint8Array {
  const buffer = new Uint8Array(CHUNK);
  let size = 0;
  while (size < CHUNK) {
    const n = file.readSync(buffer.subarray(size));
    if (n === null) break;
    size += n;
  }
  return buffer.subarray(0, size);
}

/**
 * Removes what killed installations have left in a directory.
 *
 * @param dir The directory; one that is not there has nothing.
 * @param before Only what was written before, in epoch milliseconds.
 */
export function removeTemporary(dir: string, before = Infinity): void {
  for (const { name } of entriesOf(dir)) {
    if (!TEMPORARY.test(name)) continue;
    const path = join(dir, name);
    if ((Deno.lstatSync(path).mtime?.getTime() ?? 0) < before) removeIfThere(path);
  }
}

/**
 * The entries of a directory.
 *
 * @param dir The directory.
 * @returns Nothing if it is not there.
 * @throws {Error} If it cannot be read.
 */
export function entriesOf(dir: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(dir)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
