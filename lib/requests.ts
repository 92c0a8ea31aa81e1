/**
 * Requests to the supervisor, as they lie in `state/requests/`.
 *
 * A request is `<id>.json`. The supervisor takes it by renaming it to
 * `<id>.taken`, carries it out, writes `<id>.answer` and removes it. It stands
 * for as long as one of the first two is there: whoever asked withdraws it by
 * removing it. A file can be either renamed or removed, so exactly one of the
 * two comes first.
 *
 * Whoever asked holds a lock on the file, whatever its name, for as long as it
 * waits: a request whose lock is free has nobody who waits for an answer.
 *
 * @module
 */

import { join } from "./path.ts";
import type { Context } from "./context.ts";
import { IapeerError, isStorageTrouble } from "./errors.ts";
import { faultPoint } from "./fault.ts";
import { isLocked, type Lock, tryLock } from "./locks.ts";
import type { Spec } from "./sessions.ts";
import { encodeJson, isThere, removeIfThere, writeFileAtomic } from "./store.ts";

/** Version of what the two sides say to one another. */
export const PROTOCOL = 1;

/** What a supervisor can be asked for. */
export type Request =
  | {
    readonly kind: "launch";
    /** Which session. */
    readonly identity: string;
    /** What to run. */
    readonly spec: Spec;
    /** Tear down a session of that identity first. */
    readonly replace: boolean;
  }
  | {
    readonly kind: "tick";
    /** Log the sessions that are simply alive, too. */
    readonly verbose: boolean;
  };

/** What became of a request. */
export type Answer =
  | { readonly done: unknown }
  | { readonly error: Error };

/** Where a request lies in its life. */
export type Stage = "waits" | "taken" | "gone";

function pathOf(ctx: Context, id: string, suffix: "json" | "taken" | "answer"): string {
  return join(ctx.paths.requests, `${id}.${suffix}`);
}

/**
 * Writes a request. It is not synced: after a power cut nobody waits for it.
 *
 * @param ctx The root.
 * @param request What is asked for.
 * @returns Its id, and the lock that is held while an answer is waited for.
 * @throws {Error} If the storage refuses.
 */
export function writeRequest(ctx: Context, request: Request): { id: string; waiting: Lock } {
  const id = crypto.randomUUID();
  const temporary = join(ctx.paths.requests, `.${id}.json.tmp`);
  try {
    const text = encodeJson({ protocol: PROTOCOL, ...request });
    Deno.writeTextFileSync(temporary, text, { createNew: true, mode: 0o600 });
    Deno.chmodSync(temporary, 0o600);
    const waiting = tryLock(temporary)!;
    faultPoint("request:temporary-written");
    Deno.renameSync(temporary, pathOf(ctx, id, "json"));
    return { id, waiting };
  } catch (error) {
    removeIfThere(temporary);
    throw error;
  }
}

/** The ids of the requests that nobody has taken. */
export function listRequests(ctx: Context): string[] {
  return namesOf(ctx, ".json");
}

/** The ids of the requests that somebody has taken and not answered. */
export function listTaken(ctx: Context): string[] {
  return namesOf(ctx, ".taken");
}

function namesOf(ctx: Context, suffix: string): string[] {
  return [...Deno.readDirSync(ctx.paths.requests)].map(({ name }) => name)
    .filter((name) => !name.startsWith(".") && name.endsWith(suffix))
    .map((name) => name.slice(0, -suffix.length));
}

/** Where a request is; asked in the order in which it goes through its stages. */
export function stageOf(ctx: Context, id: string): Stage {
  if (isThere(pathOf(ctx, id, "json"))) return "waits";
  return isThere(pathOf(ctx, id, "taken")) ? "taken" : "gone";
}

/**
 * Takes a request.
 *
 * @returns `false` if it was withdrawn.
 * @throws {Error} If the storage refuses.
 */
export function takeRequest(ctx: Context, id: string): boolean {
  try {
    Deno.renameSync(pathOf(ctx, id, "json"), pathOf(ctx, id, "taken"));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Withdraws a request that nobody has taken.
 *
 * @returns `false` if somebody has.
 * @throws {Error} If the storage refuses: it is not known then which it is.
 */
export function withdrawRequest(ctx: Context, id: string): boolean {
  try {
    Deno.removeSync(pathOf(ctx, id, "json"));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Withdraws a request that was taken: what is not begun under its lock is not done. */
export function dismissRequest(ctx: Context, id: string): void {
  removeIfThere(pathOf(ctx, id, "taken"));
}

/** Removes what is left of a request. */
export function removeRequest(ctx: Context, id: string): void {
  for (const suffix of ["json", "taken", "answer"] as const) removeIfThere(pathOf(ctx, id, suffix));
}

/** Whether somebody waits for the answer of a request that was taken. */
export function isWaitedFor(ctx: Context, id: string): boolean {
  return isLocked(pathOf(ctx, id, "taken"));
}

/**
 * Reads a request that was taken.
 *
 * @throws {IapeerError} If it is not one, or one of another protocol.
 */
export function readRequest(ctx: Context, id: string): Request {
  const path = pathOf(ctx, id, "taken");
  const { isFile, uid } = Deno.lstatSync(path);
  if (!isFile || uid !== Deno.uid()) {
    throw new IapeerError("Cannot carry out the request: it is not a file of this user");
  }
  let value: Partial<Request> & { readonly protocol?: unknown };
  try {
    value = JSON.parse(Deno.readTextFileSync(path));
    if (typeof value?.protocol !== "number") throw new TypeError("it names no protocol");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new IapeerError(
      `Cannot carry out the request: it is not understood (${why}); use --direct`,
    );
  }
  const known = value.protocol === PROTOCOL && (isLaunch(value) || value.kind === "tick");
  if (!known) {
    throw new IapeerError(
      `Cannot carry out the request: the supervisor speaks protocol ${PROTOCOL} and does not know "${value.kind}" of protocol ${value.protocol}; use --direct, or update iapeer and restart the supervisor`,
    );
  }
  return value as Request;
}

function isLaunch(value: Partial<Request>): boolean {
  return value.kind === "launch" && typeof value.identity === "string" &&
    typeof value.replace === "boolean" && Array.isArray(value.spec?.argv);
}

/**
 * Writes the answer to a request and lets it go; an answer for which nobody
 * waits is not written.
 *
 * @throws {Error} If the storage refuses.
 */
export function answerRequest(ctx: Context, id: string, answer: Answer): void {
  if (stageOf(ctx, id) !== "taken" || !isWaitedFor(ctx, id)) return removeRequest(ctx, id);
  const said = "done" in answer ? answer : { error: toJson(answer.error) };
  const text = encodeJson({ protocol: PROTOCOL, ...said });
  writeFileAtomic(pathOf(ctx, id, "answer"), text, { sync: false });
  faultPoint("request:answered");
  dismissRequest(ctx, id);
}

/**
 * Reads the answer to a request.
 *
 * @returns `undefined` if there is none, or none that is understood.
 */
export function readAnswer(ctx: Context, id: string): Answer | undefined {
  try {
    const value = JSON.parse(Deno.readTextFileSync(pathOf(ctx, id, "answer")));
    if (value.protocol !== PROTOCOL) return undefined;
    return value.error === undefined ? { done: value.done } : { error: fromJson(value.error) };
  } catch {
    return undefined;
  }
}

/** An error as it travels. */
interface ErrorJson {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
  /** Of an error that the user can mend. */
  readonly exitCode?: number;
  /** What the storage said, such as `ENOSPC`. */
  readonly code?: string;
}

function toJson(error: Error): ErrorJson {
  const { name, message, stack } = error;
  if (error instanceof IapeerError) return { name, message, exitCode: error.exitCode };
  const code = isStorageTrouble(error) ? (error as { code?: string }).code : undefined;
  return { name, message, stack, ...(code === undefined ? {} : { code }) };
}

function fromJson({ name, message, stack, exitCode, code }: ErrorJson): Error {
  if (exitCode !== undefined) return new PassedOnError(name, message, exitCode);
  const error = new Error(message);
  return Object.assign(error, { name, stack, ...(code === undefined ? {} : { code }) });
}

/** What the supervisor would have told the user, told by whoever asked it. */
class PassedOnError extends IapeerError {
  override readonly name: string;
  override readonly exitCode: number;

  constructor(name: string, message: string, exitCode: number) {
    super(message);
    this.name = name;
    this.exitCode = exitCode;
  }
}
