import assert from "node:assert/strict";
import { join } from "node:path";
import { writeClaim } from "../lib/claims.ts";
import { listDeaths } from "../lib/deaths.ts";
import { isLocked } from "../lib/locks.ts";
import { readSession } from "../lib/sessions.ts";
import { removeIfThere } from "../lib/store.ts";
import { canaryLock } from "../lib/watcher.ts";
import { canMount, Disk } from "./fixtures/disk.ts";
import { canBeNobody, Nobody } from "./fixtures/nobody.ts";
import { Live, type Session, SLEEP } from "./live.ts";
import { isRunning, readLog, type Running, sendSignal, until, untilGone } from "./live_host.ts";

const BOB = "claude-bob";

/** A session that is watched by a canary of which the test sees everything that it says. */
async function watched(live: Live): Promise<{ session: Session; canary: Running }> {
  const session = await live.launch(BOB);
  sendSignal(session.canaryPid, "SIGKILL");
  await untilGone(session.canaryPid, "the own canary");
  const canary = live.start(["canary", "--identity", BOB]);
  await live.until("it watches", () => canary.stdout().includes("ARMED "));
  return { session: { ...session, canaryPid: canary.pid }, canary };
}

/** A canary lets go of its lock when its first try has failed, and stays. */
async function untilHolding(live: Live, { canaryPid }: Session): Promise<void> {
  await live.until("the canary holds the death", () => !isLocked(canaryLock(live.ctx, BOB)));
  assert(await isRunning(canaryPid), "the canary holds the death");
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

/** One line says what is wrong, and no line comes twice. */
function assertSaidOnce(stderr: string, pattern: RegExp, most = 1): void {
  const said = lines(stderr);
  assert(said.some((line) => pattern.test(line)), stderr);
  assert(said.length <= most, `${said.length} lines, at most ${most}:\n${stderr}`);
  assert(!stderr.includes("internal error"), stderr);
}

/** The death is recorded, once, and a tick adds nothing. */
async function assertRecordedOnce(live: Live, session: Session): Promise<void> {
  await live.record("server-verdict", BOB);
  await untilGone(session.canaryPid, "the canary");
  await live.tick();
  const told = (ev: string) => live.records(ev, BOB).map((one) => one["death"]);
  assert.equal(told("server-exit").length, 1);
  assert.deepEqual(told("server-verdict"), told("server-exit"));
  assert.equal(live.records("server-exit", BOB)[0]!["server_pid"], String(session.serverPid));
}

/** A way in which a disk refuses, and back. */
interface Trouble {
  readonly name: string;
  readonly says: RegExp;
  begin(disk: Disk): void | Promise<void>;
  end(disk: Disk): void | Promise<void>;
}

const TROUBLES: readonly Trouble[] = [
  {
    name: "is full",
    says: /No space left on device/,
    begin: (disk) => disk.fill(),
    end: (disk) => disk.free(),
  },
  {
    name: "can only be read",
    says: /Read-only file system/,
    begin: (disk) => disk.makeReadOnly(),
    end: (disk) => disk.makeWritable(),
  },
];

for (const { name, says, begin, end } of TROUBLES) {
  const onDisk = (what: string, fn: (disk: Disk) => Promise<void>) =>
    Deno.test({
      name: `${what} (needs root, to mount a disk)`,
      ignore: !canMount,
      async fn() {
        await using disk = await Disk.open();
        await fn(disk);
      },
    });

  onDisk(
    `a canary holds a death while the disk ${name}, says so once, and writes it then`,
    async (disk) => {
      const { live } = disk;
      const { session, canary } = await watched(live);
      await begin(disk);
      sendSignal(session.serverPid, "SIGKILL");
      await live.until("the server is gone", async () => !await isRunning(session.serverPid));
      // Its second try has failed, too, when a whole run of the program is over.
      await live.cli(["status", BOB]);
      assert(await isRunning(canary.pid));
      assert.deepEqual(live.records("server-exit"), []);
      await end(disk);
      await assertRecordedOnce(live, session);
      const { code, stderr } = await canary.ended;
      assert.equal(code, 0, stderr);
      assertSaidOnce(stderr, says, 3);
      assert.equal(lines(stderr).filter((line) => line.includes("holding it")).length, 1, stderr);
    },
  );

  onDisk(`a server's own canary holds its death while the disk ${name}`, async (disk) => {
    const { live } = disk;
    const session = await live.launch(BOB);
    await begin(disk);
    sendSignal(session.serverPid, "SIGKILL");
    await live.until("the server is gone", async () => !await isRunning(session.serverPid));
    await live.cli(["status", BOB]);
    assert(await isRunning(session.canaryPid));
    await end(disk);
    await assertRecordedOnce(live, session);
    assert.equal(live.records("server-exit")[0]!["signal"], "SIGKILL");
  });

  onDisk(`launch on a disk that ${name} ends with one line, and starts nothing`, async (disk) => {
    const { live } = disk;
    await live.tick();
    await begin(disk);
    const { code, stdout, stderr } = await live.cli([
      "launch",
      "--identity",
      BOB,
      "--",
      ...SLEEP,
    ]);
    assert.deepEqual([code, stdout], [1, ""], stderr);
    assertSaidOnce(stderr, says);
    assert.deepEqual(await live.processes(), []);
    await end(disk);
    const session = await live.launch(BOB);
    assert(await isRunning(session.serverPid));
  });

  onDisk(
    `ticks go on while the disk ${name}, and the death is recorded once then`,
    async (disk) => {
      const { live } = disk;
      const session = await live.launch(BOB);
      const other = await live.launch("claude-ann");
      const daemon = live.start(["supervise", "--interval", "1"]);
      await live.until("it supervises", () => daemon.stdout().includes("SUPERVISING"));
      await begin(disk);
      sendSignal(session.serverPid, "SIGKILL");
      await live.until("the server is gone", async () => !await isRunning(session.serverPid));
      const { code, stderr } = await live.cli(["supervise", "--once"]);
      assert([0, 1].includes(code), stderr);
      assertSaidOnce(stderr, says, 3);
      assert(await isRunning(daemon.pid), "the daemon goes on");
      assert(await isRunning(other.serverPid));
      await end(disk);
      await live.record("server-verdict", BOB);
      daemon.kill("SIGTERM");
      const ended = await daemon.ended;
      assert.equal(ended.code, 0, ended.stderr);
      const said = lines(ended.stderr);
      assert.equal(new Set(said).size, said.length, ended.stderr);
      assert(said.length <= 5, ended.stderr);
      await assertRecordedOnce(live, session);
    },
  );
}

Deno.test("a canary whose root was deleted holds its death until there is one again", async () => {
  await using live = await Live.open();
  const { session, canary } = await watched(live);
  Deno.removeSync(live.root, { recursive: true });
  sendSignal(session.serverPid, "SIGKILL");
  await untilHolding(live, session);
  await live.tick();
  await assertRecordedOnce(live, session);
  const { code, stderr } = await canary.ended;
  assert.equal(code, 0, stderr);
  assertSaidOnce(stderr, /holding it/, 3);
  assert.equal(new Set(lines(stderr)).size, lines(stderr).length, stderr);
});

Deno.test("a canary that finds a file in the place of the journal holds its death until it is gone", async () => {
  await using live = await Live.open();
  const { session, canary } = await watched(live);
  const { deaths } = live.ctx.paths;
  Deno.removeSync(deaths, { recursive: true });
  Deno.writeTextFileSync(deaths, "");
  sendSignal(session.serverPid, "SIGKILL");
  await untilHolding(live, session);
  for (const args of [["supervise", "--once"], ["launch", "--identity", BOB, "--", ...SLEEP]]) {
    const { code, stderr } = await live.cli(args);
    assert.equal(code, 1);
    assertSaidOnce(stderr, /deaths": a file is in its place; move it away/);
  }
  assert(await isRunning(canary.pid));
  Deno.removeSync(deaths);
  await live.tick();
  await assertRecordedOnce(live, session);
  const { stderr } = await canary.ended;
  assertSaidOnce(stderr, /holding it/, 3);
  assert.equal(new Set(lines(stderr)).size, lines(stderr).length, stderr);
});

for (const wanted of [true, false]) {
  const end = wanted ? "lets go of a death that it names" : "records a death that was not wanted";
  Deno.test(`a canary that cannot read the claim holds its death, and ${end}`, async () => {
    await using live = await Live.open();
    const { session, canary } = await watched(live);
    const { ctx } = live;
    const claim = ctx.paths.claim(BOB);
    if (wanted) writeClaim(ctx, BOB, readSession(ctx, BOB)!.server!, "stop", "by the test");
    const kept = wanted ? Deno.readTextFileSync(claim) : undefined;
    removeIfThere(claim);
    Deno.mkdirSync(claim);
    sendSignal(session.serverPid, "SIGKILL");
    await untilGone(session.serverPid, "the server");
    const { outcome, reason } = await live.tickOf(BOB);
    assert.equal(outcome, "skipped-error");
    assert.match(reason!, /directory/);
    const { code, stderr } = await live.cli(["launch", "--identity", BOB, "--", ...SLEEP]);
    assert.equal(code, 1);
    assertSaidOnce(stderr, /Cannot use the storage: .*; mend that and try again/);
    assert(await isRunning(canary.pid), "the canary holds the death");
    assert(isLocked(canaryLock(ctx, BOB)), "no later session can put its claim in the place of it");
    assert.deepEqual([live.records("server-exit"), listDeaths(ctx)], [[], []]);
    Deno.removeSync(claim);
    if (kept !== undefined) Deno.writeTextFileSync(claim, kept);
    const ended = await canary.ended;
    assert.equal(ended.code, 0, ended.stderr);
    assertSaidOnce(ended.stderr, /holding it and trying again: .*directory/);
    await live.tick();
    const told = live.records("server-exit", BOB).map((fields) => fields["cause"]);
    assert.deepEqual(told, wanted ? [] : ["vanished"]);
    assert.equal(readSession(ctx, BOB)!.state, wanted ? "stopped" : "gone");
  });
}

Deno.test("a tick looks after a server that lives though its claim cannot be read", async () => {
  await using live = await Live.open();
  const session = await live.launch(BOB);
  sendSignal(session.canaryPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  Deno.mkdirSync(live.ctx.paths.claim(BOB));
  const { code, stdout, stderr } = await live.cli(["supervise", "--once", "--json"]);
  assert.equal(code, 0, stderr);
  assert.equal(JSON.parse(stdout)[0].outcome, "alive");
  assertSaidOnce(stderr, /cannot read the claim on claude-bob: /);
  assert.equal((await live.status(BOB)).canary.state, "armed");
});

Deno.test("corrupt, empty and cut entries beside good ones are set aside and lose nothing", async () => {
  await using live = await Live.open();
  const session = await live.launch(BOB);
  const { paths } = live.ctx;
  const whole = Deno.readTextFileSync(paths.session(BOB));
  const broken = ["", "{", "null", "[]", "\0\0\0\0", whole.slice(0, whole.length / 2), '{"v":1}'];
  broken.forEach((text, n) => {
    Deno.writeTextFileSync(paths.session(`claude-broken${n}`), text);
    Deno.writeTextFileSync(paths.death(`claude-broken${n}-7-1700000000`), text);
    Deno.writeTextFileSync(paths.claim(`claude-broken${n}`), text);
  });
  Deno.writeTextFileSync(paths.claim(BOB), broken[5]!);
  const outcomes = await live.tick();
  assert.equal(outcomes.find(({ identity }) => identity === BOB)!.outcome, "alive");
  const rest = outcomes.filter(({ identity }) => identity !== BOB);
  assert.deepEqual(rest.map((one) => one.outcome), broken.map(() => "skipped-error"));
  const aside = (dir: string) =>
    [...Deno.readDirSync(dir)].filter((entry) => entry.name.includes(".corrupt")).length;
  assert.deepEqual([aside(paths.sessions), aside(paths.deaths)], [broken.length, broken.length]);
  const noted = live.decisions("corrupt-state").length;
  assert.deepEqual((await live.tick()).map(({ identity }) => identity), [BOB]);
  assert.equal(live.decisions("corrupt-state").length, noted, "each is told of once");
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecordedOnce(live, session);
  assert.equal(live.records("server-exit").length, 1);
});

Deno.test("a record after a line that was cut starts on a line of its own", async () => {
  await using live = await Live.open();
  const session = await live.launch(BOB);
  const { exitsLog } = live.ctx.paths;
  const cut = "ts=2026-11-22T05:44:45.123Z ev=server-exit identity=claude-ann server_p";
  Deno.writeTextFileSync(exitsLog, cut);
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecordedOnce(live, session);
  assert.equal(Deno.readTextFileSync(exitsLog).split("\n")[0], cut);
  assert.equal(readLog(exitsLog).length, 3);
});

Deno.test({
  name:
    "a user who loses the right to look into state/ has the death recorded when it is back (needs a user without rights)",
  ignore: !canBeNobody,
  async fn() {
    await using live = await Live.open();
    await using nobody = await Nobody.of(live);
    const launched = await nobody.cli(["launch", "--identity", BOB, "--json", "--", ...SLEEP]);
    assert.equal(launched.code, 0, launched.stderr);
    const { serverPid, canaryPid } = JSON.parse(launched.stdout) as Session;
    const state = join(nobody.root, "state");
    Deno.chmodSync(state, 0);
    sendSignal(serverPid, "SIGKILL");
    await untilGone(serverPid, "the server");
    const { code, stderr } = await nobody.cli(["supervise", "--once"]);
    assert.equal(code, 1);
    assertSaidOnce(stderr, /Permission denied/);
    assert(await isRunning(canaryPid), "the canary holds the death");
    Deno.chmodSync(state, 0o700);
    const told = (ev: string) =>
      readLog(nobody.ctx.paths.exitsLog).filter((fields) => fields["ev"] === ev).length;
    await until("the verdict", () => told("server-verdict") > 0);
    await untilGone(canaryPid, "the canary");
    assert.equal((await nobody.cli(["supervise", "--once"])).code, 0);
    assert.deepEqual([told("server-exit"), told("server-verdict")], [1, 1]);
  },
});

Deno.test({
  name:
    "a stop whose claim cannot be read when its server ends stays silent (needs a user without rights)",
  ignore: !canBeNobody,
  async fn() {
    await using live = await Live.open();
    await using nobody = await Nobody.of(live);
    const launched = await nobody.cli(["launch", "--identity", BOB, "--json", "--", ...SLEEP]);
    assert.equal(launched.code, 0, launched.stderr);
    const { serverPid, canaryPid } = JSON.parse(launched.stdout) as Session;
    const { ctx } = nobody;
    writeClaim(ctx, BOB, readSession(ctx, BOB)!.server!, "stop", "by the test");
    const { uid, gid } = Deno.statSync(ctx.paths.claims);
    Deno.chownSync(ctx.paths.claim(BOB), uid, gid);
    const state = join(nobody.root, "state");
    Deno.chmodSync(state, 0);
    sendSignal(serverPid, "SIGKILL");
    await untilGone(serverPid, "the server");
    // Its first look has failed when a whole run of the program is over.
    await nobody.cli(["status", BOB]);
    assert(await isRunning(canaryPid), "the canary holds the death");
    Deno.chmodSync(state, 0o700);
    await untilGone(canaryPid, "the canary");
    assert.equal((await nobody.cli(["supervise", "--once"])).code, 0);
    assert.deepEqual(readLog(ctx.paths.exitsLog), []);
    assert.equal(readSession(ctx, BOB)!.state, "stopped");
  },
});
