import assert from "node:assert/strict";
import { runJob, withRoot } from "./fixtures/root.ts";
import { Live, type Session } from "./live.ts";
import { sendSignal, untilGone } from "./live_host.ts";

const NAMES = ["ann", "bob", "cho", "dan"].map((name) => `claude-${name}`);

/** Each server has died once, has one record and one verdict, and nothing runs any more. */
async function assertBooks(live: Live, sessions: readonly Session[]): Promise<void> {
  await live.until(
    "all verdicts",
    () => live.records("server-verdict").length >= sessions.length,
  );
  for (const { canaryPid } of sessions) await untilGone(canaryPid, "the canary");
  await live.tick();
  const pids = sessions.map(({ serverPid }) => String(serverPid)).sort();
  const records = live.records("server-exit");
  assert.deepEqual(records.map((one) => one["server_pid"]).sort(), pids);
  const verdicts = live.records("server-verdict").map((one) => one["death"]).sort();
  assert.deepEqual(verdicts, records.map((one) => one["death"]).sort());
  assert.deepEqual(await live.processes(), []);
}

async function launchAll(live: Live): Promise<Session[]> {
  return await Promise.all(NAMES.map((name) => live.launch(name)));
}

Deno.test("a second supervisor is refused, and the deaths of the root are recorded once each", async () => {
  await using live = await Live.open();
  const sessions = await launchAll(live);
  const first = live.start(["supervise", "--interval", "1"]);
  await live.until("it supervises", () => first.stdout().includes("SUPERVISING"));
  const second = live.start(["supervise", "--interval", "1"]);
  for (const { serverPid } of sessions) sendSignal(serverPid, "SIGKILL");
  const { code, stderr } = await second.ended;
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^iapeer: .*a supervisor is at work on it already/);
  await live.until("all verdicts", () => live.records("server-verdict").length >= NAMES.length);
  first.kill("SIGTERM");
  assert.equal((await first.ended).code, 0);
  await assertBooks(live, sessions);
});

Deno.test("ticks by hand beside a daemon record each death once, whoever finds it", async () => {
  await using live = await Live.open();
  const sessions = await launchAll(live);
  const daemon = live.start(["supervise", "--interval", "1"]);
  await live.until("it supervises", () => daemon.stdout().includes("SUPERVISING"));
  const ticks = [1, 2, 3].map(() => live.cli(["supervise", "--once"]));
  for (const [n, { serverPid, canaryPid }] of sessions.entries()) {
    // Half of the canaries see nothing: the ticks have to.
    if (n % 2 === 0) sendSignal(canaryPid, "SIGKILL");
    sendSignal(serverPid, "SIGKILL");
  }
  for (const { code, stderr } of await Promise.all(ticks)) assert.equal(code, 0, stderr);
  await live.until("all verdicts", () => live.records("server-verdict").length >= NAMES.length);
  daemon.kill("SIGTERM");
  assert.equal((await daemon.ended).code, 0);
  await assertBooks(live, sessions);
});

Deno.test("many ticks at once record deaths that nobody saw once each", async () => {
  await using live = await Live.open();
  const sessions = await launchAll(live);
  for (const { serverPid, canaryPid } of sessions) {
    sendSignal(canaryPid, "SIGKILL");
    await untilGone(canaryPid, "the canary");
    sendSignal(serverPid, "SIGKILL");
    await untilGone(serverPid, "the server");
  }
  const ticks = await Promise.all([1, 2, 3, 4].map(() => live.cli(["supervise", "--once"])));
  for (const { code, stderr } of ticks) assert.equal(code, 0, stderr);
  await assertBooks(live, sessions);
});

Deno.test("launches of one session at once after its death give one server and one record", async () => {
  await using live = await Live.open();
  const old = await live.launch("claude-bob");
  sendSignal(old.serverPid, "SIGKILL");
  const args = ["launch", "--identity", "claude-bob", "--json", "--", "sleep", "10000"];
  const ran = await Promise.all([1, 2, 3].map(() => live.cli(args)));
  const up = ran.filter(({ code }) => code === 0);
  assert.equal(up.length, 1, ran.map(({ stderr }) => stderr).join(""));
  const young: Session = JSON.parse(up[0]!.stdout);
  sendSignal(young.serverPid, "SIGKILL");
  await assertBooks(live, [old, young]);
});

Deno.test("100,000 lines of 8 processes are neither lost, torn nor doubled, and the log keeps to its size", () =>
  withRoot(async ({ paths }) => {
    const writers = Array.from({ length: 8 }, (_, n) => `w${n}`);
    const each = 12_500;
    const limit = 20_000;
    const job = (name: string) => runJob("append", paths.root, name, String(each), String(limit));
    await Promise.all(writers.map(job));
    const files = [...Deno.readDirSync(paths.logs)].map(({ name }) => name)
      .filter((name) => name.startsWith("lifecycle.log"))
      // Oldest first: the higher its number, the older a file is.
      .sort((a, b) => Number(b.split(".")[2] ?? 0) - Number(a.split(".")[2] ?? 0));
    const largest = Math.max(...files.map((file) => Deno.statSync(`${paths.logs}/${file}`).size));
    // How far it goes over depends on how long a writer that has the lock is kept from going on.
    assert(largest < 20 * limit, `the largest file has ${largest} bytes`);
    const next = new Map(writers.map((name) => [name, 0]));
    for (const file of files) {
      const lines = Deno.readTextFileSync(`${paths.logs}/${file}`).split("\n");
      assert.equal(lines.pop(), "", `${file} ends with a whole line`);
      for (const line of lines) {
        const name = line.slice("writer=".length, line.indexOf(" "));
        const n = next.get(name);
        assert.equal(line, `writer=${name} n=${n} filler=${"x".repeat(n! % 90)}`);
        next.set(name, n! + 1);
      }
    }
    assert.deepEqual([...next.values()], writers.map(() => each));
  }));
