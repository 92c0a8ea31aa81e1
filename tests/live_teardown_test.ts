import assert from "node:assert/strict";
import { assertRecorded, assertSilent, Live, SLEEP } from "./live.ts";
import { isRunning, sendSignal } from "./live_host.ts";

Deno.test("stop is silent, removes the socket, and stays stopped over a tick", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", ["--restart", "always"]);
  assert.equal(await live.ok(["stop", "claude-bob"]), "STOPPED identity=claude-bob\n");
  await assertSilent(live, session);
  await assert.rejects(Deno.lstat(session.sock), Deno.errors.NotFound);
  assert.equal((await live.tickOf("claude-bob")).outcome, "stopped");
  assert.equal((await live.status("claude-bob")).state, "stopped");
  assert.deepEqual(await live.processes(), []);
});

Deno.test("stop of a session that is watched in attach mode is silent", async () => {
  await using live = await Live.open();
  const session = await live.launchAttached("claude-bob");
  await live.ok(["stop", "claude-bob"]);
  await assertSilent(live, session);
  assert.deepEqual(await live.processes(), []);
});

Deno.test("start brings a stopped session back as it was launched", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", ["--env", "GREETING=a b"], [
    "sh",
    "-c",
    'printf "%s\\n" "$GREETING"; exec sleep 10000',
  ]);
  await live.ok(["stop", "claude-bob"]);
  const ready = await live.ok(["start", "claude-bob"]);
  assert.match(
    ready,
    /^READY identity=claude-bob server_pid=\d+ canary_pid=\d+ sock=\S+\/claude-bob\.sock\n$/,
  );
  const { state, server, canary } = await live.status("claude-bob");
  assert.deepEqual([state, canary.mode], ["alive", "own"]);
  assert.notEqual(server?.pid, session.serverPid);
  await live.until("its output, twice", () => {
    const text = Deno.readTextFileSync(live.ctx.paths.paneLog("claude-bob"));
    return text.split("a b").length === 3;
  });
  assert.equal((await live.cli(["start", "claude-bob"])).code, 1, "it runs already");
});

Deno.test("stop --all stops what runs and passes over what does not", async () => {
  await using live = await Live.open();
  const one = await live.launch("claude-bob");
  const two = await live.launch("claude-eve");
  await live.ok(["stop", "claude-eve"]);
  assert.equal(await live.ok(["stop", "--all"]), "STOPPED identity=claude-bob\n");
  await assertSilent(live, one);
  await assertSilent(live, two);
});

Deno.test("stop ends a server that a signal holds up", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.serverPid, "SIGSTOP");
  await live.ok(["stop", "claude-bob"]);
  await assertSilent(live, session);
});

Deno.test("stop ends a server that holds other sessions too", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  await live.tmux(session.sock, "new-session", "-d", "-s", "another", ...SLEEP);
  await live.ok(["stop", "claude-bob"]);
  await assertSilent(live, session);
});

Deno.test("stop of a session whose server died before says so, and the death is recorded", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.serverPid, "SIGKILL");
  const { code, stderr } = await live.cli(["stop", "claude-bob"]);
  assert.equal(code, 3);
  assert.match(stderr, /was not running.*iapeer start claude-bob/);
  await assertRecorded(live, session, { signal: "SIGKILL" });
  assert.equal((await live.status("claude-bob")).state, "stopped");
});

Deno.test("a session without output for its idle time is reaped silently", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", ["--idle", "1", "--restart", "always"]);
  const last = await live.until("it is reaped", async () => {
    const one = await live.tickOf("claude-bob");
    return one.outcome !== "alive" && one;
  });
  assert.equal(last.outcome, "reaped-idle");
  assert.match(last.reason!, /no output for \d+ s/);
  await assertSilent(live, session);
  assert.equal((await live.status("claude-bob")).state, "parked");
  assert.equal(live.records("session-exit").length, 0);
});

Deno.test("launch --replace ends the old session silently and starts the new one", async () => {
  await using live = await Live.open();
  const old = await live.launch("claude-bob");
  const young = await live.launch("claude-bob", ["--replace"]);
  assert.notEqual(young.serverPid, old.serverPid);
  await assertSilent(live, old);
  assert.equal((await live.status("claude-bob")).server?.pid, young.serverPid);
  sendSignal(young.serverPid, "SIGKILL");
  await assertRecorded(live, young, { signal: "SIGKILL" });
});

for (const code of [0, 3]) {
  Deno.test(`a session that ends by itself with code ${code} leaves one session-exit and no death`, async () => {
    await using live = await Live.open();
    // The file lets it end: what is asserted is not the race of an instant end.
    const script = 'until [ -e "$1" ]; do sleep 0.05; done; exit "$2"';
    const go = `${live.base}/go`;
    const session = await live.launch("claude-bob", [], [
      "sh",
      "-c",
      script,
      "sh",
      go,
      String(code),
    ]);
    await Deno.writeTextFile(go, "");
    const record = await live.record("session-exit", "claude-bob");
    assert.deepEqual([record["dead_status"], record["dead_signal"]], [String(code), ""]);
    assert(Math.abs(Number(record["dead_time"]) - Date.parse(record["ts"]!) / 1000) <= 5);
    await assertSilent(live, session);
    assert.equal(live.records("session-exit").length, 1);
    assert.equal((await live.status("claude-bob")).state, "gone");
    assert.deepEqual(await live.processes(), []);
  });

  Deno.test(`a program that ends at once with code ${code} leaves one session-exit and no death`, async () => {
    await using live = await Live.open();
    const session = await live.launch("claude-bob", [], ["sh", "-c", `exit ${code}`]);
    const record = await live.record("session-exit", "claude-bob");
    assert.equal(record["dead_status"], String(code));
    await assertSilent(live, session);
    assert.equal(live.records("session-exit").length, 1);
  });
}

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  Deno.test(`a session whose program gets ${signal} leaves one session-exit with the signal`, async () => {
    await using live = await Live.open();
    const session = await live.launch("claude-bob");
    const { stdout } = await live.tmux(session.sock, "list-panes", "-a", "-F", "#{pane_pid}");
    sendSignal(Number(stdout), signal);
    const record = await live.record("session-exit", "claude-bob");
    assert.deepEqual(
      [record["dead_status"], record["dead_signal"]],
      ["", signal === "SIGKILL" ? "9" : "15"],
    );
    await assertSilent(live, session);
    assert.equal(live.records("session-exit").length, 1);
  });
}

Deno.test("a session that ends by itself is silent in attach mode too", async () => {
  await using live = await Live.open();
  const go = `${live.base}/go`;
  const script = 'until [ -e "$1" ]; do sleep 0.05; done; exit 3';
  const session = await live.launchAttached("claude-bob", ["sh", "-c", script, "sh", go]);
  await Deno.writeTextFile(go, "");
  // tmux before 3.5 may miss the end; in attach mode it is a tick that makes it look again.
  await live.until("its session-exit", async () => {
    await live.tick();
    return live.records("session-exit").length > 0;
  });
  assert.equal((await live.record("session-exit", "claude-bob"))["dead_status"], "3");
  await assertSilent(live, session);
});

Deno.test("a session whose PATH leads nowhere has its log, its session-exit and its silence", async () => {
  await using live = await Live.open();
  const sh = ["/bin/sh", "-c", "echo hello; exit 3"];
  const session = await live.launch("claude-bob", ["--env", "PATH=/nowhere"], sh);
  assert.equal((await live.record("session-exit", "claude-bob"))["dead_status"], "3");
  await assertSilent(live, session);
  const text = await Deno.readTextFile(live.ctx.paths.paneLog("claude-bob"));
  assert.equal(text.trim(), "hello");
});

/** Each character that a shell, tmux's parser, its formats or strftime might take for its own. */
const NASTY_ROOTS = [
  `it's "two words"`,
  "$HOME$(id)`id`",
  "#{pid}##{pid}%s%H",
  "##[x#[fg=red]#(date)",
  "a;b\\n~!&|<>*?;",
  "ünï 日本",
  "-x",
];

for (const name of NASTY_ROOTS) {
  Deno.test(`exit hook and pane log work below a root named ${JSON.stringify(name)}`, async () => {
    await using live = await Live.open(name);
    const go = `${live.base}/go`;
    const script = 'echo hello; until [ -e "$1" ]; do sleep 0.05; done; exit 3';
    const session = await live.launch("claude-bob", [], ["sh", "-c", script, "sh", go]);
    await live.until(
      "its output",
      () => Deno.readTextFileSync(live.ctx.paths.paneLog("claude-bob")).includes("hello"),
    );
    await Deno.writeTextFile(go, "");
    const record = await live.record("session-exit", "claude-bob");
    assert.equal(record["dead_status"], "3");
    await assertSilent(live, session);
    const again = await live.launch("claude-bob");
    sendSignal(again.serverPid, "SIGKILL");
    await assertRecorded(live, again, { signal: "SIGKILL" });
    assert.deepEqual(
      [...Deno.readDirSync(live.base)].map((entry) => entry.name).sort(),
      [
        name,
        "go",
      ].sort(),
    );
  });
}

Deno.test("stop --all stops every session though the record of one is corrupt", async () => {
  await using live = await Live.open();
  const sessions = await Promise.all(
    ["claude-ann", "claude-bob", "claude-cat"].map((identity) => live.launch(identity)),
  );
  await Deno.writeTextFile(live.ctx.paths.session("claude-bob"), "{");
  const { code, stdout, stderr } = await live.cli(["stop", "--all"]);
  assert.equal(code, 1);
  assert.deepEqual(stdout.trim().split("\n").sort(), [
    "STOPPED identity=claude-ann",
    "STOPPED identity=claude-cat",
  ]);
  assert.match(stderr, /^iapeer: Cannot find the session "claude-bob": .*\n$/);
  for (const { identity, serverPid } of sessions) {
    assert.equal(await isRunning(serverPid), identity === "claude-bob");
  }
});

Deno.test("start starts every session that it can, and tells of each that it cannot", async () => {
  await using live = await Live.open();
  await live.launch("claude-ann");
  await live.launch("claude-bob");
  await live.ok(["stop", "claude-bob"]);
  const given = ["claude-ann", "claude-nobody", "claude-bob"];
  const { code, stdout, stderr } = await live.cli(["start", ...given]);
  assert.equal(code, 1);
  assert.match(stdout, /^READY identity=claude-bob [^\n]*\n$/);
  assert.deepEqual(stderr.trim().split("\n").map((line) => line.split(":")[1]), [
    ' Cannot launch "claude-ann"',
    ' Cannot find the session "claude-nobody"',
  ]);
});
