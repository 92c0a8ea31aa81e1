/**
 * The daemon: a tick every interval, and at once when something happens.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import type { Context } from "./context.ts";
import { messageOf, note, warnOnce } from "./context.ts";
import { IapeerError } from "./errors.ts";
import { type Tick, tick } from "./lifecycle.ts";
import { tryLock, waitLock } from "./locks.ts";

/** Events come in bursts (a temporary name, a rename, the next state): one tick for all. */
const SETTLE_MS = 150;

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

/** The lock that a daemon holds while it is at work. */
export function daemonLock(ctx: Context): string {
  return ctx.paths.lock("supervise");
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
  using lock = await waitLock(daemonLock(ctx), 200);
  if (lock === undefined) {
    throw new IapeerError(
      `Cannot supervise "${ctx.paths.root}": a supervisor is at work on it already`,
    );
  }
  lock.note(JSON.stringify({ pid: Deno.pid, version: config.version }));
  note(ctx, "supervise-started", [["pid", Deno.pid], ["interval", options.intervalSecs]]);
  const waker = new Waker(ctx);
  const stopped = () => waker.wake();
  options.stop.addEventListener("abort", stopped);
  try {
    options.onReady();
    for (let thorough = true; !options.stop.aborted; thorough = false) {
      try {
        options.onTick(await tick(ctx, { verbose: options.verbose, thorough }));
      } catch (error) {
        warnOnce(`a tick failed: ${messageOf(error)}`);
        note(ctx, "tick-failed", [["reason", messageOf(error)]]);
      }
      await waker.sleep(options.intervalSecs * 1000, options.stop);
    }
  } finally {
    options.stop.removeEventListener("abort", stopped);
    waker.close();
    note(ctx, "supervise-stopped", [["pid", Deno.pid]]);
  }
}

/** Sleeps until something happens in the root. */
class Waker {
  #watcher: Deno.FsWatcher | undefined;
  #wake: (() => void) | undefined;
  #pending = false;

  constructor(ctx: Context) {
    try {
      // The journal and the claims: an end is written to one of the two.
      this.#watcher = Deno.watchFs([ctx.paths.deaths, ctx.paths.claims]);
      void this.#watch(this.#watcher);
    } catch (error) {
      // Out of inotify watches: the interval is the backstop.
      warnOnce(`cannot watch for events, ticking by the interval only: ${messageOf(error)}`);
    }
  }

  async #watch(watcher: Deno.FsWatcher): Promise<void> {
    try {
      for await (const event of watcher) {
        const state = event.paths.some((path) => path.endsWith(".json"));
        if (state && event.kind !== "access" && event.kind !== "remove") this.wake();
      }
    } catch (error) {
      warnOnce(`cannot watch for events any more: ${messageOf(error)}`);
    }
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
    this.#watcher?.close();
  }
}

/**
 * Tells whether a daemon is at work on a root.
 *
 * @param ctx The root.
 * @returns `true` if one holds the lock.
 */
export function isSupervised(ctx: Context): boolean {
  const lock = tryLock(daemonLock(ctx), false);
  lock?.release();
  return lock === undefined;
}
