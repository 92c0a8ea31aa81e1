/**
 * Having the supervisor carry something out, so that what is started belongs to
 * its service and not to the terminal that asked.
 *
 * Whatever becomes of the supervisor meanwhile, what was asked for is done once
 * or refused: a request that it has not taken is withdrawn, and what it may
 * have begun is finished here under the lock under which it did so.
 *
 * @module
 */

import { openRoot } from "./config.ts";
import { type Context, messageOf, note, warnOnce } from "./context.ts";
import { UnknownStateError } from "./errors.ts";
import { faultPoint } from "./fault.ts";
import { type Lock, waitLock } from "./locks.ts";
import {
  type Answer,
  dismissRequest,
  readAnswer,
  removeRequest,
  type Request,
  stageOf,
  withdrawRequest,
  writeRequest,
} from "./requests.ts";
import { isSupervised, isSupervisorStopped, supervisorPid } from "./supervisor.ts";

/** How long a request may lie there before it is withdrawn, in milliseconds. */
const TAKE_MS = 2000;
/** How long the supervisor may be at it: more than a launch or a tick ever takes, in milliseconds. */
const ANSWER_MS = { launch: 60_000, tick: 600_000 } as const;
/** For so long a signal may hold up a supervisor that has taken a request, in milliseconds. */
const HELD_MS = 2000;
/** How long whoever has the lock of what was begun is waited for, in milliseconds. */
const BUSY_MS = 5000;
/** Pauses between two looks for the answer, and for the supervisor, in milliseconds. */
const LOOK_MS = { answer: 8, supervisor: 100 } as const;

/** Something that the supervisor can do. */
export interface Task<T> {
  /** What it is asked for. */
  readonly request: Request;
  /** Do it here, whether there is a supervisor or not. */
  readonly direct: boolean;
  /** Tells why it cannot be handed over, if it cannot. */
  obstacle?(): Promise<string | undefined>;
  /**
   * Does it here.
   *
   * @param id Of the request that the supervisor may have begun to carry out.
   */
  here(id?: string): Promise<T>;
}

/**
 * Has the supervisor do something, or does it here if there is none.
 *
 * @param ctx The root.
 * @param task What to do.
 * @returns What came of it, the same either way.
 * @throws {Error} What doing it throws, the same either way.
 * @throws {UnknownStateError} If the supervisor has begun it and hangs.
 */
export async function handOver<T>(ctx: Context, task: Task<T>): Promise<T> {
  const asked = task.direct ? undefined : await ask(ctx, task);
  if (asked === undefined) return await task.here();
  const { id } = asked;
  using _waiting = asked.waiting;
  faultPoint("request:written");
  try {
    const end = await untilAnswered(ctx, id, task.request.kind);
    if ("done" in end) return end.done as T;
    if ("error" in end) throw end.error;
    const { withdrawn, why } = end;
    note(ctx, "request-withdrawn", [["request", id], ["kind", task.request.kind], ["reason", why]]);
    warnOnce(`${why}; doing it without the supervisor`);
    if (withdrawn) return await task.here();
    dismissRequest(ctx, id);
    faultPoint("request:dismissed");
    await untilFree(ctx, task.request);
    return await task.here(id);
  } finally {
    removeRequest(ctx, id);
  }
}

/** Writes the request if there is a supervisor to take it. */
async function ask(
  ctx: Context,
  { request, obstacle }: Task<unknown>,
): Promise<{ id: string; waiting: Lock } | undefined> {
  try {
    if (!isSupervised(ctx)) return undefined;
    openRoot(ctx.paths, Deno.uid());
  } catch {
    // A root that cannot be used: doing it here says why.
    return undefined;
  }
  try {
    const why = await obstacle?.();
    if (why === undefined) return writeRequest(ctx, request);
    warnOnce(`${why}; doing it without the supervisor`);
    return undefined;
  } catch (error) {
    warnOnce(`cannot ask the supervisor, doing it without: ${messageOf(error)}`);
    return undefined;
  }
}

/** The request was not answered; `withdrawn` before anybody had taken it. */
interface Unanswered {
  readonly withdrawn: boolean;
  readonly why: string;
}

async function untilAnswered(
  ctx: Context,
  id: string,
  kind: Request["kind"],
): Promise<Answer | Unanswered> {
  const begun = performance.now();
  let lookedAt = begun;
  let heldSince: number | undefined;
  while (true) {
    // In this order: an answer is written before the request goes.
    const stage = stageOf(ctx, id);
    const answer = readAnswer(ctx, id);
    if (answer !== undefined) return answer;
    if (stage === "gone") return gaveUp("the supervisor has no answer");
    const now = performance.now();
    const late = now - begun >= TAKE_MS;
    if (now - lookedAt >= LOOK_MS.supervisor) {
      lookedAt = now;
      const ended = !isSupervised(ctx);
      if (stage === "waits" && (ended || late) && withdrawRequest(ctx, id)) {
        faultPoint("request:withdrawn");
        const how = ended ? "has ended" : `${pid(ctx)} does not react`;
        return gaveUp(`the supervisor ${how}`, true);
      }
      if (stage === "taken" && ended) {
        // It may have answered just before it ended.
        return readAnswer(ctx, id) ?? gaveUp("the supervisor has ended before it had an answer");
      }
      if (stage === "taken" && late) {
        heldSince = await isSupervisorStopped(ctx) ? heldSince ?? now : undefined;
        const hangs = now - (heldSince ?? now) >= HELD_MS || now - begun >= ANSWER_MS[kind];
        if (hangs) return gaveUp(`the supervisor ${pid(ctx)} hangs`);
      }
    }
    await ctx.host.sleep(LOOK_MS.answer);
  }
}

function gaveUp(why: string, withdrawn = false): Unanswered {
  return { withdrawn, why };
}

function pid(ctx: Context): string {
  return String(supervisorPid(ctx) ?? "");
}

/** Waits until nobody is at what the supervisor may have begun. */
async function untilFree(ctx: Context, request: Request): Promise<void> {
  const name = request.kind === "launch" ? `${request.identity}.session` : "tick";
  const lock = await waitLock(ctx.paths.lock(name), BUSY_MS);
  if (lock === undefined) {
    throw new UnknownStateError(
      request.kind === "launch"
        ? `Cannot tell whether "${request.identity}" was launched: the supervisor ${
          pid(ctx)
        } has begun it and hangs; see: iapeer status ${request.identity}`
        : `Cannot tell what became of the tick: the supervisor ${
          pid(ctx)
        } has begun it and hangs; see: iapeer status`,
    );
  }
  lock.release();
}
