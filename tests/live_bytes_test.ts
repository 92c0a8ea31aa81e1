import assert from "node:assert/strict";
import { join } from "node:path";
import { daemon, parentOf } from "./fixtures/daemon.ts";
import { Live, SLEEP } from "./live.ts";
import { run, toolsOnly } from "./live_host.ts";
import { writeProgram } from "./fixtures/program.ts";

/** Writes what it was given, each value ended by NUL, and appears whole. */
const WITNESS = [
  "#!/bin/sh",
  'out=$OUT; { pwd -P; printf "%s\\0" "$0" "$@"; } >"$out.args.new"',
  'env -0 >"$out.env.new"',
  'mv "$out.args.new" "$out.args"; mv "$out.env.new" "$out.env"; exec sleep 10000',
  "",
].join("\n");

/** What a program of a session was given. */
interface Given {
  readonly cwd: string;
  readonly argv: string[];
  /** Each byte one character, for variables that are not UTF-8. */
  readonly env: Map<string, string>;
}

/** Each byte as the character of that number. */
function bytesAsText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

async function given(live: Live): Promise<Given> {
  const out = join(live.base, "out");
  const bytes = await live.until("what the program was given", () => {
    try {
      return Deno.readFileSync(`${out}.env`);
    } catch {
      return undefined;
    }
  });
  const text = await Deno.readTextFile(`${out}.args`);
  const end = text.indexOf("\n");
  const lines = bytesAsText(bytes).split("\0").slice(0, -1);
  return {
    cwd: text.slice(0, end),
    argv: text.slice(end + 1).split("\0").slice(0, -1),
    env: new Map(lines.map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    })),
  };
}

const AWKWARD = [
  ...["", " ", "a b", " lead", "trail ", "it's", '"', '\\"', "'\\''", "\\", "end\\", "\\\\;"],
  ...["$HOME", "$(id)", "`id`", "${x}", "$", "!x", "#c", "~", "*", "?", "[a]", "{a,b}"],
  ...[";", "a;", ";;", "a;b", "\\;", "a\\;", "; kill-server", "&&", "|", ">f", "<", "(", ")"],
  ...["#{pid}", "#(id)", "#[fg=red]", "##", "#", "%s", "%%", "%1", "@0", "=", "A=b", "-e", "--"],
  ...["\n", "two\nlines\n", "\r\n", "\t", "\x01", "\x1b[31m", "\x7f", "é 日本 🐤", "-", "--help"],
  "",
];

Deno.test("argv reaches the program byte for byte", async () => {
  await using live = await Live.open();
  const program = join(live.base, "w");
  writeProgram(program, WITNESS);
  await live.launch("claude-bob", ["--env", `OUT=${live.base}/out`], [program, ...AWKWARD]);
  assert.deepEqual((await given(live)).argv, [program, ...AWKWARD]);
});

Deno.test("argv of 1000 arguments and one of 10 KiB reach the program", async () => {
  await using live = await Live.open();
  const program = join(live.base, "w");
  writeProgram(program, WITNESS);
  const args = [...Array.from({ length: 1000 }, (_, n) => String(n)), "x".repeat(10_240)];
  await live.launch("claude-bob", ["--env", `OUT=${live.base}/out`], [program, ...args]);
  assert.deepEqual((await given(live)).argv, [program, ...args]);
});

for (
  const name of ["w", "a path/w", "a=b/w", "w=x", "it's $HOME/#{pid};", "-x/w", "semi;"]
) {
  Deno.test(`a command of one word is no shell line: ${JSON.stringify(name)}`, async () => {
    await using live = await Live.open();
    const program = join(live.base, name);
    await Deno.mkdir(join(program, ".."), { recursive: true });
    writeProgram(program, WITNESS);
    await live.launch("claude-bob", ["--env", `OUT=${live.base}/out`], [program]);
    assert.deepEqual((await given(live)).argv, [program]);
  });
}

Deno.test("a command that is found on the PATH given, whatever characters it has", async () => {
  await using live = await Live.open();
  writeProgram(join(live.base, "w=x y;"), WITNESS);
  const env = { OUT: join(live.base, "out"), PATH: `${live.base}:${Deno.env.get("PATH")}` };
  await live.launch("claude-bob", [], ["w=x y;", ";"], { env });
  const { argv } = await given(live);
  assert.deepEqual(argv, [join(live.base, "w=x y;"), ";"]);
});

Deno.test("a command named relative to the working directory is found there", async () => {
  await using live = await Live.open();
  await Deno.mkdir(join(live.base, "d"));
  writeProgram(join(live.base, "d", "w"), WITNESS);
  const flags = ["--cwd", "d", "--env", `OUT=${live.base}/out`];
  await live.launch("claude-bob", flags, ["./w"], { cwd: live.base });
  const { cwd, argv } = await given(live);
  assert.deepEqual([cwd, argv], [join(live.base, "d"), ["./w"]]);
});

for (const name of ["two words", "#{pid}", "#(id)", "%s", "$HOME;", "##[x]", "ünï"]) {
  Deno.test(`the working directory reaches the program: ${JSON.stringify(name)}`, async () => {
    await using live = await Live.open();
    const cwd = join(live.base, name);
    await Deno.mkdir(cwd);
    const program = join(live.base, "w");
    writeProgram(program, WITNESS);
    const env = { OUT: join(live.base, "out") };
    // Once by the flag, once as the directory of the caller.
    await live.launch("claude-bob", ["--cwd", cwd], [program], { env });
    assert.equal((await given(live)).cwd, cwd);
    await live.ok(["stop", "claude-bob"]);
    for (const kind of ["args", "env"]) await Deno.remove(join(live.base, `out.${kind}`));
    await live.launch("claude-bob", [], [program], { env, cwd });
    assert.equal((await given(live)).cwd, cwd);
  });
}

/** Set by the shell that the program is, by tmux for every pane, or by `deno run` itself. */
const NOT_THE_CALLERS =
  /^(_|PWD|OLDPWD|SHLVL|TMUX|TMUX_PANE|TERM|TERM_PROGRAM|TERM_PROGRAM_VERSION|COLORTERM)$/;

Deno.test("environment and --env reach the program byte for byte", async () => {
  await using live = await Live.open();
  const program = join(live.base, "w");
  writeProgram(program, WITNESS);
  const values = Object.fromEntries(AWKWARD.map((value, n) => [`AWKWARD_${n}`, value]));
  const flags = Object.fromEntries(AWKWARD.map((value, n) => [`FLAG_${n}`, value]));
  const caller: Record<string, string> = {
    ...values,
    OUT: join(live.base, "out"),
    OVER: "the caller's",
    LD_LIBRARY_PATH: "/nowhere/a b;:$x",
    LD_TEST_ONLY: "#{pid}",
    TMUX: "/tmp/other,1,0",
    TMUX_PANE: "%77",
  };
  const overrides = [...Object.entries(flags), ["OVER", "the flag's"], ["TZ", ""]];
  await live.launch(
    "claude-bob",
    overrides.flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    [program],
    { env: caller },
  );
  const { env } = await given(live);
  const expected = new Map(
    Object.entries({
      ...Deno.env.toObject(),
      ...live.env(caller),
      ...flags,
      OVER: "the flag's",
      TZ: "",
    }).map(([name, value]) => [name, bytesAsText(new TextEncoder().encode(value))]),
  );
  for (const [name, value] of expected) {
    if (!NOT_THE_CALLERS.test(name)) assert.equal(env.get(name), value, name);
  }
  // tmux gives every program a SHELL, where the caller has none too.
  const added = [...env.keys()].filter((name) =>
    !expected.has(name) && !NOT_THE_CALLERS.test(name) && name !== "SHELL"
  );
  assert.deepEqual(added, []);
  assert.equal(env.get("TMUX")?.split(",")[0], live.ctx.paths.sock("claude-bob"));
  assert.equal(env.get("TMUX_PANE"), "%0");
});

Deno.test("a session has no node on its PATH that its caller has not", async () => {
  await using live = await Live.open();
  const out = join(live.base, "out");
  const tools = ["cat", "kill", "nice", "ps", "sleep", "sysctl", "test", "tmux"];
  const PATH = await toolsOnly(join(live.base, "bin"), tools);
  const script = 'echo "$PATH ${DENO_NODE_SHIM_ACTIVE-none}" >"$1.new"; ' +
    'PATH=/usr/bin:/bin; mv "$1.new" "$1"; exec sleep 10000';
  await live.launch("claude-bob", [], ["/bin/sh", "-c", script, "sh", out], { env: { PATH } });
  const said = await live.until("its word", () => Deno.readTextFile(out).catch(() => undefined));
  assert.equal(said, `${PATH} none\n`);
});

Deno.test("the server does not carry the caller's TMUX", async () => {
  await using live = await Live.open();
  const env = { TMUX: "/tmp/other,1,0", TMUX_PANE: "%77", LD_LIBRARY_PATH: "/nowhere" };
  const { sock } = await live.launch("claude-bob", [], SLEEP, { env });
  const { stdout } = await live.tmux(sock, "show-environment", "-g");
  assert.doesNotMatch(stdout, /^TMUX/m);
  assert.match(stdout, new RegExp(`^IAPEER_LIVE_TEST=${live.base}$`, "m"));
});

/** With the variable BYTES, which is not UTF-8. */
const WITH_BYTES = 'BYTES="$(printf "a\\377b\\200")"; export BYTES; exec "$@"';

for (const supervised of [false, true]) {
  Deno.test(
    `a variable that is not UTF-8 is inherited as it is, ${
      supervised ? "whether there is a supervisor or not" : "where there is none"
    }`,
    async () => {
      await using live = await Live.open();
      if (supervised) await daemon(live);
      const program = join(live.base, "w");
      writeProgram(program, WITNESS);
      const args = ["launch", "--identity", "claude-bob", "--", program];
      const [deno, all] = live.command(args);
      const env = live.env({ OUT: join(live.base, "out") });
      const { code, stderr } = await run("sh", ["-c", WITH_BYTES, "sh", deno, ...all], { env });
      assert.equal(code, 0, stderr);
      assert.equal((await given(live)).env.get("BYTES"), "a\xffb\x80");
      assert.equal(/"BYTES" is not valid UTF-8 and cannot be handed over/.test(stderr), supervised);
    },
  );
}

Deno.test("a supervisor's own variables reach no session, those of whoever asks do", async () => {
  await using live = await Live.open();
  const program = join(live.base, "w");
  writeProgram(program, WITNESS);
  const [deno, all] = live.command(["supervise", "--interval", "3600"]);
  const supervisor = live.startOther("sh", ["-c", WITH_BYTES, "sh", deno, ...all], {
    env: { SUPERVISORS: "1", LD_TEST_ONLY: "supervisor", OUT: "/nowhere" },
  });
  await live.until("it supervises", () => supervisor.stdout().includes("SUPERVISING "));
  const values = Object.fromEntries(AWKWARD.map((value, n) => [`AWKWARD_${n}`, value]));
  const cwd = join(live.base, "d é");
  await Deno.mkdir(cwd);
  const env = {
    ...values,
    OUT: join(live.base, "out"),
    LD_LIBRARY_PATH: "/nowhere",
    REPLACEMENT: "\ufffd",
  };
  const { canaryPid } = await live.launch("claude-bob", [], [program, ...AWKWARD], { env, cwd });
  assert.equal(await parentOf(live, canaryPid), supervisor.pid);
  const got = await given(live);
  assert.deepEqual([got.cwd, got.argv], [cwd, [program, ...AWKWARD]]);
  for (const [name, value] of Object.entries(env)) {
    assert.equal(got.env.get(name), bytesAsText(new TextEncoder().encode(value)), name);
  }
  for (const name of ["SUPERVISORS", "LD_TEST_ONLY", "BYTES"]) assert(!got.env.has(name), name);
});

Deno.test("start gives the program the environment that it was launched with", async () => {
  await using live = await Live.open();
  const program = join(live.base, "w");
  writeProgram(program, WITNESS);
  const env = { OUT: join(live.base, "out"), COLOUR: "red", LD_LIBRARY_PATH: "/nowhere" };
  await live.launch("claude-bob", ["--cwd", live.base], [program, "x;"], { env });
  const first = await given(live);
  await live.ok(["stop", "claude-bob"]);
  for (const kind of ["args", "env"]) await Deno.remove(join(live.base, `out.${kind}`));
  await live.ok(["start", "claude-bob"], { env: { COLOUR: "blue", ONLY_NOW: "1" }, cwd: "/" });
  const second = await given(live);
  assert.deepEqual(second.argv, [program, "x;"]);
  assert.equal(second.cwd, live.base);
  const without = ({ env }: Given) =>
    Object.fromEntries([...env].filter(([name]) => !name.startsWith("TMUX")));
  assert.deepEqual(without(second), without(first));
});
