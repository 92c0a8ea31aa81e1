/**
 * From a recorded death to its verdict and snapshot.
 *
 * @module
 */

import { type Context, messageOf, note, warnOnce } from "./context.ts";
import { type Death, deathsSince, numberOf, snapshotPath, updateDeath } from "./deaths.ts";
import { type Exits, observedFields, readExits, verdictRecord } from "./exits.ts";
import { collectContext, PEERS_MS, spanOf, withVerdict } from "./death_facts.ts";
import type { Finding } from "./evidence.ts";
import { collectEvidence } from "./evidence/collect.ts";
import { Together } from "./evidence/together.ts";
import { faultPoint } from "./fault.ts";
import {
  denoSnapshotHost,
  lookAtMachine,
  renderSnapshot,
  type Section,
  type SectionsOf,
  writeSnapshot,
} from "./forensics.ts";
import { appendLine } from "./log.ts";
import { memoriesOf } from "./memory.ts";
import { Rounds } from "./rounds.ts";
import { isThere } from "./store.ts";
import { leadSections } from "./story.ts";
import { curvesOf, timelineOf } from "./timeline.ts";

/**
 * Rounds under way at once: a death need not wait for one that is held up by a
 * slow tool. And most deaths of a round: each holds a few files open.
 */
const ROUNDS = { atOnce: 2, most: 50 };

/** A death that is to be concluded. */
interface Task {
  readonly death: Death;
  readonly recovering: boolean;
  done(closed: Death): void;
}

const rounds = new WeakMap<Context, Rounds<Task>>();

/**
 * Gathers evidence about a recorded death, concludes, and closes its entry.
 * Never rejects: the death itself is on disk, and nobody waits for this.
 *
 * Deaths that are handed over at the same time are concluded together, and the
 * machine is asked once for all of them.
 *
 * The verdict goes into the entry before its line goes into `exits.log`: one
 * who finishes the entry after a crash in between writes the same line, if it
 * is not there.
 *
 * @param ctx The root.
 * @param death The entry, in step `recorded`.
 * @param recovering Somebody else began: what is done already is not done again.
 * @returns The closed entry.
 */
export function conclude(ctx: Context, death: Death, recovering: boolean): Promise<Death> {
  let of = rounds.get(ctx);
  if (of === undefined) {
    rounds.set(
      ctx,
      of = new Rounds((tasks) => concludeAll(ctx, tasks), ROUNDS),
    );
  }
  const { promise, resolve } = Promise.withResolvers<Death>();
  of.add({ death, recovering, done: resolve });
  return promise;
}

/** All that a round looks at, it looks at after the last of its deaths was recorded. */
async function concludeAll(ctx: Context, tasks: readonly Task[]): Promise<void> {
  const deaths = tasks.map(({ death }) => death);
  const together = new Together(ctx.host.tools, deaths.map(spanOf));
  const sectionsOf = lookAtMachine(denoSnapshotHost(ctx.host.tools));
  const memories = memoriesOf(ctx);
  const all = tasks.map((task) => new Case(ctx, task, sectionsOf));
  const since = Math.min(...deaths.map(({ observedAt }) => observedAt)) - PEERS_MS;
  const recent = () => once(() => deathsSince(ctx, since));
  const before = recent();
  await Promise.all(all.map((one) => one.gather(together, memories, before)));
  // Whoever was recorded meanwhile is a peer, too.
  const after = recent();
  // Nobody else writes of these deaths: their entries are locked.
  const exits = once(() => readExits(ctx));
  for (const one of all) {
    await one.judge(after, exits);
    await breathe();
  }
  for (const one of all) {
    await one.close(exits);
    await breathe();
  }
}

/** Lets answers of tools and time limits through: what is done here, is done without a pause. */
function breathe(): Promise<void> {
  return new Promise((wake) => setTimeout(wake, 0));
}

/** Reads something when it is first wanted. */
function once<T>(read: () => T): () => T {
  let known: { readonly value: T } | undefined;
  return () => (known ??= { value: read() }).value;
}

/** One death on its way to the end of its entry. */
class Case {
  readonly #ctx: Context;
  readonly #task: Task;
  readonly #subject: ReturnType<typeof subjectOf>;
  readonly #sections: Promise<Section[]>;
  #death: Death;
  #findings: readonly Finding[] | undefined;

  constructor(ctx: Context, task: Task, sectionsOf: SectionsOf) {
    this.#ctx = ctx;
    this.#task = task;
    this.#death = task.death;
    this.#subject = subjectOf(ctx, task.death);
    this.#sections = sectionsOf(this.#subject);
  }

  async #attempt(what: string, work: () => Death | Promise<Death>): Promise<void> {
    const { id } = this.#death;
    try {
      this.#death = await work();
    } catch (error) {
      const reason = messageOf(error);
      warnOnce(`cannot ${what} ${id}: ${reason}`);
      note(this.#ctx, "conclude-failed", [["death", id], ["step", what], ["reason", reason]]);
    }
  }

  /** Looks at every place that can hold evidence, unless there is a verdict already. */
  async gather(
    together: Together,
    memories: ReturnType<typeof memoriesOf>,
    recent: () => readonly Death[],
  ): Promise<void> {
    await this.#attempt("gather evidence about", async () => {
      let death = this.#death;
      if (death.verdict !== undefined) return death;
      // Kept in the entry: a new server of this session takes their place elsewhere.
      const { samples: memory, children } = memories(death.identity, death.server.pid) ?? {};
      if (memory !== undefined) death = { ...death, memory };
      if (children !== undefined) death = { ...death, children };
      const about = collectContext(this.#ctx, death, together, recent());
      this.#findings = await collectEvidence(about);
      return death;
    });
  }

  /** Reaches a verdict and writes it down. */
  async judge(recent: () => readonly Death[], exits: () => Exits): Promise<void> {
    const ctx = this.#ctx;
    const findings = this.#findings;
    if (findings !== undefined) {
      await this.#attempt(
        "reach a verdict on",
        () => withVerdict(ctx, this.#death, findings, recent()),
      );
    }
    await this.#attempt("write the verdict on", () => {
      const death = this.#death;
      faultPoint("conclude:evidence-gathered");
      updateDeath(ctx, death);
      faultPoint("conclude:verdict-noted");
      const line = verdictRecord(ctx, death);
      const told = this.#task.recovering && exits().verdicts.has(death.id);
      if (line !== undefined && !told) {
        appendLine(ctx.paths, ctx.paths.exitsLog, line, { sync: true });
      }
      faultPoint("conclude:verdict-written");
      return { ...death, verdictAt: ctx.host.now() };
    });
  }

  /** Writes the snapshot and closes the entry. */
  async close(exits: () => Exits): Promise<void> {
    const ctx = this.#ctx;
    const sections = await this.#sections;
    await this.#attempt("write the snapshot of", () => {
      const death = this.#death;
      const planned = snapshotPath(ctx, death);
      const lead = leadSections(death, timelineOf(ctx, death, exits), curvesOf(ctx, death));
      const path = this.#task.recovering && isThere(planned) ? planned : writeSnapshot(
        ctx.paths.serverDeaths,
        this.#subject,
        renderSnapshot(this.#subject, lead, sections),
      );
      faultPoint("conclude:snapshot-written");
      return { ...death, forensics: path, snapshotAt: ctx.host.now() };
    });
    await this.#attempt("close the entry of", () => {
      const closed: Death = { ...this.#death, step: "closed" };
      updateDeath(ctx, closed);
      faultPoint("conclude:closed");
      return closed;
    });
    this.#task.done(this.#death);
  }
}

function subjectOf(ctx: Context, death: Death) {
  return {
    identity: death.identity,
    deathId: death.id,
    serverPid: death.server.pid,
    observedAt: death.observedAt,
    number: numberOf(death),
    header: observedFields(death),
    paneLog: ctx.paths.paneLog(death.identity),
  };
}
