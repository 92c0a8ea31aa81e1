import assert from "node:assert/strict";
import { writeClaim } from "../lib/claims.ts";
import { conclude } from "../lib/conclude.ts";
import type { Context } from "../lib/context.ts";
import { type Death, deathId, openDeath, readDeath, updateDeath } from "../lib/deaths.ts";
import { factsOf } from "../lib/death_facts.ts";
import { appendLine, readLines } from "../lib/log.ts";
import { sampleMemory } from "../lib/memory.ts";
import { curvesOf, timelineOf } from "../lib/timeline.ts";
import { noTools, result, withRoot } from "./fixtures/root.ts";

const AT = Date.UTC(2026, 10, 22, 5, 44, 45, 123);
const SERVER = { pid: 4242, startedAt: AT / 1000 - 3600 };
const HOST = { tools: noTools, now: () => AT + 500, platform: "linux" };

function deathOf(changes: Partial<Death> = {}): Death {
  const identity = changes.identity ?? "claude-bob";
  const server = changes.server ?? SERVER;
  return {
    id: deathId(identity, server),
    step: "recorded",
    identity,
    server,
    cause: "signal",
    signal: "SIGKILL",
    witness: "canary",
    mode: "own",
    observedAt: AT,
    ...changes,
  };
}

/** An entry whose line is on disk. */
function recorded(ctx: Context, changes: Partial<Death> = {}): Death {
  const death = deathOf(changes);
  openDeath(ctx, death);
  return death;
}

function verdictLines(ctx: Context): string[] {
  return readLines(ctx.paths, ctx.paths.exitsLog).filter((line) =>
    line.includes("ev=server-verdict")
  );
}

Deno.test("conclude() writes verdict, snapshot and entry on a machine without any tool", () =>
  withRoot(async (ctx) => {
    const closed = await conclude(ctx, recorded(ctx), false);
    assert.deepEqual([closed.step, closed.verdict, closed.confidence], [
      "closed",
      "killed",
      "possible",
    ]);
    assert.match(closed.reason!, /could not look at dmesg \(not found\)/);
    assert.equal(verdictLines(ctx).length, 1);
    assert.deepEqual({ ...readDeath(ctx, closed.id) }, { v: 1, ...closed });
    assert.match(
      await Deno.readTextFile(closed.forensics!),
      /^== verdict ==\nfrom: [^\n]*\nkilled \(possible\)$/m,
    );
  }, HOST));

Deno.test("conclude() after a crash of its own writes no line twice, whichever step it had reached", async () => {
  for (const reached of ["nothing", "verdict noted", "verdict written"]) {
    await withRoot(async (ctx) => {
      const death = recorded(ctx);
      const whole = await conclude(ctx, death, false);
      const { verdictAt: _verdict, snapshotAt: _snapshot, forensics: _path, ...noted } = whole;
      updateDeath(ctx, reached === "nothing" ? death : { ...noted, step: "recorded" });
      if (reached !== "verdict written") await Deno.remove(ctx.paths.exitsLog);
      const again = await conclude(ctx, readDeath(ctx, death.id)!, true);
      assert.equal(again.step, "closed");
      assert.equal(verdictLines(ctx).length, 1, reached);
      assert.equal([...Deno.readDirSync(ctx.paths.serverDeaths)].length, 1, reached);
    }, HOST);
  }
});

Deno.test("conclude() closes the entry though the snapshot cannot be written, and tells", () =>
  withRoot(async (ctx) => {
    await Deno.remove(ctx.paths.serverDeaths, { recursive: true });
    await Deno.writeTextFile(ctx.paths.serverDeaths, "in the way");
    const closed = await conclude(ctx, recorded(ctx), false);
    assert.equal(closed.step, "closed");
    assert.equal(closed.verdict, "killed");
    assert.equal(closed.forensics, undefined);
    const log = await Deno.readTextFile(ctx.paths.lifecycleLog);
    assert.match(log, /ev=conclude-failed .*step="write the snapshot of"/);
  }, HOST));

/** Tools of a machine without any, and what they were asked. */
function asked(
  answer: () => Promise<unknown> = () => Promise.resolve(),
): Context["host"]["tools"] & {
  readonly runs: string[];
} {
  const runs: string[] = [];
  return {
    runs,
    async run(tool, args) {
      runs.push(tool);
      await answer();
      return await noTools.run(tool, args);
    },
  };
}

Deno.test("conclude() asks the machine as often for fifty deaths as for one", async () => {
  const counts = await Promise.all([1, 50].map(async (size) => {
    const tools = asked();
    await withRoot(async (ctx) => {
      const deaths = Array.from(
        { length: size },
        (_, n) => recorded(ctx, { identity: `claude-n${n}`, server: { ...SERVER, pid: 5000 + n } }),
      );
      const closed = await Promise.all(deaths.map((death) => conclude(ctx, death, true)));
      assert(closed.every(({ step, verdict }) => step === "closed" && verdict === "killed"));
      assert.equal(new Set(closed.map(({ forensics }) => forensics)).size, size);
      assert.equal(verdictLines(ctx).length, size);
      assert.deepEqual(new Set(closed.map(({ peersLost = 0 }) => peersLost)), new Set([size - 1]));
    }, { ...HOST, tools });
    return tools.runs.sort();
  }));
  assert(counts[0]!.includes("dmesg") && counts[0]!.includes("ps"));
  assert.deepEqual(counts[1], counts[0]);
});

Deno.test("conclude() uses no answer that was asked for before the death was handed over", async () => {
  const answered = Promise.withResolvers<void>();
  const tools = asked(() => answered.promise);
  await withRoot(async (ctx) => {
    const first = conclude(ctx, recorded(ctx, { identity: "claude-a" }), false);
    await new Promise((wake) => setTimeout(wake, 0));
    const before = tools.runs.toSorted();
    assert(before.includes("dmesg"));
    const second = conclude(ctx, recorded(ctx, { identity: "claude-b" }), false);
    await new Promise((wake) => setTimeout(wake, 0));
    assert.deepEqual(tools.runs.toSorted(), [...before, ...before].sort());
    answered.resolve();
    assert.deepEqual((await Promise.all([first, second])).map(({ step }) => step), [
      "closed",
      "closed",
    ]);
  }, { ...HOST, tools });
});

Deno.test("conclude() counts the servers that were lost within two seconds, but those that nobody watched", () =>
  withRoot(async (ctx) => {
    recorded(ctx, { identity: "claude-a", observedAt: AT - 2000 });
    recorded(ctx, { identity: "claude-b", observedAt: AT + 1000 });
    recorded(ctx, { identity: "claude-c", observedAt: AT + 2001 });
    recorded(ctx, { identity: "claude-d", observedAt: AT, cause: "unobserved" });
    const { peersLost, reason } = await conclude(ctx, recorded(ctx), false);
    assert.equal(peersLost, 2);
    assert.match(reason!, /2 other servers of this root went at the same time/);
    assert.match(verdictLines(ctx)[0]!, / peers_lost=2 /);
    const unseen = recorded(ctx, { identity: "claude-e", cause: "unobserved" });
    assert.equal(factsOf(ctx, unseen).peersLost, 0);
  }, HOST));

Deno.test("conclude() keeps curve and children in the entry: a new server takes their place elsewhere", () =>
  withRoot(async (ctx) => {
    const head =
      "   PID   PPID   PGID    UID    RSS    VSZ     ELAPSED                  STARTED STAT TT       COMMAND         COMMAND\n";
    const row = (pid: number, ppid: number, name: string) =>
      [pid, ppid, pid, 0, 100, 999].map((figure) => String(figure).padStart(6)).join(" ") +
      `       01:00 Sun Nov 22 06:00:00 2026 S    ?        ${name.padEnd(15)} ${name}\n`;
    const ps = (stdout: string): Context => {
      const tools = { run: () => Promise.resolve(result({ stdout })) };
      return { ...ctx, host: { ...ctx.host, tools } };
    };
    const servers = (pid: number) => new Map([["claude-bob", pid]]);
    await sampleMemory(ps(head + row(4242, 1, "tmux") + row(4243, 4242, "claude")), servers(4242));
    const closed = await conclude(ctx, recorded(ctx), false);
    await sampleMemory(ps(head + row(5000, 1, "tmux")), servers(5000));
    assert.deepEqual(curvesOf(ctx, closed).memory, [[AT + 500, 200]]);
    assert.deepEqual(factsOf(ctx, closed).children, [{ pid: 4243, name: "claude" }]);
  }, HOST));

Deno.test("timelineOf() is in order, and knows claim and session-exit of before", () =>
  withRoot((ctx) => {
    const old = { ...ctx, host: { ...ctx.host, now: () => AT - 60_000 } };
    writeClaim(old, "claude-bob", SERVER, "stop", "iapeer stop");
    const ts = (ms: number) => new Date(ms).toISOString();
    for (
      const [at, identity, how] of [
        [AT - 90_000, "claude-bob", "dead_status=3 dead_signal="],
        [AT - 80_000, "claude-eve", "dead_status=4 dead_signal="],
        [AT - 70_000, "claude-bob", "dead_status= dead_signal=9"],
      ] as const
    ) {
      appendLine(
        ctx.paths,
        ctx.paths.exitsLog,
        `ts=${ts(at)} ev=session-exit identity=${identity} ${how}`,
      );
    }
    const death = deathOf({
      armed: { at: SERVER.startedAt * 1000 + 20 },
      recordedAt: AT + 4,
      verdictAt: AT + 300,
      snapshotAt: AT + 400,
    });
    assert.deepEqual(timelineOf(ctx, death).map(({ at, what }) => [at - AT, what]), [
      [-3_600_000, "server 4242 started"],
      [-3_599_980, "canary armed (own mode)"],
      [-70_000, "an earlier session of this identity ended by itself (signal 9)"],
      [-60_000, "claim by stop (iapeer stop), void when the server died"],
      [0, "death noticed by canary"],
      [4, "line in exits.log on disk"],
      [300, "verdict written"],
      [400, "snapshot on disk"],
    ]);
  }, HOST));

Deno.test("timelineOf() tells when a server was last seen, and nothing of another server's claim", () =>
  withRoot((ctx) => {
    writeClaim(ctx, "claude-bob", { pid: 1, startedAt: 1 }, "stop", "iapeer stop");
    const { signal: _signal, ...rest } = deathOf();
    const death: Death = {
      ...rest,
      cause: "unobserved",
      witness: "supervise",
      lastSeen: AT - 5000,
    };
    assert.deepEqual(timelineOf(ctx, death).map(({ what }) => what), [
      "server 4242 started",
      "server last seen alive",
      "death noticed by supervise",
    ]);
  }, HOST));
