import assert from "node:assert/strict";
import { join } from "node:path";
import type { Context } from "../lib/context.ts";
import { IapeerError, UnknownStateError, UsageError } from "../lib/errors.ts";
import type { Tick, TickOptions } from "../lib/lifecycle.ts";
import {
  answerRequest,
  isWaitedFor,
  listRequests,
  readAnswer,
  readRequest,
  removeRequest,
  stageOf,
  takeRequest,
  withdrawRequest,
  writeRequest,
} from "../lib/requests.ts";
import { Desk } from "../lib/serve.ts";
import { runJob, until, withRoot } from "./fixtures/root.ts";

const TICK = { kind: "tick", verbose: false } as const;
const RESULTS: Tick = { results: [{ identity: "claude-bob", outcome: "alive" }], recorded: [] };

/** A desk whose ticks are given. */
function open(
  ctx: Context,
  tick: (options: TickOptions) => Promise<Tick> = () => Promise.resolve(RESULTS),
): AsyncDisposable & Desk {
  return Object.assign(new Desk(ctx, tick), {
    async [Symbol.asyncDispose](this: Desk) {
      this.shut();
      await this.finished();
    },
  });
}

function filesOf(ctx: Context): string[] {
  return [...Deno.readDirSync(ctx.paths.requests)].map(({ name }) => name).sort();
}

/** Puts a file where a request would lie. */
function put(ctx: Context, name: string, text: string): void {
  Deno.writeTextFileSync(join(ctx.paths.requests, name), text, { mode: 0o600 });
}

async function answered(ctx: Context, id: string): Promise<unknown> {
  await until("an answer", () => readAnswer(ctx, id) !== undefined);
  const answer = readAnswer(ctx, id)!;
  if ("error" in answer) throw answer.error;
  return answer.done;
}

Deno.test("a request is either taken or withdrawn, whatever the moment", () =>
  withRoot(async (ctx) => {
    const ids: string[] = [];
    for (let n = 0; n < 500; n++) {
      const { id, waiting } = writeRequest(ctx, TICK);
      waiting.release();
      ids.push(id);
    }
    const all = [...ids].sort();
    const [taken, withdrawn] = (await Promise.all([
      runJob("take", ctx.paths.root, "taker"),
      runJob("take", ctx.paths.root, "withdrawer"),
    ])).map((text) => JSON.parse(text) as string[]);
    assert.deepEqual([...taken!, ...withdrawn!].sort(), all);
    assert.deepEqual(filesOf(ctx), taken!.map((id) => `${id}.taken`).sort());
  }));

Deno.test("writeRequest() is closed to others and seen to be waited for, whatever its name", () =>
  withRoot((ctx) => {
    const { id, waiting } = writeRequest(ctx, TICK);
    assert.deepEqual(filesOf(ctx), [`${id}.json`]);
    const { mode } = Deno.statSync(join(ctx.paths.requests, `${id}.json`));
    assert.equal(mode! & 0o777, 0o600);
    assert.equal(stageOf(ctx, id), "waits");
    assert(takeRequest(ctx, id));
    assert.equal(stageOf(ctx, id), "taken");
    assert(!withdrawRequest(ctx, id));
    assert(isWaitedFor(ctx, id));
    assert.deepEqual(readRequest(ctx, id), { v: 1, protocol: 1, ...TICK });
    waiting.release();
    assert(!isWaitedFor(ctx, id));
    removeRequest(ctx, id);
    assert.equal(stageOf(ctx, id), "gone");
    assert.deepEqual(filesOf(ctx), []);
  }));

Deno.test("a launch travels as it is, whatever characters it has", () =>
  withRoot((ctx) => {
    const spec = {
      argv: ["sh", "", "é 日本 🐤\n", "\x01\x7f\u2028", '"\\'],
      cwd: "/a b/ü",
      env: { LD_PRELOAD: "x.so", "": "nameless", A: "\t=\n" },
      size: "80x25",
      policy: { restart: "always", idleSecs: 0.5, activity: ["/x/*"] },
    } as const;
    const request = { kind: "launch", identity: "claude-bob", spec, replace: true } as const;
    using waiting = writeRequest(ctx, request).waiting;
    const [id] = listRequests(ctx);
    takeRequest(ctx, id!);
    assert.deepEqual(readRequest(ctx, id!), { v: 1, protocol: 1, ...request });
    waiting.release();
  }));

const ERRORS = [
  new IapeerError("Cannot: refused"),
  new UsageError("Cannot: usage"),
  new UnknownStateError("Cannot: unknown"),
  Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" }),
  new TypeError("x is not a function"),
];

for (const error of ERRORS) {
  Deno.test(`an error comes back as it was: ${error.name} ${error.message}`, () =>
    withRoot((ctx) => {
      const { id, waiting } = writeRequest(ctx, TICK);
      using _waiting = waiting;
      takeRequest(ctx, id);
      answerRequest(ctx, id, { error });
      const answer = readAnswer(ctx, id)!;
      assert("error" in answer);
      const { name, message, stack } = answer.error;
      assert.deepEqual([name, message], [error.name, error.message]);
      const of = (one: Error) => [
        one instanceof IapeerError && one.exitCode,
        (one as { code?: unknown }).code,
      ];
      assert.deepEqual(of(answer.error), of(error));
      if (!(error instanceof IapeerError)) assert.equal(stack, error.stack);
      assert.equal(stageOf(ctx, id), "gone");
    }));
}

Deno.test("nothing is answered when nobody waits any more, or the request was withdrawn", () =>
  withRoot((ctx) => {
    const one = writeRequest(ctx, TICK);
    takeRequest(ctx, one.id);
    one.waiting.release();
    answerRequest(ctx, one.id, { done: [] });
    using _waiting = writeRequest(ctx, TICK).waiting;
    const [other] = listRequests(ctx);
    takeRequest(ctx, other!);
    removeRequest(ctx, other!);
    answerRequest(ctx, other!, { done: [] });
    assert.deepEqual(filesOf(ctx), []);
  }));

Deno.test("an answer of another protocol is none", () =>
  withRoot((ctx) => {
    put(ctx, "a.answer", JSON.stringify({ protocol: 2, done: [] }));
    put(ctx, "b.answer", '{"protocol":1,');
    assert.deepEqual([readAnswer(ctx, "a"), readAnswer(ctx, "b")], [undefined, undefined]);
  }));

Deno.test("the desk takes what lies there and what comes, side by side", () =>
  withRoot(async (ctx) => {
    let free = () => {};
    const held = new Promise<void>((go) => free = go);
    const early = writeRequest(ctx, { kind: "tick", verbose: true });
    await using _desk = open(ctx, async ({ verbose, thorough }) => {
      assert.equal(thorough, true);
      if (verbose) await held;
      return RESULTS;
    });
    const late = writeRequest(ctx, TICK);
    assert.deepEqual(await answered(ctx, late.id), RESULTS.results);
    assert.equal(stageOf(ctx, early.id), "taken");
    free();
    assert.deepEqual(await answered(ctx, early.id), RESULTS.results);
    for (const { waiting } of [early, late]) waiting.release();
  }));

Deno.test("the desk answers when its folder cannot be watched", () =>
  withRoot(async (ctx) => {
    const { watchFs } = Deno;
    Deno.watchFs = () => {
      throw new Error("No space left on device (os error 28)");
    };
    try {
      await using _desk = open(ctx);
      const { id, waiting } = writeRequest(ctx, TICK);
      using _waiting = waiting;
      assert.deepEqual(await answered(ctx, id), RESULTS.results);
    } finally {
      Deno.watchFs = watchFs;
    }
  }));

Deno.test("the desk answers what it has taken before it is finished, and takes nothing more", () =>
  withRoot(async (ctx) => {
    let free = () => {};
    const held = new Promise<void>((go) => free = go);
    const desk = open(ctx, () => held.then(() => RESULTS));
    const { id, waiting } = writeRequest(ctx, TICK);
    await until("it is taken", () => stageOf(ctx, id) === "taken");
    desk.shut();
    const other = writeRequest(ctx, TICK);
    desk.look();
    assert.equal(stageOf(ctx, other.id), "waits");
    const finished = desk.finished();
    free();
    await finished;
    assert.deepEqual(await answered(ctx, id), RESULTS.results);
    assert.equal(stageOf(ctx, other.id), "waits");
    for (const lock of [waiting, other.waiting]) lock.release();
  }));

Deno.test("the desk passes an error on and goes on", () =>
  withRoot(async (ctx) => {
    let first = true;
    await using _desk = open(ctx, () => {
      if (!first) return Promise.resolve(RESULTS);
      first = false;
      return Promise.reject(new UnknownStateError("Cannot tell"));
    });
    const bad = writeRequest(ctx, TICK);
    await assert.rejects(answered(ctx, bad.id), { name: "UnknownStateError", exitCode: 4 });
    const good = writeRequest(ctx, TICK);
    assert.deepEqual(await answered(ctx, good.id), RESULTS.results);
    for (const { waiting } of [bad, good]) waiting.release();
  }));

const MISUNDERSTOOD: Readonly<Record<string, readonly [text: string, says: RegExp]>> = {
  "no JSON": ['{"protocol":1,', /not understood \(.*\); use --direct$/],
  "an empty file": ["", /not understood/],
  "no object": ["null", /not understood/],
  "no protocol": ['{"kind":"tick"}', /names no protocol/],
  "a newer protocol": [
    '{"protocol":2,"kind":"tick"}',
    /speaks protocol 1 and does not know "tick" of protocol 2; use --direct, or update iapeer/,
  ],
  "an unknown kind": ['{"protocol":1,"kind":"dance"}', /does not know "dance" of protocol 1/],
  "a launch of nothing": ['{"protocol":1,"kind":"launch"}', /does not know "launch"/],
};

for (const [what, [text, says]] of Object.entries(MISUNDERSTOOD)) {
  Deno.test(`the desk refuses ${what} and goes on`, () =>
    withRoot(async (ctx) => {
      await using _desk = open(ctx);
      const bad = writeRequest(ctx, TICK);
      // In place: the lock stays with the file.
      Deno.writeTextFileSync(join(ctx.paths.requests, `${bad.id}.json`), text);
      await assert.rejects(answered(ctx, bad.id), { message: says, exitCode: 1 });
      const good = writeRequest(ctx, TICK);
      assert.deepEqual(await answered(ctx, good.id), RESULTS.results);
      for (const { waiting } of [bad, good]) waiting.release();
    }));
}

Deno.test("the desk does not follow a link and does not fail over a folder", () =>
  withRoot(async (ctx) => {
    const elsewhere = join(ctx.paths.root, "elsewhere");
    Deno.writeTextFileSync(elsewhere, JSON.stringify({ protocol: 1, ...TICK }));
    Deno.symlinkSync(elsewhere, join(ctx.paths.requests, "link.json"));
    Deno.mkdirSync(join(ctx.paths.requests, "folder.json"));
    let ticks = 0;
    await using _desk = open(ctx, () => Promise.resolve((ticks++, RESULTS)));
    const { id, waiting } = writeRequest(ctx, TICK);
    using _waiting = waiting;
    await answered(ctx, id);
    await until("they are gone", () => filesOf(ctx).join() === `${id}.answer`);
    assert.equal(ticks, 1);
  }));

Deno.test("the desk drops a request whose asker is gone", () =>
  withRoot(async (ctx) => {
    writeRequest(ctx, TICK).waiting.release();
    let ticks = 0;
    await using _desk = open(ctx, () => Promise.resolve((ticks++, RESULTS)));
    await until("it is dropped", () => filesOf(ctx).length === 0);
    assert.equal(ticks, 0);
    assert.match(Deno.readTextFileSync(ctx.paths.lifecycleLog), / ev=request-dropped .*kind=tick/);
  }));

Deno.test("the desk lets go of what a supervisor before it has left behind", () =>
  withRoot(async (ctx) => {
    const { id, waiting } = writeRequest(ctx, TICK);
    using _waiting = waiting;
    takeRequest(ctx, id);
    await using _desk = open(ctx);
    assert.equal(stageOf(ctx, id), "gone");
  }));

Deno.test("the desk leaves nothing behind when the answer cannot be written", () =>
  withRoot(async (ctx) => {
    await using _desk = open(ctx);
    const request = writeRequest(ctx, TICK);
    using _waiting = request.waiting;
    // A folder in its place: the file cannot be renamed to it.
    Deno.mkdirSync(join(ctx.paths.requests, `${request.id}.answer`, "x"), { recursive: true });
    await until("it is let go", () => stageOf(ctx, request.id) === "gone");
  }));
