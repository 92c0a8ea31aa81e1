import assert from "node:assert/strict";
import {
  assertNoRequests,
  daemon,
  dieAt,
  HeldLaunch,
  parentOf,
  servers,
  taken,
  waits,
} from "./fixtures/daemon.ts";
import { Live, type Outcome, SLEEP } from "./live.ts";
import { isRunning, sendSignal, untilGone } from "./live_host.ts";

const LAUNCH = ["launch", "--identity", "claude-bob", "--json", "--", ...SLEEP];
const DIRECT = /^iapeer: the supervisor .*; doing it without the supervisor\n$/;

/** The launch came to one server, which is the one that it told of, and that is watched. */
async function assertOne(live: Live, { code, stdout, stderr }: Awaited<ReturnType<Live["cli"]>>) {
  assert.equal(code, 0, stderr);
  const { serverPid, canaryPid } = JSON.parse(stdout);
  assert.deepEqual(await servers(live), [serverPid]);
  const { state, server, canary } = await live.status("claude-bob");
  assert.deepEqual([state, server?.pid, canary.pid], ["alive", serverPid, canaryPid]);
  assert.deepEqual(live.records("server-exit"), []);
  assertNoRequests(live);
}

for (
  const point of [
    "serve:taken",
    "launch:locked",
    "launch:room-made",
    "launch:starting-written",
    "launch:canary-spawned",
    "launch:reported",
    "launch:running-written",
    "serve:done",
  ]
) {
  Deno.test(`a supervisor that dies at ${point}: one server, and the launch tells of it`, async () => {
    await using live = await Live.open();
    const supervisor = await daemon(live, dieAt(live, point));
    const ran = await live.cli(LAUNCH);
    assert.equal((await supervisor.ended).signal, "SIGKILL");
    assert.match(ran.stderr, DIRECT);
    await assertOne(live, ran);
    await daemon(live);
    assert.equal((await live.tickOf("claude-bob")).outcome, "alive");
    assert.equal((await servers(live)).length, 1);
  });
}

for (const point of ["request:answered", "serve:answered"]) {
  Deno.test(`a supervisor that dies at ${point} has given its answer`, async () => {
    await using live = await Live.open();
    const supervisor = await daemon(live, dieAt(live, point));
    const ran = await live.cli(LAUNCH);
    assert.equal((await supervisor.ended).signal, "SIGKILL");
    assert.equal(ran.stderr, "");
    await assertOne(live, ran);
  });
}

Deno.test("a request of a supervisor that died is finished though another has come meanwhile", async () => {
  await using live = await Live.open();
  const first = await daemon(live);
  const held = new HeldLaunch(live, "claude-bob");
  await held.begun();
  held.running.kill("SIGSTOP");
  first.kill("SIGKILL");
  await first.ended;
  await daemon(live);
  held.running.kill("SIGCONT");
  held.letGo();
  await assertOne(live, await held.running.ended);
});

Deno.test("a supervisor that dies before it has taken a request: the launch is done without it", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  supervisor.kill("SIGSTOP");
  const launching = live.start(LAUNCH);
  await waits(live);
  supervisor.kill("SIGKILL");
  const ran = await launching.ended;
  assert.match(ran.stderr, DIRECT);
  await assertOne(live, ran);
});

Deno.test("a supervisor that a signal holds up does not hold up a launch, nor repeats it when it wakes", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  supervisor.kill("SIGSTOP");
  const ran = await live.cli(LAUNCH);
  assert.match(ran.stderr, new RegExp(`the supervisor ${supervisor.pid} does not react; doing it`));
  await assertOne(live, ran);
  supervisor.kill("SIGCONT");
  const ann = await live.launch("claude-ann");
  assert.equal(await parentOf(live, ann.canaryPid), supervisor.pid);
  assert.equal((await servers(live)).length, 2);
});

Deno.test("a supervisor that hangs in the midst of a launch: state unknown, and one server when it wakes", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  const held = new HeldLaunch(live, "claude-bob");
  await held.begun();
  supervisor.kill("SIGSTOP");
  const { code, stdout, stderr } = await held.running.ended;
  assert.deepEqual([code, stdout], [4, ""]);
  assert.match(
    stderr,
    new RegExp(
      `\niapeer: Cannot tell whether "claude-bob" was launched: the supervisor ${supervisor.pid} has begun it and hangs; see: iapeer status claude-bob\n$`,
    ),
  );
  held.letGo();
  supervisor.kill("SIGCONT");
  await live.until("it runs", async () => {
    const { code } = await live.cli(["status", "claude-bob"]);
    return code === 0;
  });
  assert.equal((await servers(live)).length, 1);
  assert.deepEqual(live.records("server-exit"), []);
  await live.until("nothing is left", () => taken(live) === 0);
  assertNoRequests(live);
});

Deno.test("a launch that waits its turn at a supervisor that hangs is done without it, and not again", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  const held = Array.from({ length: 8 }, (_, n) => new HeldLaunch(live, `held-${n}`));
  await live.until("all are under way", async () => (await servers(live)).length === held.length);
  const launching = live.start(LAUNCH);
  await live.until("it is taken", () => taken(live) === held.length + 1);
  supervisor.kill("SIGSTOP");
  const { code, stdout, stderr } = await launching.ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, new RegExp(`the supervisor ${supervisor.pid} hangs; doing it without`));
  const { serverPid, canaryPid } = JSON.parse(stdout);
  await live.ok(["stop", "claude-bob"]);
  await untilGone(canaryPid, "the canary");
  supervisor.kill("SIGCONT");
  for (const one of held) one.letGo();
  for (const { running } of held) await running.ended;
  await live.until("all are served", () => live.decisions("request-served").length === 9);
  assert.match(live.decisions("request-served", "claude-bob")[0]!["error"]!, /was withdrawn/);
  assert(!await isRunning(serverPid));
  assert.equal((await live.status("claude-bob")).state, "stopped");
});

Deno.test("a client that is killed after its request was taken: the session comes up all the same", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  const held = new HeldLaunch(live, "claude-bob");
  await held.begun();
  held.running.kill("SIGKILL");
  held.letGo();
  await live.until("it is served", () => live.decisions("request-served").length === 1);
  const { state, canary } = await live.status("claude-bob");
  assert.equal(state, "alive");
  assert.equal(await parentOf(live, canary.pid!), supervisor.pid);
  await live.until("nothing is left", () => taken(live) === 0);
  assertNoRequests(live);
});

Deno.test("a client that is killed before its request was taken: it is dropped", async () => {
  await using live = await Live.open();
  const supervisor = await daemon(live);
  supervisor.kill("SIGSTOP");
  const launching = live.start(LAUNCH);
  await waits(live);
  launching.kill("SIGKILL");
  await launching.ended;
  supervisor.kill("SIGCONT");
  const [dropped] = await live.until("it is dropped", () => {
    const lines = live.decisions("request-dropped");
    return lines.length > 0 && lines;
  });
  assert.deepEqual([dropped!["kind"], dropped!["reason"]], ["launch", "whoever asked is gone"]);
  assert.deepEqual(await servers(live), []);
  assertNoRequests(live);
});

for (const point of ["request:temporary-written", "request:written", "request:dismissed"]) {
  Deno.test(`a client that dies at ${point} leaves at most one server`, async () => {
    await using live = await Live.open();
    await daemon(live, point === "request:dismissed" ? dieAt(live, "launch:reported") : {});
    const env = { IAPEER_TEST_FAULT: `launch ${point} 1 ${live.root}/faults.log` };
    assert.equal((await live.cli(LAUNCH, { env })).signal, "SIGKILL");
    const again = await live.cli(["launch", "--replace", ...LAUNCH.slice(1)]);
    // The first one may be under way yet.
    assert(again.code === 0 || /is under way/.test(again.stderr), again.stderr);
    await live.until("it runs", async () => {
      await live.tick();
      return (await live.status("claude-bob")).state === "alive";
    });
    assert.equal((await servers(live)).length, 1);
    assert.deepEqual(live.records("server-exit"), []);
  });
}

Deno.test("a tick by hand is done without the supervisor that died in the midst of it", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  const env = { IAPEER_TEST_FAULT: `supervise tick:locked 2 ${live.root}/faults.log` };
  const supervisor = await daemon(live, env);
  const { code, stdout, stderr } = await live.cli(["supervise", "--once", "--json"]);
  assert.equal(code, 0, stderr);
  assert.equal((await supervisor.ended).signal, "SIGKILL");
  assert.match(stderr, DIRECT);
  const [one] = JSON.parse(stdout) as Outcome[];
  assert.equal(one?.outcome, "alive");
  assertNoRequests(live);
  sendSignal(session.serverPid, "SIGKILL");
  await live.record("server-exit", "claude-bob");
});

Deno.test("a tick by hand is not held up by a supervisor that a signal holds up", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob");
  const supervisor = await daemon(live);
  await live.tick();
  supervisor.kill("SIGSTOP");
  const { code, stderr } = await live.cli(["supervise", "--once"]);
  supervisor.kill("SIGCONT");
  assert.equal(code, 0, stderr);
  assert.match(stderr, DIRECT);
});
