/**
 * Identities, the root and where everything lies in it, and the defaults.
 *
 * @module
 */

import { dirname, isAbsolute, join, resolve } from "./path.ts";
import { IapeerError, UsageError } from "./errors.ts";

/** Version of the state and record formats that this program writes. */
export const FORMAT_VERSION = 1;

/** Defaults of policies and limits; each name carries its unit. */
export const DEFAULTS = {
  tickSecs: 60,
  idleSecs: 3600,
  crashLoopDeaths: 3,
  crashLoopSecs: 300,
  claimMs: 30_000,
  size: "220x50",
  logBytes: 5 * 1024 * 1024,
  logsKept: 5,
} as const;

/**
 * Longest socket path in bytes: `sun_path` holds 104 on macOS (108 on Linux)
 * with the closing NUL.
 */
export const MAX_SOCK_BYTES = 103;

const IDENTITY = /^[a-z0-9]+(?:-[a-z0-9]+)+$/;

/**
 * Checks the name of a session.
 *
 * @param text What the user gave.
 * @returns The same text.
 * @throws {UsageError} If it is not two or more words of `[a-z0-9]` joined by
 * `-`, or longer than 64 characters.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseIdentity } from "./config.ts";
 *
 * assert.equal(parseIdentity("claude-bob"), "claude-bob");
 * assert.throws(() => parseIdentity("Bob"));
 * ```
 */
export function parseIdentity(text: string): string {
  if (text.length > 64) {
    throw new UsageError(
      `Cannot use the identity "${
        text.slice(0, 64)
      }…": it has ${text.length} characters, at most 64 are allowed`,
    );
  }
  if (!IDENTITY.test(text)) {
    throw new UsageError(
      `Cannot use the identity "${text}": it must be <runtime>-<personality>, lower-case letters and digits in two or more words joined by "-", for example claude-bob`,
    );
  }
  return text;
}

/** Where each file of a root lies; see README for what each holds. */
export interface Paths {
  /** The root itself. */
  readonly root: string;
  /** Folder of the sockets. */
  readonly run: string;
  /** Folder of the session records. */
  readonly sessions: string;
  /** Folder of the claims. */
  readonly claims: string;
  /** Folder of the death journal. */
  readonly deaths: string;
  /** Folder of the lock files. */
  readonly locks: string;
  /** Folder of the requests to the supervisor. */
  readonly requests: string;
  /** Folder of this program's logs. */
  readonly logs: string;
  /** Folder of the snapshots. */
  readonly serverDeaths: string;
  /** Folder of the sessions' output. */
  readonly paneLogs: string;
  /** Log of every decision. */
  readonly lifecycleLog: string;
  /** Log of the death records. */
  readonly exitsLog: string;
  /** Socket of a session's server. */
  sock(identity: string): string;
  /** Record of a session. */
  session(identity: string): string;
  /** Claim of a session. */
  claim(identity: string): string;
  /** Journal entry of a death. */
  death(id: string): string;
  /** A lock file. */
  lock(name: string): string;
  /** Output of a session. */
  paneLog(identity: string): string;
}

/**
 * The file of death records in a log directory.
 *
 * @param dir The log directory, `logs/iapeer` of a root.
 * @returns `dir + "/exits.log"`.
 */
export function exitLogPath(dir: string): string {
  return `${dir}/exits.log`;
}

/**
 * The folder of forensics snapshots in a log directory.
 *
 * @param dir The log directory, `logs/iapeer` of a root.
 * @returns `dir + "/server-deaths"`.
 */
export function serverDeathsDir(dir: string): string {
  return `${dir}/server-deaths`;
}

/**
 * Lays out a root. Touches nothing.
 *
 * @param root Absolute path.
 * @returns The places in it.
 */
export function pathsOf(root: string): Paths {
  const state = join(root, "state");
  const logs = join(root, "logs", "iapeer");
  return {
    root,
    run: join(root, "run"),
    sessions: join(state, "sessions"),
    claims: join(state, "claims"),
    deaths: join(state, "deaths"),
    locks: join(state, "locks"),
    requests: join(state, "requests"),
    logs,
    serverDeaths: serverDeathsDir(logs),
    paneLogs: join(root, "logs", "lifecycle"),
    lifecycleLog: join(logs, "lifecycle.log"),
    exitsLog: exitLogPath(logs),
    sock: (identity) => join(root, "run", `${identity}.sock`),
    session: (identity) => join(state, "sessions", `${identity}.json`),
    claim: (identity) => join(state, "claims", `${identity}.json`),
    death: (id) => join(state, "deaths", `${id}.json`),
    lock: (name) => join(state, "locks", name),
    paneLog: (identity) => join(root, "logs", "lifecycle", `${identity}.log`),
  };
}

/**
 * Chooses the root: the flag, else `IAPEER_ROOT`, else `~/.iapeer`.
 *
 * @param flag Value of `--root`, if given.
 * @param env Looks up an environment variable.
 * @param cwd Directory against which a relative root is read.
 * @returns An absolute path without a trailing slash.
 * @throws {UsageError} If none of the three is there, or the path cannot be used.
 */
export function chooseRoot(
  flag: string | undefined,
  env: (name: string) => string | undefined,
  cwd: () => string,
): string {
  const given = flag ?? (env("IAPEER_ROOT") || undefined);
  if (given === "") {
    throw new UsageError("Cannot use an empty --root: give a directory");
  }
  if (given !== undefined) {
    return resolve(isAbsolute(given) ? "/" : cwd(), given);
  }
  const home = env("HOME");
  if (!home) {
    throw new UsageError(
      "Cannot find a root: neither --root, IAPEER_ROOT nor HOME is set; give --root DIR",
    );
  }
  return resolve(isAbsolute(home) ? "/" : cwd(), join(home, ".iapeer"));
}

/**
 * Makes sure that the root and its folders exist, are the user's own and are
 * closed to everyone else.
 *
 * @param paths The root.
 * @param uid User id of this process, or `null` where there is none.
 * @throws {IapeerError} If the root is another user's, writable by others, not
 * a directory, or cannot be made.
 */
export function openRoot(paths: Paths, uid: number | null): void {
  checkRoot(paths.root, uid);
  for (
    const dir of [
      paths.root,
      paths.run,
      paths.sessions,
      paths.claims,
      paths.deaths,
      paths.locks,
      paths.requests,
      paths.serverDeaths,
      paths.paneLogs,
    ]
  ) {
    makeDir(dir, paths.root);
  }
}

/** Creates `dir` and what is missing above it, mode 0700 whatever the umask. */
function makeDir(dir: string, root: string): void {
  try {
    if (Deno.statSync(dir).isDirectory) return;
    throw new IapeerError(
      `Cannot use the directory "${dir}": a file is in its place; move it away`,
    );
  } catch (error) {
    // A file in the place of a folder above it is named when that one's turn comes.
    const missing = error instanceof Deno.errors.NotFound ||
      (error instanceof Deno.errors.NotADirectory && dir !== root);
    if (!missing) throw asRootError(dir, error);
  }
  try {
    if (dir !== root) {
      makeDir(dirname(dir), root);
      Deno.mkdirSync(dir, { mode: 0o700 });
    } else {
      Deno.mkdirSync(dir, { mode: 0o700, recursive: true });
    }
    Deno.chmodSync(dir, 0o700);
  } catch (error) {
    // Another process may have made it between the look and the making.
    if (!(error instanceof Deno.errors.AlreadyExists)) throw asRootError(dir, error);
  }
}

function asRootError(dir: string, error: unknown): Error {
  if (error instanceof IapeerError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new IapeerError(
    `Cannot use the directory "${dir}": ${why}; choose another with --root DIR`,
  );
}

/** Refuses a root that is not the user's own. */
function checkRoot(root: string, uid: number | null): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(root);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw asRootError(root, error);
  }
  if (!info.isDirectory) {
    throw new IapeerError(
      `Cannot use the root "${root}": it is not a directory; choose another with --root DIR`,
    );
  }
  if (uid !== null && info.uid !== null && info.uid !== uid) {
    throw new IapeerError(
      `Cannot use the root "${root}": it belongs to user ${info.uid}, not to you (${uid}); choose another with --root DIR`,
    );
  }
  if (info.mode !== null && (info.mode & 0o022) !== 0) {
    const mode = (info.mode & 0o777).toString(8).padStart(4, "0");
    throw new IapeerError(
      `Cannot use the root "${root}": others can write to it (mode ${mode}); run: chmod 700 '${root}'`,
    );
  }
}

/**
 * Checks that a socket path fits into the kernel's address structure.
 *
 * @param sock Path of the socket.
 * @throws {UsageError} If it is longer than {@linkcode MAX_SOCK_BYTES} bytes.
 */
export function checkSockPath(sock: string): void {
  const bytes = new TextEncoder().encode(sock).length;
  if (bytes > MAX_SOCK_BYTES) {
    throw new UsageError(
      `Cannot use the socket path "${sock}": it has ${bytes} bytes, at most ${MAX_SOCK_BYTES} fit; choose a shorter --root or identity`,
    );
  }
}
