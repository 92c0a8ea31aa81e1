import assert from "node:assert/strict";
import {
  type Death,
  deathId,
  listDeaths,
  openDeath,
  readDeath,
  snapshotPath,
  updateDeath,
} from "../lib/deaths.ts";
import { exitRecord } from "../lib/exits.ts";
import { readLines } from "../lib/log.ts";
import { parseLine } from "../lib/logfmt.ts";
import { withRoot } from "./fixtures/root.ts";

const DEATH: Death = {
  id: "claude-bob-4242-1795327507",
  step: "noticed",
  identity: "claude-bob",
  server: { pid: 4242, startedAt: 1795327507, startTicks: 99 },
  cause: "signal",
  signal: "SIGKILL",
  witness: "canary",
  mode: "own",
  observedAt: Date.UTC(2026, 10, 22, 5, 44, 45, 123),
};

Deno.test("deathId() names identity, pid and start", () => {
  assert.equal(deathId("claude-bob", DEATH.server), DEATH.id);
  assert.equal(deathId("claude-bob", { pid: 1, startedAt: 12.9 }), "claude-bob-1-12");
});

Deno.test("openDeath() is for the first witness", () =>
  withRoot((ctx) => {
    assert.equal(readDeath(ctx, DEATH.id), undefined);
    assert.equal(openDeath(ctx, DEATH), true);
    assert.equal(openDeath(ctx, { ...DEATH, witness: "supervise" }), false);
    assert.deepEqual({ ...readDeath(ctx, DEATH.id) }, { v: 1, ...DEATH });
    updateDeath(ctx, { ...DEATH, step: "closed" });
    assert.equal(readDeath(ctx, DEATH.id)!.step, "closed");
  }));

Deno.test("openDeath() throws when the storage refuses", () =>
  withRoot((ctx) => {
    Deno.removeSync(ctx.paths.deaths);
    assert.throws(() => openDeath(ctx, DEATH));
    assert.deepEqual(listDeaths(ctx), []);
  }));

Deno.test("listDeaths() gives the oldest first, and sets aside what it cannot read", () =>
  withRoot((ctx) => {
    const at = (pid: number, observedAt: number) => {
      const server = { pid, startedAt: 1 };
      openDeath(ctx, { ...DEATH, id: deathId("claude-bob", server), server, observedAt });
    };
    at(1, 300);
    at(2, 100);
    at(3, 200);
    for (const [pid, text] of [[7, ""], [8, '{"v":1,"id":"claude-bob-8-1"}'], [9, "[]"]]) {
      Deno.writeTextFileSync(ctx.paths.death(`claude-bob-${pid}-1`), `${text}`);
    }
    assert.deepEqual(listDeaths(ctx).map((death) => death.server.pid), [2, 3, 1]);
    const lines = readLines(ctx.paths, ctx.paths.lifecycleLog);
    assert.deepEqual(lines.map((line) => parseLine(line).get("ev")), [
      "corrupt-state",
      "corrupt-state",
      "corrupt-state",
    ]);
    assert.equal(listDeaths(ctx).length, 3);
    assert.equal(readLines(ctx.paths, ctx.paths.lifecycleLog).length, 3);
  }));

Deno.test("exitRecord() is one line that says what was observed", () =>
  withRoot((ctx) => {
    const forensics = `${ctx.paths.serverDeaths}/claude-bob-1795326285-4242.txt`;
    assert.equal(snapshotPath(ctx, DEATH), forensics);
    assert.equal(
      exitRecord(ctx, DEATH),
      "ts=2026-11-22T05:44:45.123Z ev=server-exit identity=claude-bob server_pid=4242 " +
        "cause=signal signal=SIGKILL witness=canary mode=own " +
        `death=claude-bob-4242-1795327507 forensics=${forensics}`,
    );
  }));

Deno.test("exitRecord() leaves out what is not known, and writes a 0 that is", () =>
  withRoot((ctx) => {
    const { signal: _signal, mode: _mode, ...death } = DEATH;
    const of = (fields: Partial<Death>) =>
      [
        ...parseLine(exitRecord(ctx, { ...death, ...fields })).keys(),
      ].slice(4, -3);
    assert.deepEqual(of({ cause: "orderly", waitRc: 0, mode: "attach" }), [
      "cause",
      "wait_rc",
      "witness",
    ]);
    assert.deepEqual(of({ cause: "exit-code", code: 0, mode: "own" }), [
      "cause",
      "code",
      "witness",
    ]);
    const found = parseLine(
      exitRecord(ctx, { ...death, cause: "unobserved", witness: "supervise", lastSeen: 0 }),
    );
    assert.equal(found.get("last_seen"), "1970-01-01T00:00:00.000Z");
    assert.equal(found.has("mode"), false);
  }));
