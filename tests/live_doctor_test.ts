import assert from "node:assert/strict";
import { join } from "node:path";
import type { Finding } from "../lib/doctor.ts";
import type { DrillReport } from "../lib/drill.ts";
import { serviceSuffix } from "../lib/service.ts";
import { unitText } from "../lib/systemd.ts";
import { canDenyDmesg, denyDmesg, Nobody } from "./fixtures/nobody.ts";
import { Live, SLEEP } from "./live.ts";
import { run, sendSignal, type StartOptions, stateOf, untilGone } from "./live_host.ts";
import { writeProgram } from "./fixtures/program.ts";

/** What the doctor says, and how it ends. */
interface Report {
  readonly code: number;
  readonly findings: readonly Finding[];
  readonly drill?: DrillReport;
}

async function doctor(
  live: Live,
  flags: readonly string[] = ["--no-drill"],
  options: StartOptions = {},
): Promise<Report> {
  const { code, stdout, stderr } = await live.cli(["doctor", "--json", ...flags], options);
  assert.equal(stderr, "");
  const report = JSON.parse(stdout);
  const problems = report.findings.filter(({ level }: Finding) => level === "problem");
  assert.equal(code, problems.length > 0 ? 1 : 0, stdout);
  for (const { level, text, remedy } of report.findings as Finding[]) {
    assert.equal(remedy !== undefined, level !== "ok", text);
  }
  return { code, ...report };
}

/** What one check says: `level: text`. */
function said(report: Report, check: string): string[] {
  return report.findings.filter((finding) => finding.check === check)
    .map(({ level, text }) => `${level}: ${text}`);
}

function remedyOf(report: Report, check: string): string {
  return report.findings.find((one) => one.check === check && one.remedy !== undefined)!.remedy!;
}

/** Every path below a directory, with its mode. */
async function tree(dir: string): Promise<string[]> {
  const { stdout } = await run("find", [dir, "-printf", "%m %p\n"]);
  return stdout.split("\n").sort();
}

Deno.test("doctor finds a sound root sound, holds a drill, and changes nothing", async () => {
  await using live = await Live.open();
  const [bob] = [await live.launch("claude-bob"), await live.launchAttached("codex-ann")];
  const before = await tree(live.root);
  const report = await doctor(live, []);
  assert.match(said(report, "tmux")[0]!, /^ok: tmux \S+ at \//);
  assert.deepEqual(said(report, "root"), [`ok: ${live.root}: yours, closed to others`]);
  assert.match(said(report, "files")[0]!, /^ok: all \d+: yours/);
  assert.deepEqual(said(report, "sessions"), ["ok: 2 sessions, 2 at work"]);
  assert.deepEqual(said(report, "canaries"), ["ok: all 2 armed (1 own, 1 attach)"]);
  assert.deepEqual(said(report, "strays"), ["ok: every server and canary of this root is known"]);
  assert.match(
    said(report, "drill")[0]!,
    /^ok: passed; .*noticed \d+ ms, recorded \d+ ms, verdict \d+ ms, snapshot \d+ ms$/,
  );
  assert.equal(report.drill?.passed, true);
  assert.deepEqual(await tree(live.root), before);
  assert.deepEqual(live.records("server-exit"), []);
  assert.equal((await live.status("claude-bob")).server?.pid, bob.serverPid);
});

Deno.test("doctor does not make a root, be it with or without a drill", async () => {
  await using live = await Live.open();
  for (const flags of [["--no-drill"], []]) {
    const report = await doctor(live, flags);
    assert.deepEqual(said(report, "root"), [
      `ok: ${live.root}: no root yet, the first launch makes it`,
    ]);
    assert.deepEqual(said(report, "sessions"), ["ok: none yet"]);
    assert.equal(said(report, "drill").length, flags.length === 0 ? 1 : 0);
    assert.equal("drill" in report, flags.length === 0);
    assert.deepEqual([...Deno.readDirSync(live.base)], []);
  }
});

Deno.test("doctor prints a line for each finding, its remedy below, and a summary", async () => {
  await using live = await Live.open("my root");
  const session = await live.launch("claude-bob");
  sendSignal(session.canaryPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  const { stdout, stderr } = await live.cli(["doctor", "--no-drill"]);
  assert.equal(stderr, "");
  assert(!stdout.includes("\x1b"), "no colours where there is no terminal");
  const lines = stdout.split("\n");
  const at = lines.indexOf(
    "warning  canaries       nobody watches claude-bob; the next tick arms a canary",
  );
  assert(at > 0, stdout);
  assert.equal(lines[at + 1], `${" ".repeat(26)}iapeer supervise --once --root '${live.root}'`);
  for (const line of lines.slice(0, -3)) {
    assert.match(line, /^(?:(?:ok|warning|problem) +\w| {26}\S)/);
  }
  assert.match(lines.at(-2)!, /^\d+ ok, \d+ warnings?, no problems$/);
});

Deno.test("doctor wraps text to the terminal, colours it, and leaves remedies whole", async () => {
  await using live = await Live.open(`root-${"x".repeat(20)}`);
  await live.launch("claude-bob");
  await Deno.chmod(live.ctx.paths.lifecycleLog, 0o644);
  const sock = join(live.base, "t.sock");
  const [program, args] = live.command(["doctor", "--no-drill"]);
  const screen = ["-d", "-x", "80", "-y", "80", "-s", "main", "-e", "NO_COLOR=", program, ...args];
  const { code, stderr } = await run("tmux", [
    ...["-f", "/dev/null", "-S", sock],
    ...["new-session", ...screen, ";", "set-option", "-t", "main", "remain-on-exit", "on"],
  ], { env: live.env() });
  assert.equal(code, 0, stderr);
  await live.until("doctor is done", async () => {
    const { stdout } = await live.tmux(sock, "display-message", "-p", "-t", "main", "#{pane_dead}");
    return stdout.trim() === "1";
  });
  const shown = async (...how: string[]) =>
    (await live.tmux(sock, "capture-pane", "-p", "-t", "main", ...how)).stdout;
  const joined = (await shown("-J")).split("\n").map((line) => line.trimEnd());
  const at = joined.findIndex((line) => line.startsWith("warning  files"));
  assert(at >= 0, joined.join("\n"));
  const next = joined.findIndex((line, n) => n > at && /^(?:ok|warning|problem) +\w/.test(line));
  const text = joined.slice(at, next);
  const remedy = text.pop();
  assert.equal(remedy, `${" ".repeat(26)}chmod 600 ${live.ctx.paths.lifecycleLog}`);
  assert(remedy.length > 80, "longer than a line of the terminal");
  assert(text.length >= 2, "the text took more than a line");
  assert(text.every((line) => line.length <= 80));
  assert.match(text[1]!, /^ {24}\S/, "the second below the first");
  assert((await shown("-e")).includes("\x1b[33mwarning"), "yellow");
});

Deno.test("doctor names files that are open to others, and its remedy closes them", async () => {
  await using live = await Live.open("it's a root");
  await live.launch("claude-bob");
  const { lifecycleLog, locks } = live.ctx.paths;
  await Deno.chmod(lifecycleLog, 0o644);
  await Deno.chmod(locks, 0o755);
  const report = await doctor(live);
  assert.match(
    said(report, "files").join(),
    /^warning: open to others[^,]*, and there may be secrets in them: (?=.*state\/locks)(?=.*logs\/iapeer\/lifecycle\.log)/,
  );
  await run("sh", ["-c", remedyOf(report, "files")]);
  assert.match(said(await doctor(live), "files")[0]!, /^ok: /);
  await Deno.chmod(live.root, 0o777);
  const open = await doctor(live);
  assert.match(said(open, "root")[0]!, /^problem: .* has mode 0777: others can write to it/);
  assert.equal(open.code, 1);
  const refused = await live.cli(["status"]);
  assert.equal(refused.code, 1, "which is so");
  await run("sh", ["-c", remedyOf(open, "root")]);
  assert.match(said(await doctor(live), "root")[0]!, /^ok: /);
});

Deno.test("doctor misses a canary that was killed, and a tick arms another", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.canaryPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  const report = await doctor(live);
  assert.deepEqual(said(report, "canaries"), [
    "warning: nobody watches claude-bob; the next tick arms a canary",
  ]);
  assert.equal(report.code, 0, "a warning is no problem");
  await live.tick();
  assert.deepEqual(said(await doctor(live), "canaries"), ["ok: all 1 armed (0 own, 1 attach)"]);
});

Deno.test("doctor finds tmux servers that no session knows, by their sockets and by their command lines", async () => {
  // The table of processes shows question marks in place of such a name.
  await using live = await Live.open("wörld");
  await live.launch("claude-bob");
  const serve = async (identity: string) => {
    const sock = live.ctx.paths.sock(identity);
    const args = ["-f", "/dev/null", "-S", sock, "new-session", "-d", "-s", "x", ...SLEEP];
    assert.equal((await run("tmux", args, { env: live.env() })).code, 0);
    return Number((await live.tmux(sock, "display-message", "-p", "#{pid}")).stdout);
  };
  const [one, two] = [await serve("stray-one"), await serve("stray-two")];
  await Deno.remove(live.ctx.paths.sock("stray-two"));
  const report = await doctor(live);
  const strays = said(report, "strays");
  assert.equal(strays.length, 2, strays.join("\n"));
  assert.match(strays[0]!, new RegExp(`^warning: tmux server ${one} serves stray-one\\.sock`));
  assert.match(
    strays[1]!,
    new RegExp(`^warning: tmux server ${two} of stray-two: .* its socket is gone`),
  );
  const [, end] = remedyOf(report, "strays").split("\n");
  await run("sh", ["-c", end!]);
  await untilGone(one, "the stray");
  assert.equal(said(await doctor(live), "strays").length, 1);
});

Deno.test("doctor knows a server whose session was stopped behind its record's back", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  const file = live.ctx.paths.session("claude-bob");
  const { server: _server, ...record } = JSON.parse(await Deno.readTextFile(file));
  await Deno.writeTextFile(file, JSON.stringify({ ...record, state: "stopped" }));
  assert.match(
    said(await doctor(live), "strays").join(),
    new RegExp(
      `warning: tmux server ${session.serverPid} serves claude-bob\\.sock and no session knows`,
    ),
  );
});

Deno.test("doctor tells of a record that cannot be read, and leaves it where it is", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob");
  const file = live.ctx.paths.session("codex-ann");
  await Deno.writeTextFile(file, "{", { mode: 0o600 });
  const report = await doctor(live);
  assert.match(said(report, "sessions")[0]!, /^problem: codex-ann: its record is damaged/);
  assert.deepEqual(said(report, "canaries"), ["ok: all 1 armed (1 own, 0 attach)"]);
  assert.equal(report.code, 1);
  assert.equal(await Deno.readTextFile(file), "{");
  assert.deepEqual(live.decisions("corrupt-state"), []);
});

Deno.test("doctor tells of a server that a signal holds up", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  sendSignal(session.serverPid, "SIGSTOP");
  const report = await doctor(live);
  assert.match(said(report, "sessions")[0]!, /^warning: claude-bob does not answer/);
  assert.match(remedyOf(report, "sessions"), new RegExp(`^kill -CONT ${session.serverPid}\n`));
  assert.deepEqual(said(report, "strays"), ["ok: every server and canary of this root is known"]);
  sendSignal(session.serverPid, "SIGCONT");
});

Deno.test("doctor compares its version with that of the supervisor at work, and tells of one that is held up", async () => {
  await using live = await Live.open();
  const supervisor = live.start(["supervise"]);
  await live.until("the supervisor is at work", () => supervisor.stdout().includes("SUPERVISING"));
  assert.match(said(await doctor(live), "version")[0]!, /^ok: this program and the supervisor: \d/);
  const lock = live.ctx.paths.lock("supervise");
  const { pid } = JSON.parse(await Deno.readTextFile(lock));
  assert.equal(pid, supervisor.pid);
  await Deno.writeTextFile(lock, JSON.stringify({ pid, version: "0.0.1" }));
  assert.match(
    said(await doctor(live), "version")[0]!,
    /^warning: the supervisor is of version 0\.0\.1, this program of \d/,
  );
  supervisor.kill("SIGSTOP");
  await live.until("it is held up", async () => await stateOf(supervisor.pid) === "T");
  const held = await doctor(live);
  assert.equal(said(held, "service").at(-1), `problem: supervisor ${pid} is held up by a signal`);
  assert(held.findings.some(({ remedy }) => remedy === `kill -CONT ${pid}`));
  supervisor.kill("SIGCONT");
  supervisor.kill("SIGTERM");
  await supervisor.ended;
  assert.match(said(await doctor(live), "version")[0]!, /^ok: .*; no supervisor runs$/);
});

Deno.test({
  name:
    "doctor looks at the service of systemd, its settings, program and tmux (stand-ins of its tools)",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using live = await Live.open();
    const supervisor = live.start(["supervise"]);
    await live.until("it is at work", () => supervisor.stdout().includes("SUPERVISING"));
    const [bin, config] = [join(live.base, "bin"), join(live.base, "config")];
    await Deno.mkdir(bin);
    await Deno.mkdir(join(config, "systemd", "user"), { recursive: true });
    const { stdout: test } = await run("which", ["test"]);
    const standIns = {
      test: `[ "$*" = "-d /run/systemd/system" ] || exec ${test.trim()} "$@"`,
      systemctl: "printf '%s\\n' LoadState=loaded SubState=running " +
        `MainPID=${supervisor.pid} KillMode=control-group OOMPolicy=continue Delegate=yes ` +
        "UnitFileState=enabled",
      loginctl: "echo Linger=no",
    };
    for (const [name, script] of Object.entries(standIns)) {
      writeProgram(join(bin, name), `#!/bin/sh\n${script}\n`);
    }
    const unit = `iapeer-${await serviceSuffix(live.root, Deno.env.get("HOME")!)}.service`;
    const program = join(live.base, "gone", "iapeer");
    await Deno.writeTextFile(
      join(config, "systemd", "user", unit),
      unitText(live.root, { program, environment: { PATH: "/nowhere" } }),
    );
    const report = await doctor(live, ["--no-drill"], {
      env: { PATH: `${bin}:${Deno.env.get("PATH")}`, XDG_CONFIG_HOME: config },
    });
    supervisor.kill("SIGTERM");
    await supervisor.ended;
    assert.deepEqual(said(report, "service"), [`ok: runs under systemd, pid ${supervisor.pid}`]);
    assert.deepEqual(said(report, "settings").map((line) => line.split(",")[0]), [
      "problem: KillMode is control-group",
      "warning: Linger is no",
    ]);
    assert.equal(said(report, "version")[1], `problem: the service's program is gone: ${program}`);
    assert.equal(
      said(report, "tmux")[1],
      "problem: the service's PATH (/nowhere) leads to none",
    );
    assert.equal(report.code, 1);
  },
});

Deno.test("doctor without tmux on PATH says so and goes on with everything else", async () => {
  await using live = await Live.open();
  const bin = join(live.base, "bin");
  await Deno.mkdir(bin);
  for (const tool of ["cat", "df", "dmesg", "ls", "ps", "sysctl", "test"]) {
    const { stdout } = await run("which", [tool]);
    await Deno.symlink(stdout.trim(), join(bin, tool));
  }
  const report = await doctor(live, [], { env: { PATH: bin } });
  assert.deepEqual(said(report, "tmux"), ["problem: there is none on your PATH"]);
  assert.match(remedyOf(report, "tmux"), /install tmux/);
  assert.match(said(report, "disk")[0]!, /free on \//);
  assert.match(said(report, "drill")[0]!, /^problem: Cannot /);
  assert.equal("drill" in report, false, "none was held");
  assert.equal(report.code, 1);
  assert.deepEqual([...Deno.readDirSync(live.base)].map(({ name }) => name), ["bin"]);
});

Deno.test({
  name:
    "doctor tells a user without rights that dmesg is closed, and how to open it (needs root, or a restricted dmesg)",
  ignore: !canDenyDmesg,
  async fn() {
    using _denied = denyDmesg();
    await using live = await Live.open();
    await using nobody = await Nobody.of(live);
    const { code, stdout, stderr } = await nobody.cli(["doctor", "--json"]);
    assert.equal(code, 0, stdout + stderr);
    const report = { code, ...JSON.parse(stdout) } as Report;
    assert.match(
      said(report, "kernel log")[0]!,
      /^warning: dmesg: read kernel buffer failed: Operation not permitted; .*counters only$/,
    );
    assert.match(remedyOf(report, "kernel log"), /^sudo sysctl -w kernel\.dmesg_restrict=0\n/);
    assert.equal(report.drill?.passed, true);
    assert.deepEqual(nobody.belongings, []);
  },
});
