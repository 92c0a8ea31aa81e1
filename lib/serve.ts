/**
 * The supervisor's side of `state/requests/`: what it is asked for it does by
 * the very functions that would do it without a supervisor.
 *
 * @module
 */

import { type Context, messageOf, note, warnOnce } from "./context.ts";
import { faultPoint } from "./fault.ts";
import { launch } from "./launch.ts";
import type { Tick, TickOptions } from "./lifecycle.ts";
import {
  type Answer,
  answerRequest,
  isWaitedFor,
  listRequests,
  listTaken,
  readRequest,
  removeRequest,
  type Request,
  stageOf,
  takeRequest,
} from "./requests.ts";
import { Slots } from "./slots.ts";
import { watchState } from "./watch_state.ts";

/** Where the folder cannot be watched, it is looked at so often, in milliseconds. */
const BLIND_MS = 500;

/** Launches at once: of more than a machine can bring up side by side, each would be too slow. */
const LAUNCHES = 8;

/** Serves requests side by side until it is closed. */
export class Desk {
  readonly #ctx: Context;
  readonly #tick: (options: TickOptions) => Promise<Tick>;
  readonly #launches = new Slots(LAUNCHES);
  readonly #underWay = new Set<Promise<void>>();
  readonly #watch: { close(): void };
  #timer: ReturnType<typeof setInterval> | undefined;
  #closed = false;

  /**
   * Opens the desk and takes what lies there. Only the holder of the
   * supervisor's lock may: what somebody else has taken, it has left behind.
   *
   * @param ctx The root.
   * @param tick Does a tick.
   */
  constructor(ctx: Context, tick: (options: TickOptions) => Promise<Tick>) {
    this.#ctx = ctx;
    this.#tick = tick;
    this.#attempt(() => {
      // Whoever waits for one of these finishes it, see lib/hand_over.ts.
      for (const id of listTaken(ctx)) removeRequest(ctx, id);
    });
    const look = () => this.look();
    this.#watch = watchState([ctx.paths.requests], look, () => {
      this.#timer = setInterval(look, BLIND_MS);
    });
    this.look();
  }

  /** Takes what lies there. Never throws. */
  look(): void {
    this.#attempt(() => {
      if (this.#closed) return;
      for (const id of listRequests(this.#ctx)) {
        if (!takeRequest(this.#ctx, id)) continue;
        faultPoint("serve:taken");
        const work = this.#carryOut(id).finally(() => this.#underWay.delete(work));
        this.#underWay.add(work);
      }
    });
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      warnOnce(`cannot look for requests: ${messageOf(error)}`);
    }
  }

  async #carryOut(id: string): Promise<void> {
    try {
      const answer = await this.#answer(id);
      faultPoint("serve:done");
      if (answer === undefined) removeRequest(this.#ctx, id);
      else answerRequest(this.#ctx, id, answer);
      faultPoint("serve:answered");
    } catch (error) {
      warnOnce(`cannot answer a request: ${messageOf(error)}`);
      // Whoever waits sees that it is gone, and finds out what was done.
      removeRequest(this.#ctx, id);
    }
  }

  async #answer(id: string): Promise<Answer | undefined> {
    const ctx = this.#ctx;
    let request: Request | undefined;
    try {
      request = readRequest(ctx, id);
      if (!isWaitedFor(ctx, id)) {
        note(ctx, "request-dropped", [
          ["request", id],
          ["kind", request.kind],
          ["reason", "whoever asked is gone"],
        ]);
        return undefined;
      }
      const done = await this.#do(id, request);
      noteServed(ctx, id, request);
      return { done };
    } catch (error) {
      noteServed(ctx, id, request, messageOf(error));
      return { error: error instanceof Error ? error : new Error(String(error)) };
    }
  }

  async #do(id: string, request: Request): Promise<unknown> {
    const ctx = this.#ctx;
    if (request.kind === "launch") {
      const { identity, spec, replace } = request;
      const stands = () => stageOf(ctx, id) === "taken" && isWaitedFor(ctx, id);
      return await this.#launches.run(() =>
        launch(ctx, { identity, spec, replace, request: { id, stands } })
      );
    }
    const { results, recorded } = await this.#tick({ verbose: request.verbose, thorough: true });
    await Promise.all(recorded.map((one) => one.closed));
    return results;
  }

  /** Takes nothing any more. */
  shut(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#watch.close();
  }

  /** Settles when what was taken is answered. */
  async finished(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }
}

/** The only trace of a request that was refused. */
function noteServed(ctx: Context, id: string, request: Request | undefined, error?: string): void {
  note(ctx, "request-served", [
    ["request", id],
    ["kind", request?.kind],
    ["identity", request?.kind === "launch" ? request.identity : undefined],
    ["error", error],
  ]);
}
