/**
 * Uninstalling: nothing stays but the logs, and no session is left without its
 * supervisor by accident.
 *
 * @module
 */

import { dirname, join } from "./path.ts";
import { binaryPath, entriesOf, removeTemporary } from "./binary.ts";
import { openRoot } from "./config.ts";
import { type Context, note } from "./context.ts";
import { listDeaths } from "./deaths.ts";
import { IapeerError } from "./errors.ts";
import { incarnationOf, livenessOf, sendSignal } from "./host.ts";
import { checkedPrefix, checkSupervisor } from "./install.ts";
import { isLocked, type Lock, tryLock } from "./locks.ts";
import { finishOpenDeaths } from "./record.ts";
import { type Service, serviceOf, type ServiceState } from "./service.ts";
import { listSessions, lockSession, readSession } from "./sessions.ts";
import { shellWord, type Steps } from "./steps.ts";
import { NotRunningError, stop } from "./stop.ts";
import { isSupervised, supervisorLock } from "./supervisor.ts";
import { settle } from "./teardown.ts";
import { canaryLock, watcherOf } from "./watcher.ts";
import { isThere } from "./store.ts";

/** How long a supervisor or a canary may take to leave, in milliseconds. */
const LEAVE_MS = 30_000;
/** How long another operation on a session is waited for, in milliseconds. */
const BUSY_MS = 20_000;

/** What the head of a bundle names in its cache: by content, and what it has in hand. */
const UNPACKED = /^(?:[0-9a-f]{64}(?:\.v8|\.lock)?|new\.\w{6}|refused\.\d+)$/;

/** What {@linkcode uninstall} needs. */
export interface UninstallOptions {
  /** Absolute path; the binary lies in `bin` in it. */
  readonly prefix: string;
  /** Where the bundle keeps its runtime; absent if it is none. */
  readonly cache: string | undefined;
  /** Stop the sessions that live. */
  readonly stopAll: boolean;
  /** Carries it out, or only tells it. */
  readonly steps: Steps;
}

/**
 * Uninstalls the service of a root, its state and the binary. Doing it again
 * does nothing.
 *
 * @param ctx The root.
 * @param options See {@linkcode UninstallOptions}.
 * @returns What the user should know, a line each.
 * @throws {IapeerError} If sessions live and are not to be stopped, or
 * something refuses.
 */
export async function uninstall(ctx: Context, options: UninstallOptions): Promise<string[]> {
  const { steps, stopAll } = options;
  const program = binaryPath(checkedPrefix(options.prefix));
  const service = await serviceOf(ctx);
  const state = await service?.state();
  if (service !== undefined && state !== undefined) checkService(service, state, program);
  const rooted = isThere(ctx.paths.root);
  // Whether it is ours is asked before anything in it is removed.
  if (rooted && !steps.dry) openRoot(ctx.paths, Deno.uid());
  if (rooted) checkSupervisor(ctx, state, "uninstall");
  const living = await livingSessions(ctx);
  if (living.length > 0 && !stopAll) throw orphans(ctx, living);
  if (living.length > 0) checkOutside(ctx);
  for (const session of living) await end(ctx, steps, session);
  if (service !== undefined && (state?.installed || state?.loaded)) {
    await removeService(ctx, service, steps);
  }
  if (rooted) await removeState(ctx, steps);
  const kept = service === undefined ? undefined : userOf(service, program);
  if (kept === undefined) await removeBinary(steps, program, options.cache);
  return kept === undefined ? [] : [`${program} is kept: the service ${kept} uses it`];
}

/** Refuses where the service is not one that this call could take away whole. */
function checkService(service: Service, state: ServiceState, program: string): void {
  if (state.installed && state.program !== undefined && state.program !== program) {
    throw new IapeerError(
      `Cannot uninstall "${program}": the service ${service.name} runs "${state.program}"; give the --prefix of that one`,
    );
  }
  if (state.installed && state.loaded === undefined) {
    throw new IapeerError(
      `Cannot uninstall the service ${service.name}: ${state.trouble}; log in as this user itself (with su or sudo there is no user manager)`,
    );
  }
}

/** A session that lives, or may. */
interface Living {
  readonly identity: string;
  readonly external: boolean;
}

async function livingSessions(ctx: Context): Promise<Living[]> {
  const living: Living[] = [];
  for (const identity of listSessions(ctx)) {
    const record = readSession(ctx, identity);
    if (record === undefined) continue;
    const lives = record.state === "starting" ||
      (record.server !== undefined && await livenessOf(ctx.host, record.server) !== "gone");
    if (lives) living.push({ identity, external: record.external });
  }
  return living;
}

function orphans(ctx: Context, living: readonly Living[]): IapeerError {
  const names = living.map(({ identity, external }) =>
    external ? `${identity} (adopted: it would run on, unwatched)` : identity
  );
  return new IapeerError(
    `Cannot uninstall: sessions of "${ctx.paths.root}" live: ${
      names.join(", ")
    }; stop them first, or give --stop-all`,
  );
}

/** A session cannot end itself and then go on. */
function checkOutside(ctx: Context): void {
  const sock = Deno.env.get("TMUX")?.split(",")[0];
  if (!sock?.startsWith(`${ctx.paths.run}/`)) return;
  throw new IapeerError(
    `Cannot uninstall from inside a session of "${ctx.paths.root}": stopping it would end this very command; run it from another terminal`,
  );
}

async function end(ctx: Context, steps: Steps, { identity, external }: Living): Promise<void> {
  if (external) {
    await steps.step(`let go of ${identity}: its server runs on, unwatched`, async () => {
      await letGo(ctx, identity);
    });
    return;
  }
  await steps.step(`stop ${identity}`, async () => {
    try {
      await stop(ctx, identity);
    } catch (error) {
      // It has ended by itself meanwhile.
      if (!(error instanceof NotRunningError)) throw error;
    }
  });
}

/** A canary that is told to leave records nothing. */
async function letGo(ctx: Context, identity: string): Promise<void> {
  const canary = watcherOf(ctx, identity);
  if (canary === undefined || canary === "starting") return;
  const incarnation = await incarnationOf(ctx.host, canary.pid);
  if (incarnation !== undefined) await sendSignal(ctx.host, incarnation, "TERM");
}

async function removeService(ctx: Context, service: Service, steps: Steps): Promise<void> {
  await service.unload(steps);
  await steps.until("the supervisor is gone", LEAVE_MS, () => !isSupervised(ctx));
  await steps.remove(service.file);
  await service.forget(steps);
  await removeEmpty(steps, dirname(service.file));
}

/** Removes what the root holds but its logs, once nothing of it is at work. */
async function removeState(ctx: Context, steps: Steps): Promise<void> {
  const { paths } = ctx;
  using _lock = steps.dry ? undefined : await holdRoot(ctx, steps);
  if (!steps.dry) note(ctx, "uninstalled");
  await steps.remove(paths.run);
  await steps.remove(dirname(paths.sessions));
}

/** Keeps supervisors out, and waits until whatever is still being recorded is. */
async function holdRoot(ctx: Context, steps: Steps): Promise<Lock> {
  const lock = tryLock(supervisorLock(ctx));
  if (lock === undefined) {
    throw new IapeerError(
      `Cannot remove the state of "${ctx.paths.root}": a supervisor is at work on it; end it and try again`,
    );
  }
  try {
    for (const identity of listSessions(ctx)) await settleGone(ctx, identity);
    const living = await livingSessions(ctx);
    const own = living.filter(({ external }) => !external);
    if (own.length > 0) throw orphans(ctx, own);
    for (const { identity } of living) await letGo(ctx, identity);
    const quiet = await steps.until("everything is recorded", LEAVE_MS, async () => {
      await Promise.all(finishOpenDeaths(ctx, { thorough: true }).map((one) => one.closed));
      return listDeaths(ctx).every(({ step }) => step === "closed") &&
        listSessions(ctx).every((identity) => !isLocked(canaryLock(ctx, identity)));
    });
    if (quiet) return lock;
    throw new IapeerError(
      `Cannot remove the state of "${ctx.paths.root}": a canary of it is still at work after ${
        LEAVE_MS / 1000
      } s; try again`,
    );
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** A death that nobody has seen is recorded before its session is forgotten. */
async function settleGone(ctx: Context, identity: string): Promise<void> {
  using lock = await lockSession(ctx, identity, BUSY_MS);
  if (lock === undefined) {
    throw new IapeerError(
      `Cannot uninstall: another operation on "${identity}" has been under way for too long; try again`,
    );
  }
  const record = readSession(ctx, identity);
  if (record?.server === undefined) return;
  if (await livenessOf(ctx.host, record.server) === "gone") await settle(ctx, record);
}

/** The service of another root that starts the same binary. */
function userOf(service: Service, program: string): string | undefined {
  const dir = dirname(service.file);
  return entriesOf(dir).map(({ name }) => name)
    .filter((name) => service.isOurs(name) && join(dir, name) !== service.file)
    .find((name) => service.starts(Deno.readTextFileSync(join(dir, name)), program));
}

async function removeBinary(
  steps: Steps,
  program: string,
  cache: string | undefined,
): Promise<void> {
  const dir = dirname(program);
  if (isThere(program)) await steps.remove(program);
  if (!steps.dry) removeTemporary(dir);
  await removeEmpty(steps, dir);
  if (cache === undefined) return;
  // The user may have named any folder: only what a head has put there goes.
  for (const { name } of entriesOf(cache)) {
    if (UNPACKED.test(name)) await steps.remove(join(cache, name));
  }
  await removeEmpty(steps, cache);
}

/** Directories are made on the way in: an empty one goes on the way out. */
async function removeEmpty(steps: Steps, dir: string): Promise<void> {
  if (!isThere(dir)) return;
  await steps.step(`remove ${shellWord(dir)} if it is empty`, () => {
    if (entriesOf(dir).length === 0) Deno.removeSync(dir);
  });
}
