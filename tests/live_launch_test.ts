import assert from "node:assert/strict";
import { join } from "node:path";
import { assertRecorded, Live, SLEEP } from "./live.ts";
import { isRunning, run, sendSignal, untilGone } from "./live_host.ts";

Deno.test("launch prints one READY line once the canary is armed", async () => {
  await using live = await Live.open();
  const out = await live.ok(["launch", "--identity", "claude-bob", "--", ...SLEEP]);
  const { server, canary, sock, state, policy, external } = await live.status("claude-bob");
  assert.equal(
    out,
    `READY identity=claude-bob server_pid=${server?.pid} canary_pid=${canary.pid} sock=${sock}\n`,
  );
  assert.deepEqual([state, canary.state, canary.mode, external], ["alive", "armed", "own", false]);
  assert.deepEqual(policy, { restart: "never", idleSecs: 3600 });
  assert.equal(sock, join(live.root, "run", "claude-bob.sock"));
});

Deno.test("ten launches of one identity at once: one server, nine clear refusals", async () => {
  await using live = await Live.open();
  const args = ["launch", "--identity", "claude-bob", "--json", "--", ...SLEEP];
  const all = await Promise.all(Array.from({ length: 10 }, () => live.cli(args)));
  const won = all.filter(({ code }) => code === 0);
  assert.equal(won.length, 1);
  for (const { code, stdout, stderr } of all.filter((one) => one !== won[0])) {
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(
      stderr,
      /^iapeer: Cannot launch "claude-bob": (already running \(server \d+\); use --replace, or: iapeer stop claude-bob|another launch or stop of it is under way; try again when it is done)\n$/,
    );
  }
  const servers = (await live.processes()).filter((one) => / \S*tmux -D /.test(one));
  assert.equal(servers.length, 1);
  const { serverPid, canaryPid } = JSON.parse(won[0]!.stdout);
  const { server, canary } = await live.status("claude-bob");
  assert.deepEqual([server?.pid, canary.pid], [serverPid, canaryPid]);
});

Deno.test("ten launches of ten identities at once on a new root all succeed", async () => {
  await using live = await Live.open();
  const names = Array.from({ length: 10 }, (_, n) => `claude-${n}`);
  const sessions = await Promise.all(names.map((name) => live.launch(name)));
  assert.equal(new Set(sessions.map(({ serverPid }) => serverPid)).size, 10);
  assert.deepEqual([...new Set((await live.tick()).map(({ outcome }) => outcome))], ["alive"]);
});

Deno.test("launch refuses a session that is alive and leaves it untouched", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  const { code, stderr } = await live.cli(["launch", "--identity", "claude-bob", "--", ...SLEEP]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`already running \\(server ${session.serverPid}\\).*--replace`));
  const { server, canary } = await live.status("claude-bob");
  assert.deepEqual([server?.pid, canary.pid], [session.serverPid, session.canaryPid]);
});

Deno.test("a stale socket is no obstacle", async () => {
  await using live = await Live.open();
  const { sock, pid } = await live.foreignServer("stale");
  sendSignal(pid, "SIGKILL");
  await untilGone(pid, "the server");
  await live.ok(["status"]);
  await Deno.rename(sock, live.ctx.paths.sock("claude-bob"));
  const session = await live.launch("claude-bob");
  assert.equal((await live.status("claude-bob")).server?.pid, session.serverPid);
});

Deno.test("a predecessor that died unseen is recorded before the new one starts", async () => {
  await using live = await Live.open();
  const old = await live.launch("claude-bob");
  sendSignal(old.canaryPid, "SIGKILL");
  sendSignal(old.serverPid, "SIGKILL");
  await untilGone(old.serverPid, "the server");
  await untilGone(old.canaryPid, "the canary");
  const young = await live.launch("claude-bob");
  await live.ok(["deaths"]);
  await live.until("the snapshot", () => live.snapshots(old.serverPid).length === 1);
  await assertRecorded(live, old, { cause: "unobserved", witness: "supervise" });
  sendSignal(young.serverPid, "SIGKILL");
  await assertRecorded(live, young, { cause: "signal" });
  assert.equal(live.records("server-exit").length, 2);
});

Deno.test("a server on the socket that iapeer does not know is not robbed of it", async () => {
  await using live = await Live.open();
  const { sock, pid } = await live.foreignServer("theirs");
  await live.ok(["status"]);
  await Deno.rename(sock, live.ctx.paths.sock("claude-bob"));
  const { code, stderr } = await live.cli(["launch", "--identity", "claude-bob", "--", ...SLEEP]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`tmux server that iapeer does not know \\(pid ${pid}\\)`));
  assert(await isRunning(pid));
});

Deno.test("output of the pane is appended to its log, launch after launch", async () => {
  await using live = await Live.open();
  const say = (text: string) => ["sh", "-c", `echo ${text}; exec sleep 10000`];
  const log = live.ctx.paths.paneLog("claude-bob");
  await live.launch("claude-bob", [], say("first"));
  await live.until("the first", () => Deno.readTextFileSync(log).includes("first"));
  await live.launch("claude-bob", ["--replace"], say("second"));
  await live.until("the second", () => Deno.readTextFileSync(log).includes("second"));
  assert.equal(Deno.readTextFileSync(log), "first\r\nsecond\r\n");
});

Deno.test("a program that prints and ends at once has its output in the log", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob", [], ["echo", "only line"]);
  await live.record("session-exit", "claude-bob");
  await live.until(
    "its output",
    () => Deno.readTextFileSync(live.ctx.paths.paneLog("claude-bob")) === "only line\r\n",
  );
});

Deno.test("--size sets columns and rows of the pane", async () => {
  await using live = await Live.open();
  const { sock } = await live.launch("claude-bob", ["--size", "91x37"]);
  const { stdout } = await live.tmux(
    sock,
    "list-panes",
    "-a",
    "-F",
    "#{pane_width}x#{pane_height}",
  );
  assert.equal(stdout, "91x37\n");
});

Deno.test("--tmux-conf is used in place of the user's, and cannot break the watch", async () => {
  await using live = await Live.open();
  const conf = join(live.base, "my tmux.conf");
  await Deno.writeTextFile(
    conf,
    [
      "set -g status-left MINE",
      "set -g base-index 1",
      "set -g pane-base-index 1",
      "set -g remain-on-exit off",
      "set -g destroy-unattached on",
      "set -s exit-unattached on",
      "set -g default-command 'exec false'",
      "set -g default-shell /bin/false",
    ].join("\n"),
  );
  const session = await live.launch("claude-bob", ["--tmux-conf", conf]);
  const { stdout } = await live.tmux(session.sock, "show-options", "-gv", "status-left");
  assert.equal(stdout, "MINE\n");
  assert.equal((await live.status("claude-bob")).state, "alive");
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, session, { signal: "SIGKILL" });
});

for (const umask of ["000", "077"]) {
  Deno.test(`files are 0600 and directories 0700 under umask ${umask}`, async () => {
    await using live = await Live.open();
    const under = async (args: readonly string[]) => {
      const [program, all] = live.command(args);
      const { code, stdout, stderr } = await run(
        "sh",
        ["-c", `umask ${umask}; exec "$@"`, "sh", program, ...all],
        { env: live.env() },
      );
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const file = join(live.base, "umask");
    const program = ["sh", "-c", 'umask >"$1"; echo hello; exec sleep 10000', "sh", file];
    const session = JSON.parse(
      await under(["launch", "--identity", "claude-bob", "--json", "--", ...program]),
    );
    await live.until(
      "its output",
      () => Deno.readTextFileSync(live.ctx.paths.paneLog("claude-bob")).includes("hello"),
    );
    assert.equal(parseInt(await Deno.readTextFile(file), 8), parseInt(umask, 8), "the program's");
    sendSignal(session.serverPid, "SIGKILL");
    await assertRecorded(live, session, { signal: "SIGKILL" });
    await under(["launch", "--identity", "claude-bob", "--", "true"]);
    await live.record("session-exit", "claude-bob");
    await under(["supervise", "--once"]);
    const modes = new Map<string, string>();
    const walk = (dir: string) => {
      modes.set(dir, (Deno.lstatSync(dir).mode! & 0o7777).toString(8));
      for (const { name, isDirectory, isFile } of Deno.readDirSync(dir)) {
        const path = join(dir, name);
        if (isDirectory) walk(path);
        else if (isFile) modes.set(path, (Deno.lstatSync(path).mode! & 0o7777).toString(8));
      }
    };
    walk(live.root);
    const wrong = [...modes].filter(([path, mode]) =>
      mode !== (Deno.lstatSync(path).isDirectory ? "700" : "600")
    );
    assert.deepEqual(wrong, []);
    assert(modes.size > 15, [...modes.keys()].join("\n"));
  });
}

Deno.test("a root that is spelled through a symlink is the same root", async () => {
  await using live = await Live.open();
  await Deno.mkdir(live.root, { mode: 0o700 });
  const link = join(live.base, "link");
  await Deno.symlink(live.root, link);
  const args = ["launch", "--identity", "claude-bob", "--json", "--", ...SLEEP];
  const launched = await live.cli(args, {}, link);
  assert.equal(launched.code, 0, launched.stderr);
  const session = JSON.parse(launched.stdout);
  assert.equal((await live.cli(args)).code, 1, "known by the real spelling");
  assert.equal((await live.cli(["status", "claude-bob"])).code, 0);
  assert.equal((await live.tickOf("claude-bob")).outcome, "alive");
  sendSignal(session.serverPid, "SIGKILL");
  await live.record("server-exit", "claude-bob");
  await untilGone(session.canaryPid, "the canary");
  assert.equal((await live.cli(["supervise", "--once"], {}, link)).code, 0);
  assert.equal(live.records("server-exit").length, 1);
  assert.equal(live.snapshots(session.serverPid).length, 1);
});

Deno.test("--root may come before the command, too", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob");
  const [program, args] = live.command(["status"]);
  const before = args.slice(0, args.indexOf("status"));
  for (const root of [["--root", live.root], [`--root=${live.root}`]]) {
    const all = [...before, ...root, "status", "--json"];
    const { code, stdout, stderr } = await run(program, all, { env: live.env() });
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout)[0].identity, "claude-bob");
  }
});
