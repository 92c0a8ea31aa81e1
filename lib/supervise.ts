/**
 * The daemon: a tick every interval, and at once when something happens; what
 * it is asked for meanwhile it does side by side with that.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import type { Context } from "./context.ts";
import { messageOf, note, warnOnce } from "./context.ts";
import { noTmux } from "./environment.ts";
import { IapeerError } from "./errors.ts";
import { type Tick, tick, type TickOptions } from "./lifecycle.ts";
import { waitLock } from "./locks.ts";
import { Desk } from "./serve.ts";
import { supervisorLock, supervisorPid } from "./supervisor.ts";
import { watchState } from "./watch_state.ts";

export { isSupervised } from "./supervisor.ts";

/** Events come in bursts (a temporary name, a rename, the next state): one tick for all. */
const SETTLE_MS = 150;
/** How long a tick under way may still take when the daemon shall leave: a stop of a service is waited for. */
const LEAVE_MS = 500;

/** What {@linkcode supervise} needs. */
export interface SuperviseOptions {
  /** Seconds from one tick to the next. */
  readonly intervalSecs: number;
  /** Log the sessions that are simply alive, too. */
  readonly verbose: boolean;
  /** Ends the daemon; servers and canaries are left alone. */
  readonly stop: AbortSignal;
  /** Called when it is at work. */
  onReady(): void;
  /** Called after every tick. */
  onTick(tick: Tick): void;
}

/**
 * Looks after the sessions of a root until it is told to stop.
 *
 * @param ctx The root.
 * @param options Interval and callbacks.
 * @throws {IapeerError} If a daemon is at work on the root already.
 */
export async function supervise(ctx: Context, options: SuperviseOptions): Promise<void> {
  // A look by `doctor` or `launch` holds the lock for microseconds.
  using lock = await waitLock(supervisorLock(ctx), 200);
  if (lock === undefined) {
    const pid = supervisorPid(ctx);
    throw new IapeerError(
      `Cannot supervise "${ctx.paths.root}": a supervisor is at work on it already${
        pid === undefined ? "" : ` (pid ${pid})`
      }; leave it to that one, or end it first`,
    );
  }
  lock.note(JSON.stringify({ pid: Deno.pid, version: config.version }));
  note(ctx, "supervise-started", [["pid", Deno.pid], ["interval", options.intervalSecs]]);
  const without = noTmux();
  if (without !== undefined) warnOnce(`cannot start any session: ${without}`);
  const told = async (tickOptions: TickOptions) => {
    const done = await tick(ctx, tickOptions);
    options.onTick(done);
    return done;
  };
  const desk = new Desk(ctx, told);
  const waker = new Waker(ctx);
  const leave = Promise.withResolvers<void>();
  let leaving: ReturnType<typeof setTimeout> | undefined;
  const stopped = () => {
    desk.shut();
    waker.wake();
    leaving = setTimeout(leave.resolve, LEAVE_MS);
  };
  options.stop.addEventListener("abort", stopped);
  try {
    options.onReady();
    for (let thorough = true; !options.stop.aborted; thorough = false) {
      try {
        // What a tick leaves undone the next one does, as after a SIGKILL.
        await Promise.race([told({ verbose: options.verbose, thorough }), leave.promise]);
      } catch (error) {
        warnOnce(`a tick failed: ${messageOf(error)}`);
        note(ctx, "tick-failed", [["reason", messageOf(error)]]);
      }
      // The backstop for requests, too.
      desk.look();
      await waker.sleep(options.intervalSecs * 1000, options.stop);
    }
  } finally {
    options.stop.removeEventListener("abort", stopped);
    clearTimeout(leaving);
    waker.close();
    desk.shut();
    await desk.finished();
    note(ctx, "supervise-stopped", [["pid", Deno.pid]]);
  }
}

/** Sleeps until something happens in the root. */
class Waker {
  readonly #watch: { close(): void };
  #wake: (() => void) | undefined;
  #pending = false;

  constructor(ctx: Context) {
    // The journal and the claims: an end is written to one of the two. Where
    // they cannot be watched, the interval is the backstop.
    this.#watch = watchState([ctx.paths.deaths, ctx.paths.claims], () => this.wake());
  }

  wake(): void {
    this.#pending = true;
    this.#wake?.();
  }

  /** Sleeps for `ms`, or until {@linkcode wake}. */
  async sleep(ms: number, stop: AbortSignal): Promise<void> {
    if (!this.#pending) await this.#pause(ms);
    if (stop.aborted) return;
    if (this.#pending) {
      await new Promise((done) => setTimeout(done, SETTLE_MS));
      this.#pending = false;
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((done) => {
      const finish = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        done();
      };
      const timer = setTimeout(finish, ms);
      this.#wake = finish;
    });
  }

  close(): void {
    this.#watch.close();
  }
}
