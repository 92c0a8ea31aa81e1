/**
 * Append-only logs that several processes write at once and that rotate.
 *
 * Every line is one `write` to a file opened with `O_APPEND`, so lines never
 * mix. Writers share a lock while they write; whoever rotates holds it alone,
 * so nobody can be about to write to a file that has just been removed.
 *
 * @module
 */

import { basename, dirname } from "./path.ts";
import { DEFAULTS, type Paths } from "./config.ts";
import { tryLock } from "./locks.ts";
import { isThere, removeIfThere, syncDir, writeAll } from "./store.ts";

/** How {@linkcode appendLine} writes. */
export interface AppendOptions {
  /** Return only when the line is on disk. */
  readonly sync?: boolean;
  /** Size in bytes from which the file is rotated; 5 MiB unless told. */
  readonly maxBytes?: number;
  /** How many rotated files are kept (`.1` is the youngest); 5 unless told. */
  readonly keep?: number;
}

/** A writer that finds the lock taken asks this often, a millisecond apart, and then writes all the same. */
const LOCK_TRIES = 200;

/** A writer that has filled the log tries to get the lock for itself so often, a millisecond apart. */
const ROTATE_TRIES = 50;

/**
 * Logs whose lock was waited for in vain, each with the size from which it is
 * waited for again: a process that was stopped while it wrote shall not cost
 * every line of the others that time.
 */
const patience = new Map<string, number>();

/**
 * Appends one line.
 *
 * @param paths The root, for its locks.
 * @param path The log file; created with mode 0600.
 * @param line The line without its newline.
 * @param options See {@linkcode AppendOptions}.
 * @throws {Error} If the storage refuses. Nothing is then written, or a part
 * of the line, which the next line does not continue.
 */
export function appendLine(
  paths: Paths,
  path: string,
  line: string,
  options: AppendOptions = {},
): void {
  const { sync = false, maxBytes = DEFAULTS.logBytes, keep = DEFAULTS.logsKept } = options;
  const lockPath = paths.lock(`${basename(path)}.log`);
  const size = writeLocked(lockPath, path, line, sync);
  if (size >= maxBytes) rotate(lockPath, path, maxBytes, keep);
}

/**
 * Makes sure that a log is there, mode 0600, and its name on disk.
 *
 * @param path The log file.
 * @throws {Error} If the storage refuses.
 */
export function prepareLog(path: string): void {
  if (isThere(path)) return;
  Deno.openSync(path, { append: true, create: true, mode: 0o600 }).close();
  Deno.chmodSync(path, 0o600);
  syncDir(dirname(path));
}

function shareLock(lockPath: string): Disposable | undefined {
  for (let n = 0; n < LOCK_TRIES; n++) {
    const lock = tryLock(lockPath, false);
    if (lock !== undefined) return lock;
    pause();
  }
  return undefined;
}

/**
 * Writes the line and tells the size of the file after it.
 *
 * A log that ends in the middle of a line was cut there, by a power loss or a
 * full disk, or another writer is in the middle of its own: a file grows page by
 * page. Nobody else writes while this one has the lock alone, so then it is
 * known. Who does not get the lock has waited for one that has been stopped or
 * hangs on its disk: it shall not hold up a record.
 */
function writeLocked(lockPath: string, path: string, line: string, sync: boolean): number {
  for (let n = 0; n < LOCK_TRIES; n++) {
    {
      using shared = tryLock(lockPath, false);
      const size = shared && writeLine(path, line, sync, false);
      if (size !== undefined) return size;
    }
    {
      using alone = tryLock(lockPath);
      const size = alone && writeLine(path, line, sync, true);
      if (size !== undefined) return size;
    }
    pause();
  }
  return writeLine(path, line, sync, true)!;
}

/**
 * Writes the line.
 *
 * @param evenCut After a line that was cut, too: on a line of its own. A leading
 * newline keeps the record one write.
 * @returns The size of the file, or `undefined` if nothing was written.
 */
function writeLine(
  path: string,
  line: string,
  sync: boolean,
  evenCut: boolean,
): number | undefined {
  let created = false;
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true, append: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    file = Deno.openSync(path, { read: true, append: true, create: true, mode: 0o600 });
    created = true;
  }
  try {
    if (created) Deno.chmodSync(path, 0o600);
    const size = file.statSync().size;
    const cut = endsInLine(file, size);
    if (cut && !evenCut) return undefined;
    const bytes = new TextEncoder().encode(`${cut ? "\n" : ""}${line}\n`);
    writeAll(file, bytes);
    if (sync) {
      file.syncSync();
      if (created) syncDir(dirname(path));
    }
    return size + bytes.length;
  } finally {
    file.close();
  }
}

/** A millisecond, without giving way to anything else in this process. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}

/** Tells whether the file ends in the middle of a line. */
function endsInLine(file: Deno.FsFile, size: number): boolean {
  if (size === 0) return false;
  const last = new Uint8Array(1);
  file.seekSync(size - 1, Deno.SeekMode.Start);
  return file.readSync(last) === 1 && last[0] !== 0x0a;
}

/**
 * Moves the log one number on, unless somebody does so first.
 *
 * Whoever has written the line that fills the log waits here and writes no
 * other, so that of any number of writers, however busy, each soon waits, and
 * the lock falls free. It is waited for in vain only while somebody who shares
 * it has been stopped, or reads: the line is written already, and the log may
 * then grow.
 */
function rotate(lockPath: string, path: string, maxBytes: number, keep: number): void {
  try {
    for (let n = 0;; n++) {
      const { size } = Deno.statSync(path);
      if (size < maxBytes) break;
      using lock = tryLock(lockPath);
      if (lock !== undefined) {
        // Somebody may have rotated it between the look and the lock.
        if (Deno.statSync(path).size >= maxBytes) {
          moveOn(path, keep);
          syncDir(dirname(path));
        }
        break;
      }
      if (n === 0 && size < (patience.get(path) ?? 0)) return;
      if (n >= ROTATE_TRIES) {
        patience.set(path, size + maxBytes / 8);
        return;
      }
      pause();
    }
    patience.delete(path);
  } catch {
    // The line is written; the next one tries to rotate again.
  }
}

/**
 * Moves a log and its rotated files one number on; the oldest goes.
 *
 * @param path The log; afterwards it is `.1`.
 * @param keep How many rotated files are kept.
 * @throws {Error} If the storage refuses; what was moved stays moved.
 */
export function moveOn(path: string, keep: number): void {
  removeIfThere(`${path}.${keep}`);
  for (let n = keep - 1; n >= 0; n--) {
    try {
      Deno.renameSync(n === 0 ? path : `${path}.${n}`, `${path}.${n + 1}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/**
 * All lines of a log and of its rotated files, oldest first. No rotation
 * happens meanwhile, so that no line is passed over on its way from one file
 * to the next.
 *
 * @param paths The root, for its locks.
 * @param path The log file.
 * @param holding Only the lines that hold this; all unless told.
 * @returns Its lines; a cut last line is among them as it is.
 * @throws {Error} If a file is there and cannot be read.
 */
export function readLines(paths: Paths, path: string, holding = ""): string[] {
  using _lock = shareLock(paths.lock(`${basename(path)}.log`));
  const lines: string[] = [];
  for (let n: number = DEFAULTS.logsKept; n >= 0; n--) {
    try {
      const text = Deno.readTextFileSync(n === 0 ? path : `${path}.${n}`);
      // Logs are long, and what is looked for is mostly not there.
      if (!text.includes(holding)) continue;
      for (const line of text.split("\n")) {
        if (line !== "" && line.includes(holding)) lines.push(line);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return lines;
}
