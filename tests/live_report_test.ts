import assert from "node:assert/strict";
import { Live } from "./live.ts";
import { isRunning, processesOf, sendSignal, untilGone } from "./live_host.ts";

Deno.test("status shows every session as a table and as JSON", async () => {
  await using live = await Live.open();
  assert.match(await live.ok(["status"]), /^No sessions\. Launch one with: iapeer launch /);
  assert.equal(await live.ok(["status", "--json"]), "[]\n");
  const bob = await live.launch("claude-bob", ["--restart", "always", "--idle", "off"]);
  await live.launch("codex-eve", ["--idle", "120"]);
  await live.ok(["stop", "codex-eve"]);
  const lines = (await live.ok(["status"])).split("\n");
  assert.match(
    lines[0]!,
    /^IDENTITY +STATE +SERVER +SINCE +CANARY +RESTART +IDLE +LAST DEATH$/,
  );
  assert.match(
    lines[1]!,
    new RegExp(
      `^claude-bob +alive +${bob.serverPid} +\\S+ \\S+ +armed own ${bob.canaryPid} +always +off +-$`,
    ),
  );
  assert.match(lines[2]!, /^codex-eve +stopped +- +- +missing +never +120s +-$/);
  const [one, two] = JSON.parse(await live.ok(["status", "--json"]));
  assert(Math.abs(Date.parse(one.server.startedAt) - Date.now()) < 60_000);
  assert.deepEqual(one, {
    identity: "claude-bob",
    state: "alive",
    server: { pid: bob.serverPid, startedAt: one.server.startedAt },
    sock: bob.sock,
    canary: { state: "armed", pid: bob.canaryPid, mode: "own" },
    policy: { restart: "always" },
    external: false,
  });
  assert.deepEqual(two.policy, { restart: "never", idleSecs: 120 });
  assert.deepEqual([two.state, two.server, two.lastDeath], ["stopped", undefined, undefined]);
  await live.ok(["status", "claude-bob"]);
  assert.equal((await live.cli(["status", "codex-eve"])).code, 3);
  await live.ok(["status", "claude-bob", "codex-eve"]);
});

Deno.test("status of a session whose server died is gone, before and after a tick", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.serverPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  for (const ticks of [0, 1]) {
    if (ticks === 1) await live.tick();
    const { code, stdout } = await live.cli(["status", "claude-bob"]);
    assert.equal(code, 3);
    assert.match(stdout, /^claude-bob +gone /m);
  }
  const { lastDeath } = await live.status("claude-bob");
  assert.match(lastDeath!, new RegExp(`^claude-bob-${session.serverPid}-\\d+$`));
});

Deno.test("deaths lists what was recorded, shows one in full, and filters", async () => {
  await using live = await Live.open();
  assert.equal(await live.ok(["deaths"]), "No deaths recorded.\n");
  assert.equal(await live.ok(["deaths", "--json"]), "[]\n");
  const bob = await live.launch("claude-bob");
  const eve = await live.launchAttached("claude-eve");
  sendSignal(bob.serverPid, "SIGSEGV");
  await untilGone(bob.canaryPid, "the canary");
  sendSignal(eve.serverPid, "SIGKILL");
  await untilGone(eve.canaryPid, "the canary");
  const [one, two] = JSON.parse(await live.ok(["deaths", "--json"]));
  assert.deepEqual(
    [one.identity, one.serverPid, one.cause, one.signal, one.witness, one.mode],
    ["claude-bob", bob.serverPid, "signal", "SIGSEGV", "canary", "own"],
  );
  assert.deepEqual(
    [two.identity, two.serverPid, two.cause, two.waitRc, two.witness, two.mode],
    ["claude-eve", eve.serverPid, "vanished", 1, "canary", "attach"],
  );
  for (const absent of ["code", "waitRc"]) assert(!(absent in one), absent);
  assert(Date.parse(one.serverStartedAt) <= Date.parse(one.observedAt) + 2000);
  const table = await live.ok(["deaths"]);
  assert.match(table, new RegExp(`claude-bob +${bob.serverPid} .*SIGSEGV.*${one.id}`));
  assert.match(await live.ok(["deaths", "claude-eve"]), new RegExp(two.id));
  assert.doesNotMatch(await live.ok(["deaths", "claude-eve"]), new RegExp(one.id));
  assert.equal(JSON.parse(await live.ok(["deaths", "--since", "1h", "--json"])).length, 2);
  const full = await live.ok(["deaths", one.id]);
  assert.match(full, new RegExp(`^death +${one.id}$`, "m"));
  assert.match(full, new RegExp(`^snapshot +${one.forensics}$`, "m"));
  const whole = JSON.parse(await live.ok(["deaths", one.id, "--json"]));
  assert.equal(whole.id, one.id);
  assert.equal(whole.snapshot, await Deno.readTextFile(one.forensics));
});

Deno.test("deaths --follow prints each death as it is recorded", async () => {
  await using live = await Live.open();
  const bob = await live.launch("claude-bob");
  const eve = await live.launch("claude-eve");
  sendSignal(bob.serverPid, "SIGKILL");
  await untilGone(bob.canaryPid, "the canary");
  const following = live.start(["deaths", "--follow", "--json"]);
  await live.until("the first", () => following.stdout().includes('"claude-bob"'));
  sendSignal(eve.serverPid, "SIGKILL");
  await live.until("the second", () => following.stdout().includes('"claude-eve"'));
  const lines = following.stdout().trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ serverPid }) => serverPid), [bob.serverPid, eve.serverPid]);
  following.kill("SIGINT");
  await following.ended;
});

Deno.test("output with --json is one document, also where nothing is wrong with stderr", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob");
  for (
    const args of [["status", "--json"], ["deaths", "--json"], ["supervise", "--once", "--json"]]
  ) {
    const { stdout, stderr } = await live.cli(args, { env: { NO_COLOR: "" } });
    JSON.parse(stdout);
    assert.equal(stderr, "");
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(stdout, /\x1b/);
  }
});

/** As random as a key looks, and the same every time. */
const SOME_BYTES = new Uint8Array(
  await crypto.subtle.digest("SHA-256", new TextEncoder().encode("iapeer")),
);

/** Random enough for nobody to use them, plain enough to be searched for. */
const SECRETS = {
  token: "hunter2token",
  password: "correct-horse-battery",
  key: "s3cr3tkeyvalue",
  url: "urlpassword77",
  header: "bearerheader99",
  random: btoa(String.fromCharCode(...SOME_BYTES)).replaceAll("=", ""),
} as const;

Deno.test("secrets in command lines do not appear in the snapshot", async () => {
  await using live = await Live.open();
  // Large, so that it is among the largest processes; it outlives its server.
  const program = "Deno.addSignalListener('SIGHUP', () => {}); " +
    "globalThis.big = new Uint8Array(3e8).fill(1); setInterval(() => {}, 1e6)";
  const session = await live.launch("claude-bob", ["--env", `API_TOKEN=${SECRETS.token}`], [
    Deno.execPath(),
    "eval",
    program,
    "--token",
    SECRETS.token,
    `--password=${SECRETS.password}`,
    `API_KEY=${SECRETS.key}`,
    `https://bob:${SECRETS.url}@example.com/x`,
    `Authorization: Bearer ${SECRETS.header}`,
    `{"client_secret":"${SECRETS.key}"}`,
    SECRETS.random,
    "an-honest-argument",
  ]);
  const pid = await live.until("the program is large", async () => {
    const one = (await processesOf(live.base)).find(({ command }) =>
      command.includes("an-honest-argument") && command.includes(" eval ")
    );
    if (one === undefined) return undefined;
    const { stdout } = await new Deno.Command("ps", { args: ["-o", "rss=", "-p", `${one.pid}`] })
      .output();
    return Number(new TextDecoder().decode(stdout)) > 300_000 && one.pid;
  });
  sendSignal(session.serverPid, "SIGKILL");
  const { forensics } = await live.record("server-exit", "claude-bob");
  await untilGone(session.canaryPid, "the canary");
  assert(await isRunning(pid));
  const snapshot = await Deno.readTextFile(forensics!);
  assert.match(snapshot, new RegExp(`^ *${pid} .*an-honest-argument`, "m"), "it is listed");
  for (const [name, secret] of Object.entries(SECRETS)) {
    assert(!snapshot.includes(secret), `${name} is in the snapshot`);
  }
  for (const text of [await live.ok(["deaths", "--json"]), await live.ok(["deaths"])]) {
    for (const secret of Object.values(SECRETS)) assert(!text.includes(secret));
  }
});
