import assert from "node:assert/strict";
import type { Context } from "../lib/context.ts";
import { globBase, idleSeconds } from "../lib/idle.ts";
import type { Policy, SessionRecord } from "../lib/sessions.ts";
import { inTempDir, noTools, toolsThat, withRoot } from "./fixtures/root.ts";

const LAUNCHED = Date.UTC(2026, 10, 22);
const RECORD: SessionRecord = {
  identity: "claude-bob",
  state: "running",
  external: false,
  sock: "/r/run/claude-bob.sock",
  launchedAt: LAUNCHED,
};
const POLICY: Policy = { restart: "never", idleSecs: 60 };

/** The clock so many seconds after the launch. */
function at(secs: number): { now: () => number } {
  return { now: () => LAUNCHED + secs * 1000 };
}

function touch(path: string, secs: number): void {
  Deno.writeTextFileSync(path, "");
  Deno.utimeSync(path, new Date(LAUNCHED + secs * 1000), new Date(LAUNCHED + secs * 1000));
}

function idle(ctx: Context, policy: Partial<Policy> = {}): Promise<number | undefined> {
  return idleSeconds(ctx, RECORD, { ...POLICY, ...policy });
}

Deno.test("idleSeconds() never tells of a session without a limit", () =>
  withRoot(async (ctx) => {
    assert.equal(await idleSeconds(ctx, RECORD, { restart: "never" }), undefined);
  }, at(1e6)));

Deno.test("idleSeconds() counts from the launch", async () => {
  await withRoot(async (ctx) => assert.equal(await idle(ctx), undefined), at(59.9));
  await withRoot(async (ctx) => assert.equal(await idle(ctx), 60), at(60));
});

Deno.test("idleSeconds() takes output for activity", () =>
  withRoot(async (ctx) => {
    touch(ctx.paths.paneLog("claude-bob"), 50);
    assert.equal(await idle(ctx), undefined);
    touch(ctx.paths.paneLog("claude-bob"), 30);
    assert.equal(await idle(ctx), 70);
  }, at(100)));

Deno.test("idleSeconds() is not fooled by a clock that was set back", () =>
  withRoot(async (ctx) => assert.equal(await idle(ctx), undefined), at(-5000)));

Deno.test("idleSeconds() is not fooled by a clock that was set forward", () => {
  const server = { pid: 42, startedAt: LAUNCHED / 1000, startTicks: 100_00 };
  const of = (ctx: Context) => idleSeconds(ctx, { ...RECORD, server }, POLICY);
  const after = (secs: number) => ({ ...at(18_000 + secs), uptime: () => 100 + secs });
  return withRoot(async (ctx) => assert.equal(await of(ctx), undefined), after(59))
    .then(() => withRoot(async (ctx) => assert.equal(await of(ctx), 60), after(60)));
});

Deno.test("idleSeconds() takes a change of a named file for activity", () =>
  inTempDir((dir) =>
    withRoot(async (ctx) => {
      Deno.mkdirSync(`${dir}/it's a [dir]`);
      const file = `${dir}/it's a [dir]/x.jsonl`;
      const activity = [`${dir}/none/*`, `${dir}/it's*/*.jsonl`];
      touch(file, 41);
      assert.equal(await idle(ctx, { activity }), undefined);
      touch(file, 39);
      assert.equal(await idle(ctx, { activity }), 100);
      touch(`${dir}/it's a [dir]/y.txt`, 90);
      assert.equal(await idle(ctx, { activity }), 100);
      assert.equal(await idle(ctx, { activity: [`${dir}/it's a \\[dir\\]/y.txt`] }), undefined);
      assert.deepEqual([...Deno.readDirSync(ctx.paths.locks)], []);
    }, at(100))
  ));

Deno.test("idleSeconds() reaps nothing when it cannot look", async () => {
  const activity = ["/home/bob/*"];
  const cannot = [noTools, toolsThat(() => ({ code: undefined, timedOut: true }))];
  for (const tools of cannot) {
    await withRoot(async (ctx) => {
      assert.equal(await idle(ctx, { activity }), undefined);
      assert.equal(await idle(ctx, { activity: [] }), 100);
    }, { ...at(100), tools });
  }
  await withRoot(async (ctx) => {
    Deno.removeSync(ctx.paths.locks, { recursive: true });
    assert.equal(await idle(ctx, { activity }), undefined);
  }, at(100));
});

Deno.test("globBase() stops above the first wildcard", () => {
  for (
    const [glob, base] of [
      ["/home/bob/x.log", "/home/bob/x.log"],
      ["/home/bob/*", "/home/bob"],
      ["/home/b?b/*/x", "/home"],
      ["/home/[ab]", "/home"],
      ["/*", "/"],
      ["/a/b\\*c/d", "/a"],
    ]
  ) assert.equal(globBase(glob!), base);
});
