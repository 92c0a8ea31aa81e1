import assert from "node:assert/strict";
import type { Context } from "../lib/context.ts";
import { familyOf, memoryOf, sampleMemory } from "../lib/memory.ts";
import { parsePsTable } from "../lib/ps_table.ts";
import { result, toolsThat, withRoot } from "./fixtures/root.ts";

/** One process as `ps` lists it. */
type Row = readonly [pid: number, ppid: number, rssKiB: number, name: string];

function table(rows: readonly Row[]): string {
  const lines = rows.map(([pid, ppid, rss, name]) =>
    [
      ...[pid, ppid, pid, 0, rss, 999].map((figure) => String(figure).padStart(6)),
      "      01:00 Sun Nov 22 06:00:00 2026 S    ?       ",
      name.padEnd(15),
      `${name} -x`,
    ].join(" ")
  );
  const head =
    "   PID   PPID   PGID    UID    RSS    VSZ     ELAPSED                  STARTED STAT TT       COMMAND         COMMAND";
  return [head, ...lines].join("\n") + "\n";
}

/** A root whose machine has these processes, at this time. */
function machine(rows: readonly Row[], now: number) {
  const spawned: string[] = [];
  const tools = toolsThat((tool) => {
    spawned.push(tool);
    return { stdout: table(rows) };
  });
  return { tools, now: () => now, spawned };
}

/** The same root at a later look. */
function later(ctx: Context, rows: readonly Row[], now: number): Context {
  return { ...ctx, host: { ...ctx.host, ...machine(rows, now) } };
}

const MINUTE = 60_000;

Deno.test("familyOf() gives a process and its descendants, itself first", () => {
  const rows = parsePsTable(table([
    [30, 20, 1, "grandchild"],
    [10, 1, 1, "server"],
    [20, 10, 1, "child"],
    [40, 1, 1, "stranger"],
  ]));
  assert.deepEqual(familyOf(rows, 10).map(({ pid }) => pid), [10, 20, 30]);
  assert.deepEqual(familyOf(rows, 99), []);
});

Deno.test("familyOf() ends where processes claim to be each other's parents", () => {
  const rows = parsePsTable(table([[10, 20, 1, "a"], [20, 10, 1, "b"]]));
  assert.deepEqual(familyOf(rows, 10).map(({ pid }) => pid), [10, 20]);
});

const ROWS: readonly Row[] = [
  [10, 1, 100, "tmux: server"],
  [11, 10, 200, "sh"],
  [12, 11, 300, "claude"],
  [50, 1, 1000, "tmux: server"],
  [60, 1, 5000, "stranger"],
];

Deno.test("sampleMemory() adds up each session's processes with one ps for all", () => {
  const { spawned, ...host } = machine(ROWS, 5 * MINUTE);
  return withRoot(async (ctx) => {
    await sampleMemory(ctx, new Map([["claude-bob", 10], ["claude-eve", 50]]));
    assert.deepEqual(spawned, ["ps"]);
    const bob = memoryOf(ctx, "claude-bob", 10);
    assert.deepEqual(bob?.samples, [[5 * MINUTE, 600]]);
    assert.deepEqual(bob.children, [{ pid: 11, name: "sh" }, { pid: 12, name: "claude" }]);
    assert.deepEqual(memoryOf(ctx, "claude-eve", 50)?.samples, [[5 * MINUTE, 1000]]);
  }, host);
});

Deno.test("sampleMemory() starts nothing where nothing runs", () => {
  const { spawned, ...host } = machine(ROWS, 0);
  return withRoot(async (ctx) => {
    await sampleMemory(ctx, new Map());
    assert.deepEqual(spawned, []);
  }, host);
});

Deno.test("sampleMemory() keeps half an hour, and nothing of a clock that was ahead", () =>
  withRoot(async (ctx) => {
    const servers = new Map([["claude-bob", 10]]);
    const times = () => memoryOf(ctx, "claude-bob", 10)!.samples.map(([at]) => at / MINUTE);
    for (const at of [0, 10, 35, 39]) await sampleMemory(later(ctx, ROWS, at * MINUTE), servers);
    assert.deepEqual(times(), [10, 35, 39]);
    await sampleMemory(later(ctx, ROWS, 37 * MINUTE), servers);
    assert.deepEqual(times(), [10, 35, 37]);
  }));

Deno.test("sampleMemory() does not mix up two servers of one session", () =>
  withRoot(async (ctx) => {
    await sampleMemory(later(ctx, ROWS, MINUTE), new Map([["claude-bob", 10]]));
    await sampleMemory(later(ctx, ROWS, 2 * MINUTE), new Map([["claude-bob", 50]]));
    assert.equal(memoryOf(ctx, "claude-bob", 10), undefined);
    assert.deepEqual(memoryOf(ctx, "claude-bob", 50)?.samples, [[2 * MINUTE, 1000]]);
    assert.deepEqual(memoryOf(ctx, "claude-bob", 50)?.children, []);
  }));

Deno.test("sampleMemory() remembers the children that earlier looks saw, once each", () =>
  withRoot(async (ctx) => {
    const servers = new Map([["claude-bob", 10]]);
    await sampleMemory(later(ctx, ROWS, MINUTE), servers);
    const after = [...ROWS.filter(([pid]) => pid !== 12), [13, 11, 1, "node"] as const];
    await sampleMemory(later(ctx, after, 2 * MINUTE), servers);
    await sampleMemory(later(ctx, after, 3 * MINUTE), servers);
    const { children } = memoryOf(ctx, "claude-bob", 10)!;
    assert.deepEqual(children.map(({ pid }) => pid), [11, 13, 12]);
    const many: Row[] = Array.from({ length: 300 }, (_, n) => [1000 + n, 10, 1, "x"]);
    await sampleMemory(later(ctx, [...ROWS, ...many], 4 * MINUTE), servers);
    assert.equal(memoryOf(ctx, "claude-bob", 10)!.children.length, 100);
  }));

Deno.test("sampleMemory() keeps a dead server's curve for whoever concludes late, not for ever", () =>
  withRoot(async (ctx) => {
    await sampleMemory(later(ctx, ROWS, MINUTE), new Map([["claude-bob", 10], ["claude-eve", 50]]));
    const eve = new Map([["claude-eve", 50]]);
    await sampleMemory(later(ctx, ROWS, 2 * MINUTE), eve);
    assert.equal(memoryOf(ctx, "claude-bob", 10)?.samples.length, 1);
    await sampleMemory(later(ctx, ROWS, 40 * MINUTE), eve);
    assert.equal(memoryOf(ctx, "claude-bob", 10), undefined);
  }));

Deno.test("sampleMemory() changes nothing where ps fails", () =>
  withRoot(async (ctx) => {
    const servers = new Map([["claude-bob", 10]]);
    await sampleMemory(later(ctx, ROWS, MINUTE), servers);
    for (
      const answer of [{ code: 1 }, { code: undefined, failure: "ps: not found" }, { stdout: "?" }]
    ) {
      const tools = { run: () => Promise.resolve(result(answer)) };
      const host = { ...ctx.host, now: () => 2 * MINUTE, tools };
      await sampleMemory({ ...ctx, host }, servers);
    }
    assert.equal(memoryOf(ctx, "claude-bob", 10)?.samples.length, 1);
  }));

for (
  const text of [
    "",
    "{",
    "[]",
    "null",
    '{"sessions":7}',
    '{"sessions":{"claude-bob":null}}',
    '{"sessions":{"claude-bob":{"serverPid":10}}}',
  ]
) {
  Deno.test(`memoryOf() and sampleMemory() get over a file that holds ${text || "nothing"}`, () =>
    withRoot(async (ctx) => {
      await Deno.writeTextFile(`${ctx.paths.root}/state/memory.json`, text);
      assert.equal(memoryOf(ctx, "claude-bob", 10), undefined);
      await sampleMemory(later(ctx, ROWS, MINUTE), new Map([["claude-bob", 10]]));
      assert.equal(memoryOf(ctx, "claude-bob", 10)?.samples.length, 1);
    }));
}
