import assert from "node:assert/strict";
import type { Context } from "../lib/context.ts";
import { denoHost, incarnationOf } from "../lib/host.ts";
import { tick } from "../lib/lifecycle.ts";
import { tryLock } from "../lib/locks.ts";
import type { Tools } from "../lib/process.ts";
import { type SessionRecord, writeSession } from "../lib/sessions.ts";
import { canaryLock } from "../lib/watcher.ts";
import { withRoot } from "./fixtures/root.ts";

/** This machine's tools; what was started is written down. */
function counted(started: string[]): Tools {
  return {
    run(tool, args, options) {
      started.push(tool);
      return denoHost.tools.run(tool, args, options);
    },
  };
}

/** Sessions that live, each with an armed canary: this very process plays all parts. */
async function fleet(ctx: Context, size: number): Promise<DisposableStack> {
  const server = (await incarnationOf(denoHost, Deno.pid))!;
  const locks = new DisposableStack();
  for (let n = 0; n < size; n++) {
    const identity = `claude-n${n}`;
    const record: SessionRecord = {
      identity,
      state: "running",
      external: n % 5 === 4,
      sock: ctx.paths.sock(identity),
      spec: {
        argv: ["true"],
        cwd: "/",
        env: {},
        size: "80x24",
        policy: { restart: "always", idleSecs: 3600 },
      },
      server,
      panePid: Deno.pid,
      mode: "own",
      launchedAt: Date.now(),
    };
    writeSession(ctx, record);
    Deno.writeTextFileSync(record.sock, "");
    const lock = locks.use(tryLock(canaryLock(ctx, identity))!);
    lock.note(JSON.stringify({ pid: Deno.pid, mode: "own", sock: record.sock, server }));
  }
  return locks;
}

/** The programs that one tick over so many sessions starts. */
async function startedFor(size: number): Promise<string[]> {
  const started: string[] = [];
  await withRoot(async (ctx) => {
    using _locks = await fleet(ctx, size);
    const { results } = await tick(ctx);
    assert.equal(results.length, size);
    const outcomes = new Set(results.map(({ outcome, reason }) => `${outcome} ${reason ?? ""}`));
    assert.deepEqual([...outcomes].sort(), ["alive ", "skipped-external "].slice(0, size));
  }, { tools: counted(started) });
  return started.sort();
}

Deno.test("tick() starts as many programs for fifty sessions that live as for one", async () => {
  const one = await startedFor(1);
  assert(one.length > 0);
  assert.deepEqual(await startedFor(50), one);
});
