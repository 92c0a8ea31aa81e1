import assert from "node:assert/strict";
import { DEFAULTS } from "../lib/config.ts";
import { readLines } from "../lib/log.ts";
import { parseLine } from "../lib/logfmt.ts";
import { rotatePaneLog } from "../lib/pane_log.ts";
import type { SessionRecord } from "../lib/sessions.ts";
import { isThere } from "../lib/store.ts";
import { toolsThat, withRoot } from "./fixtures/root.ts";
import { Live } from "./live.ts";

const BOB = "claude-bob";
const RECORD: SessionRecord = {
  identity: BOB,
  state: "running",
  external: false,
  sock: "/nowhere/s",
  launchedAt: 0,
};

/** A log of so many bytes, with `text` in front. */
function grow(path: string, size: number, text = ""): void {
  Deno.writeTextFileSync(path, text, { append: true });
  Deno.truncateSync(path, size);
}

Deno.test("rotatePaneLog() moves a log that is full, and has the server begin it anew", async () => {
  const asked: string[][] = [];
  const tools = toolsThat((_tool, args) => {
    asked.push([...args]);
    return {};
  });
  await withRoot(async (ctx) => {
    const log = ctx.paths.paneLog(BOB);
    await rotatePaneLog(ctx, RECORD);
    grow(log, DEFAULTS.logBytes - 1);
    await rotatePaneLog(ctx, RECORD);
    assert.deepEqual([asked, isThere(`${log}.1`)], [[], false], "neither none nor a small one");
    for (let n = 1; n <= DEFAULTS.logsKept + 2; n++) {
      grow(log, DEFAULTS.logBytes, `${n}`);
      await rotatePaneLog(ctx, RECORD);
      assert.equal(isThere(log), false);
    }
    const first = (n: number) => Deno.readTextFileSync(`${log}.${n}`)[0];
    const kept = Array.from({ length: DEFAULTS.logsKept }, (_, n) => first(n + 1));
    assert.deepEqual(kept, ["7", "6", "5", "4", "3"]);
    assert.equal(isThere(`${log}.${DEFAULTS.logsKept + 1}`), false);
    assert.equal(asked.length, DEFAULTS.logsKept + 2);
    const [args] = asked as [string[]];
    assert(args.includes(RECORD.sock) && args.includes("pipe-pane"), args.join(" "));
    assert(args.at(-1)!.includes(log), args.at(-1));
  }, { tools });
});

Deno.test("rotatePaneLog() says why a log cannot be rotated, and throws nothing", () =>
  withRoot(async (ctx) => {
    const log = ctx.paths.paneLog(BOB);
    grow(log, DEFAULTS.logBytes);
    Deno.writeTextFileSync(`${log}.4`, "");
    Deno.mkdirSync(`${log}.5/in-the-way`, { recursive: true });
    await rotatePaneLog(ctx, RECORD);
    const [said] = readLines(ctx.paths, ctx.paths.lifecycleLog).map(parseLine);
    assert.equal(said!.get("ev"), "pane-log-failed");
    assert.equal(said!.get("identity"), BOB);
  }, { tools: toolsThat(() => ({})) }));

Deno.test("a tick rotates a session's full log, and its output goes on in the new one", async () => {
  await using live = await Live.open();
  const session = await live.launch(BOB, [], ["cat"]);
  const log = live.ctx.paths.paneLog(BOB);
  const type = async (text: string) => {
    const { code, stderr } = await live.tmux(session.sock, "send-keys", "-t", `=${BOB}:`, text);
    assert.equal(code, 0, stderr);
    await live.until(text, () => isThere(log) && Deno.readTextFileSync(log).includes(text));
  };
  await type("before");
  Deno.truncateSync(log, DEFAULTS.logBytes);
  assert.equal((await live.tickOf(BOB)).outcome, "alive");
  assert.equal(live.decisions("pane-log-rotated", BOB).length, 1);
  assert.equal(Deno.statSync(`${log}.1`).size, DEFAULTS.logBytes);
  assert(Deno.readTextFileSync(`${log}.1`).startsWith("before"));
  await type("after");
  assert.equal(Deno.statSync(log).mode! & 0o777, 0o600);
  assert.equal(Deno.statSync(`${log}.1`).size, DEFAULTS.logBytes);
});
