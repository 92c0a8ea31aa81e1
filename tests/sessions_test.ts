import assert from "node:assert/strict";
import { readLines } from "../lib/log.ts";
import { parseLine } from "../lib/logfmt.ts";
import {
  listSessions,
  lockSession,
  needSession,
  readSession,
  rested,
  type SessionRecord,
  troubleWith,
  writeSession,
} from "../lib/sessions.ts";
import { withRoot } from "./fixtures/root.ts";

const RECORD: SessionRecord = {
  identity: "claude-bob",
  state: "running",
  external: false,
  sock: "/r/run/claude-bob.sock",
  spec: {
    argv: ["claude", ""],
    cwd: "/home/bob",
    env: { A: "é\n" },
    size: "220x50",
    policy: { restart: "on-failure", idleSecs: 60, activity: ["/x/*"] },
  },
  server: { pid: 42, startedAt: 1000, startTicks: 7 },
  panePid: 43,
  mode: "own",
  bootId: "b",
  launchedAt: 1,
};

Deno.test("writeSession() writes what readSession() reads", () =>
  withRoot((ctx) => {
    assert.equal(readSession(ctx, "claude-bob"), undefined);
    writeSession(ctx, RECORD);
    assert.deepEqual({ ...readSession(ctx, "claude-bob") }, { v: 1, ...RECORD });
    assert.deepEqual(needSession(ctx, "claude-bob"), readSession(ctx, "claude-bob"));
    writeSession(ctx, { ...RECORD, identity: "claude-ann" });
    assert.deepEqual(listSessions(ctx), ["claude-ann", "claude-bob"]);
  }));

Deno.test("writeSession() throws when the storage refuses", () =>
  withRoot((ctx) => {
    Deno.removeSync(ctx.paths.sessions);
    assert.throws(() => writeSession(ctx, RECORD));
  }));

for (
  const [what, record] of [
    ["of another identity", { ...RECORD, identity: "claude-ann" }],
    ["without a socket", { ...RECORD, sock: undefined }],
    ["without a state", { ...RECORD, state: undefined }],
    ["with a time that is none", { ...RECORD, launchedAt: "now" }],
    ["with a pid that is none", { ...RECORD, server: { pid: 1.5, startedAt: 1 } }],
    ["with a server that is none", { ...RECORD, server: 42 }],
    ["with a program that is none", { ...RECORD, spec: { ...RECORD.spec, argv: [] } }],
    ["without a policy", { ...RECORD, spec: { ...RECORD.spec, policy: undefined } }],
    ["with no environment", { ...RECORD, spec: { ...RECORD.spec, env: null } }],
    ["without a size", { ...RECORD, spec: { ...RECORD.spec, size: undefined } }],
    ["that is a list", []],
  ] as const
) {
  Deno.test(`readSession() sets aside a record ${what}, and says so`, () =>
    withRoot((ctx) => {
      Deno.writeTextFileSync(ctx.paths.session("claude-bob"), JSON.stringify(record));
      assert.equal(readSession(ctx, "claude-bob"), undefined);
      assert.deepEqual(listSessions(ctx), []);
      const fields = parseLine(readLines(ctx.paths, ctx.paths.lifecycleLog)[0]!);
      assert.equal(fields.get("ev"), "corrupt-state");
      assert.equal(fields.get("aside"), `${ctx.paths.session("claude-bob")}.corrupt`);
    }));
}

Deno.test("needSession() says where to look", () =>
  withRoot((ctx) => {
    assert.throws(() => needSession(ctx, "claude-bob"), {
      name: "IapeerError",
      exitCode: 1,
      message:
        'Cannot find the session "claude-bob": no session of that identity is known; see: iapeer status',
    });
  }));

Deno.test("rested() takes the server away, and nothing else", () => {
  const { server: _server, panePid: _panePid, mode: _mode, ...rest } = RECORD;
  assert.deepEqual(rested(RECORD, { state: "gone", lastDeath: "d" }), {
    ...rest,
    state: "gone",
    lastDeath: "d",
  });
});

Deno.test("lockSession() lets one operation at a time have a session", () =>
  withRoot(async (ctx) => {
    using _one = await lockSession(ctx, "claude-bob", 0);
    assert.equal(await lockSession(ctx, "claude-bob", 0), undefined);
    using other = await lockSession(ctx, "claude-ann", 0);
    assert(other);
  }));

Deno.test("troubleWith() tells what is wrong with a record and leaves it where it is", () =>
  withRoot((ctx) => {
    const file = ctx.paths.session("claude-bob");
    assert.equal(troubleWith(ctx, "claude-bob"), undefined, "none is there");
    const whole = { identity: "claude-bob", sock: "/s", state: "gone", launchedAt: 1 };
    const of = (text: string) => {
      Deno.writeTextFileSync(file, text);
      const trouble = troubleWith(ctx, "claude-bob");
      assert.equal(Deno.readTextFileSync(file), text);
      return trouble;
    };
    assert.equal(of(JSON.stringify(whole)), undefined);
    assert.equal(of(JSON.stringify({ v: 1, ...whole })), undefined);
    assert.deepEqual(of(JSON.stringify({ v: 2 })), { kind: "newer", why: "format 2" });
    assert.equal(of("{")?.kind, "corrupt");
    assert.equal(of("null")?.kind, "corrupt");
    assert.deepEqual(of(JSON.stringify({ ...whole, identity: "codex-ann" })), {
      kind: "corrupt",
      why: "it is of another session",
    });
    assert.deepEqual([...Deno.readDirSync(ctx.paths.sessions)].map(({ name }) => name), [
      "claude-bob.json",
    ]);
    Deno.removeSync(file);
    Deno.mkdirSync(file);
    assert.equal(troubleWith(ctx, "claude-bob")?.kind, "closed");
  }));
