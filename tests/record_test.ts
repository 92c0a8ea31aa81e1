import assert from "node:assert/strict";
import type { Context } from "../lib/context.ts";
import {
  type Death,
  deathId,
  journalId,
  listDeaths,
  type Observation,
  openDeath,
  readDeath,
  type Step,
} from "../lib/deaths.ts";
import { exitRecord } from "../lib/exits.ts";
import { tryLock } from "../lib/locks.ts";
import { appendLine, readLines } from "../lib/log.ts";
import { parseLine } from "../lib/logfmt.ts";
import {
  deathLock,
  finishOpenDeaths,
  holdDeath,
  recordDeath,
  type Recorded,
} from "../lib/record.ts";
import { noTools, runJob, withRoot } from "./fixtures/root.ts";

const AT = Date.UTC(2026, 10, 22, 5, 44, 45, 123);
const SEEN: Observation = {
  identity: "claude-bob",
  server: { pid: 4242, startedAt: 1795327507 },
  cause: "signal",
  signal: "SIGKILL",
  witness: "canary",
  mode: "own",
  observedAt: AT,
};
const ID = deathId(SEEN.identity, SEEN.server);
const HOST = { tools: noTools, now: () => AT + 2000 };

/** How often the log tells of a death by such a record. */
function told(ctx: Context, ev: string, id = ID): number {
  return readLines(ctx.paths, ctx.paths.exitsLog).map(parseLine)
    .filter((fields) => fields.get("ev") === ev && fields.get("death") === id).length;
}

/** An entry as a witness leaves it that dies at a step. */
function leave(ctx: Context, step: Step, seen: Observation = SEEN): Death {
  const death = { id: deathId(seen.identity, seen.server), step, ...seen };
  // The kernel frees its lock; the file stays.
  using _lock = tryLock(deathLock(ctx, death.id))!;
  assert(openDeath(ctx, death));
  return death;
}

function closed(recorded: readonly Recorded[]): Promise<Death[]> {
  return Promise.all(recorded.map((one) => one.closed));
}

/** Asserts that the death is recorded once, and nothing more is to be done about it. */
function assertFinished(ctx: Context, id = ID): void {
  assert.equal(readDeath(ctx, id)!.step, "closed");
  assert.equal(told(ctx, "server-exit", id), 1);
  assert.equal(told(ctx, "server-verdict", id), 1);
  assert(Deno.statSync(readDeath(ctx, id)!.forensics!).isFile);
  assert.deepEqual(finishOpenDeaths(ctx), []);
}

Deno.test("recordDeath() writes line, verdict and snapshot, and closes the entry", () =>
  withRoot(async (ctx) => {
    const steps: (Step | undefined)[] = [];
    const recorded = recordDeath(ctx, SEEN, () => steps.push(readDeath(ctx, ID)?.step))!;
    assert.deepEqual(steps, ["noticed"]);
    // On disk before any evidence is gathered: the host may be going down.
    assert.equal(told(ctx, "server-exit"), 1);
    assert.equal(told(ctx, "server-verdict"), 0);
    assert.equal(recorded.death.step, "recorded");
    assert.equal((await recorded.closed).step, "closed");
    assertFinished(ctx);
    assert.deepEqual([...Deno.readDirSync(ctx.paths.locks)].map((entry) => entry.name).sort(), [
      "exits.log.log",
      "lifecycle.log.log",
    ]);
  }, HOST));

Deno.test("recordDeath() leaves a death that is recorded alone", () =>
  withRoot(async (ctx) => {
    await recordDeath(ctx, SEEN)!.closed;
    let journal = 0;
    assert.equal(recordDeath(ctx, { ...SEEN, witness: "supervise" }, () => journal++), undefined);
    assert.equal(journal, 1);
    assertFinished(ctx);
    assert.equal(readDeath(ctx, ID)!.witness, "canary");
  }, HOST));

Deno.test("recordDeath() leaves a death that somebody has in hand alone", () =>
  withRoot((ctx) => {
    using _other = tryLock(deathLock(ctx, ID));
    let journal = 0;
    assert.equal(recordDeath(ctx, SEEN, () => journal++), undefined);
    assert.equal(journal, 1);
    assert.deepEqual(listDeaths(ctx), []);
  }, HOST));

Deno.test("recordDeath() tells incarnations of one session apart", () =>
  withRoot(async (ctx) => {
    const next = { ...SEEN, server: { ...SEEN.server, startedAt: SEEN.server.startedAt + 9 } };
    await closed([recordDeath(ctx, SEEN)!, recordDeath(ctx, next)!]);
    assertFinished(ctx, ID);
    assertFinished(ctx, deathId(next.identity, next.server));
  }, HOST));

Deno.test("recordDeath() records for exactly one of many witnesses", () =>
  withRoot(async (ctx) => {
    const count = 8;
    const witnesses = Array.from({ length: 5 }, () =>
      runJob("witness", ctx.paths.root, String(count)));
    const won = (await Promise.all(witnesses)).flatMap((line) =>
      JSON.parse(line) as number[]
    );
    assert.deepEqual(won.sort((a, b) => a - b), Array.from({ length: count }, (_, n) => n + 1));
    for (let pid = 1; pid <= count; pid++) assertFinished(ctx, `claude-bob-${pid}-1000`);
  }, HOST));

Deno.test("finishOpenDeaths() finishes an entry whose line was not written yet", () =>
  withRoot(async (ctx) => {
    leave(ctx, "noticed");
    await closed(finishOpenDeaths(ctx));
    assertFinished(ctx);
  }, HOST));

for (const file of ["exits.log", "exits.log.1", "exits.log.5"]) {
  Deno.test(`finishOpenDeaths() finds a line that is in ${file} already`, () =>
    withRoot(async (ctx) => {
      const death = leave(ctx, "noticed");
      appendLine(ctx.paths, ctx.paths.exitsLog, exitRecord(ctx, death));
      Deno.renameSync(ctx.paths.exitsLog, `${ctx.paths.logs}/${file}`);
      await closed(finishOpenDeaths(ctx));
      assertFinished(ctx);
    }, HOST));
}

Deno.test("finishOpenDeaths() writes a line anew that was cut before it named its death", () =>
  withRoot(async (ctx) => {
    const line = exitRecord(ctx, leave(ctx, "noticed"));
    Deno.writeTextFileSync(ctx.paths.exitsLog, line.slice(0, line.indexOf(" death=")));
    await closed(finishOpenDeaths(ctx));
    assertFinished(ctx);
  }, HOST));

Deno.test("finishOpenDeaths() goes on where the line was written and nothing else", () =>
  withRoot(async (ctx) => {
    appendLine(ctx.paths, ctx.paths.exitsLog, exitRecord(ctx, leave(ctx, "recorded")));
    await closed(finishOpenDeaths(ctx));
    assertFinished(ctx);
  }, HOST));

Deno.test("finishOpenDeaths() finishes what it is asked about, and nobody else has", () =>
  withRoot(async (ctx) => {
    leave(ctx, "noticed");
    const other = leave(ctx, "noticed", { ...SEEN, identity: "claude-ann" });
    const held = leave(ctx, "noticed", { ...SEEN, identity: "claude-cho" });
    using lock = tryLock(deathLock(ctx, held.id))!;
    await closed(finishOpenDeaths(ctx, { identity: "claude-bob" }));
    assert.deepEqual(listDeaths(ctx).map((death) => [death.identity, death.step]).sort(), [
      ["claude-ann", "noticed"],
      ["claude-bob", "closed"],
      ["claude-cho", "noticed"],
    ]);
    await closed(finishOpenDeaths(ctx));
    assert.equal(readDeath(ctx, held.id)!.step, "noticed");
    lock.release();
    await closed(finishOpenDeaths(ctx));
    for (const id of [ID, other.id, held.id]) assertFinished(ctx, id);
  }, HOST));

Deno.test("recordDeath() finishes what a witness that died has left, as that one saw it", () =>
  withRoot(async (ctx) => {
    leave(ctx, "noticed");
    await recordDeath(ctx, { ...SEEN, cause: "unobserved", witness: "supervise" })!.closed;
    assertFinished(ctx);
    assert.equal(readDeath(ctx, ID)!.cause, "signal");
  }, HOST));

Deno.test("recordDeath() throws while the storage refuses, and can be tried again", () =>
  withRoot(async (ctx) => {
    Deno.mkdirSync(ctx.paths.exitsLog);
    assert.throws(() => recordDeath(ctx, SEEN));
    assert.throws(() => recordDeath(ctx, SEEN));
    assert.equal(readDeath(ctx, ID)!.step, "noticed");
    Deno.removeSync(ctx.paths.exitsLog);
    await recordDeath(ctx, SEEN)!.closed;
    assertFinished(ctx);
  }, HOST));

Deno.test("finishOpenDeaths() leaves what the storage refuses for the next time", () =>
  withRoot(async (ctx) => {
    leave(ctx, "noticed");
    Deno.mkdirSync(ctx.paths.exitsLog);
    assert.deepEqual(finishOpenDeaths(ctx), []);
    Deno.removeSync(ctx.paths.exitsLog);
    await closed(finishOpenDeaths(ctx));
    assertFinished(ctx);
  }, HOST));

for (const refused of ["deaths", "locks"] as const) {
  Deno.test(`holdDeath() holds a death until there is a folder of ${refused} again`, () => {
    const pauses: number[] = [];
    let mend = () => {};
    const sleep = (ms: number) => {
      if (pauses.push(ms) === 3) mend();
      return Promise.resolve();
    };
    return withRoot(async (ctx) => {
      const dir = ctx.paths[refused];
      Deno.removeSync(dir, { recursive: true });
      mend = () => Deno.mkdirSync(dir, { mode: 0o700 });
      const recorded = await holdDeath(ctx, SEEN, () => recordDeath(ctx, SEEN));
      await recorded!.closed;
      assert.deepEqual(pauses, [250, 500, 1000]);
      assertFinished(ctx);
    }, { ...HOST, sleep });
  });
}

Deno.test("holdDeath() gives up after a day, or ten minutes after the root is gone", async () => {
  for (const [gone, hours] of [[false, 24], [true, 1 / 6]] as const) {
    const real = performance.now;
    let passed = 0;
    const sleep = (ms: number) => {
      passed += ms;
      return Promise.resolve();
    };
    await withRoot(async (ctx) => {
      if (gone) Deno.removeSync(ctx.paths.root, { recursive: true });
      performance.now = () => passed;
      try {
        const refuse = () => {
          throw new Error("the storage refuses");
        };
        assert.equal(await holdDeath(ctx, SEEN, refuse), undefined);
      } finally {
        performance.now = real;
      }
      assert(Math.abs(passed - hours * 3_600_000) < 60_000, `${passed} ms`);
    }, { ...HOST, sleep });
  }
});

/** The same pid within the same second. */
const TWINS = [77, 99].map((startTicks) => ({ ...SEEN, server: { ...SEEN.server, startTicks } }));

for (const apart of [0, 5000]) {
  const when = `${apart} ms apart`;
  Deno.test(`recordDeath() records two incarnations of one pid and second, dead ${when}`, () =>
    withRoot(async (ctx) => {
      const [elder, twin] = TWINS as [Observation, Observation];
      const younger = { ...twin, observedAt: twin.observedAt + apart };
      const both = [recordDeath(ctx, elder)!, recordDeath(ctx, younger)!];
      assert.deepEqual(both.map(({ death }) => death.id), [ID, `${ID}-2`]);
      const snapshots = (await closed(both)).map(({ forensics }) => forensics);
      assert.equal(new Set(snapshots).size, 2);
      for (const [n, twin] of TWINS.entries()) {
        const id = n === 0 ? ID : `${ID}-2`;
        assert.equal(journalId(ctx, SEEN.identity, twin.server), id);
        assert.equal(recordDeath(ctx, twin), undefined, "it is known already");
        assertFinished(ctx, id);
        const line = readLines(ctx.paths, ctx.paths.exitsLog).map(parseLine)
          .find((fields) => fields.get("death") === id && fields.get("ev") === "server-exit")!;
        assert.equal(line.get("forensics"), snapshots[n]);
      }
      assert.equal(journalId(ctx, SEEN.identity, { ...SEEN.server, startTicks: 5 }), `${ID}-3`);
    }, HOST));
}

Deno.test("recordDeath() takes the next number though another incarnation's entry came in between", () =>
  withRoot(async (ctx) => {
    const [elder, younger] = TWINS as [Observation, Observation];
    let looks = 0;
    const late = {
      ...younger,
      get server() {
        // The first look is for the id.
        if (++looks === 2) leave(ctx, "noticed", elder);
        return younger.server;
      },
    };
    const recorded = recordDeath(ctx, late)!;
    assert.equal(recorded.death.id, `${ID}-2`);
    await recorded.closed;
    await closed(finishOpenDeaths(ctx));
    for (const id of [ID, `${ID}-2`]) assertFinished(ctx, id);
  }, HOST));

Deno.test("recordDeath() finishes what a witness has left of the second of two such incarnations", () =>
  withRoot(async (ctx) => {
    const [elder, younger] = TWINS as [Observation, Observation];
    await recordDeath(ctx, elder)!.closed;
    const id = `${ID}-2`;
    {
      using _lock = tryLock(deathLock(ctx, id))!;
      openDeath(ctx, { id, step: "noticed", ...younger });
    }
    await recordDeath(ctx, { ...younger, cause: "unobserved" })!.closed;
    assertFinished(ctx, id);
    assert.equal(readDeath(ctx, id)!.cause, "signal");
  }, HOST));
