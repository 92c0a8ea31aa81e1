/**
 * Errors that reach the user, and the exit codes they turn into.
 *
 * @module
 */

/** Exit codes of `iapeer`, as `--help` and README list them. */
export const EXIT = {
  done: 0,
  refused: 1,
  usage: 2,
  notRunning: 3,
  unknown: 4,
  internal: 70,
} as const;

/** Something a user can mend. Its message names the remedy; only `main.ts` exits. */
export class IapeerError extends Error {
  /** Name of the class. */
  override readonly name: string = "IapeerError";
  /** The exit code this error turns into. */
  readonly exitCode: number = EXIT.refused;
}

/** The command line or a setting cannot be used as given. */
export class UsageError extends IapeerError {
  /** Name of the class. */
  override readonly name: string = "UsageError";
  /** The exit code this error turns into. */
  override readonly exitCode: number = EXIT.usage;
}

/** The question cannot be answered now, for instance because a server does not answer. */
export class UnknownStateError extends IapeerError {
  /** Name of the class. */
  override readonly name: string = "UnknownStateError";
  /** The exit code this error turns into. */
  override readonly exitCode: number = EXIT.unknown;
}

/** What the system says when it is the storage that refuses, not the program that is wrong. */
const STORAGE = ["ENOSPC", "EDQUOT", "EROFS", "EIO", "EACCES", "EPERM", "ENOTDIR", "EISDIR"];

/**
 * Tells whether the storage has refused: a full disk, one that can only be
 * read, or a permission that is gone.
 *
 * @param error What was caught.
 * @returns `true` if a user can mend it.
 */
export function isStorageTrouble(error: unknown): error is Error {
  const code = (error as { code?: unknown } | null)?.code;
  return error instanceof Error && typeof code === "string" && STORAGE.includes(code);
}
