/**
 * Advisory locks (`flock`). The kernel frees a lock when its holder dies, so
 * there are no stale ones, and a lock file stays when its lock is free: two who
 * held the lock of a name on two files would hold nothing. (Those of closed
 * deaths go; lib/record.ts says why they may.)
 *
 * @module
 */

/** A lock that is held until {@linkcode Lock.release}. */
export interface Lock extends Disposable {
  /** Lets go. Calling it again does nothing. */
  release(): void;
  /** Replaces the text that the lock file carries, for others to read. */
  note(text: string): void;
}

/**
 * Takes a lock if nobody holds it.
 *
 * @param path The lock file; created with mode 0600.
 * @param exclusive `false` shares it with other sharers.
 * @returns The lock, or `undefined` if somebody else holds it.
 * @throws {Error} If the file cannot be opened (no permission, no directory, disk full).
 */
export function tryLock(path: string, exclusive = true): Lock | undefined {
  const file = openLockFile(path);
  let held = false;
  try {
    held = file.tryLockSync(exclusive);
  } finally {
    if (!held) file.close();
  }
  if (!held) return undefined;
  let open = true;
  const release = () => {
    if (!open) return;
    open = false;
    // Closing alone would not do while a child between fork and exec still
    // holds a copy of the descriptor; unlocking frees it for everyone.
    file.unlockSync();
    file.close();
  };
  return {
    release,
    [Symbol.dispose]: release,
    note(text) {
      file.truncateSync(0);
      file.seekSync(0, Deno.SeekMode.Start);
      file.writeSync(new TextEncoder().encode(text));
    },
  };
}

function openLockFile(path: string): Deno.FsFile {
  const options = { read: true, write: true, mode: 0o600 };
  try {
    return Deno.openSync(path, options);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const file = Deno.openSync(path, { ...options, create: true });
  try {
    // The umask may have taken the owner's own rights, and with them everyone's next look.
    Deno.chmodSync(path, 0o600);
  } catch {
    // Whoever had it before has just removed it; the lock on it counts all the same.
  }
  return file;
}

/**
 * Takes a lock, waiting for whoever holds it.
 *
 * It asks again and again in place of a blocking `flock`, which cannot be
 * given up: a stopped holder must never hold up the one who waits.
 *
 * @param path The lock file.
 * @param timeoutMs How long to wait, in milliseconds.
 * @returns The lock, or `undefined` when the time was up.
 * @throws {Error} If the file cannot be opened.
 */
export async function waitLock(path: string, timeoutMs: number): Promise<Lock | undefined> {
  const deadline = performance.now() + timeoutMs;
  for (let pause = 1;; pause = Math.min(pause * 2, 50)) {
    const lock = tryLock(path);
    if (lock !== undefined) return lock;
    if (performance.now() >= deadline) return undefined;
    await new Promise((wake) => setTimeout(wake, pause));
  }
}

/**
 * Tells whether somebody holds a lock.
 *
 * @param path The lock file.
 * @returns `true` if it is held.
 * @throws {Error} If the file is there and cannot be opened.
 */
export function isLocked(path: string): boolean {
  try {
    Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
  const lock = tryLock(path, false);
  lock?.release();
  return lock === undefined;
}
