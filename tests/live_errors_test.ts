import assert from "node:assert/strict";
import { join } from "node:path";
import { Live, SLEEP } from "./live.ts";

/** A command line that is refused: exit code, and a message that names what and the remedy. */
interface Refusal {
  readonly what: string;
  readonly args: (base: string) => readonly string[];
  readonly code: number;
  readonly says: RegExp;
}

const launch = (...args: string[]) => ["launch", "--identity", "claude-bob", ...args];

const REFUSALS: readonly Refusal[] = [
  {
    what: "a command that does not exist on PATH",
    args: () => launch("--", "no-such-program-anywhere", "x"),
    code: 1,
    says: /"no-such-program-anywhere".*PATH.*give its whole path/,
  },
  {
    what: "a command whose path does not exist",
    args: (base) => launch("--", join(base, "missing")),
    code: 1,
    says: /missing": there is no such file; check the path/,
  },
  {
    what: "a command that is not executable",
    args: (base) => launch("--", join(base, "plain")),
    code: 1,
    says: /plain": it is not an executable file; run: chmod \+x/,
  },
  {
    what: "a command that is a directory",
    args: (base) => launch("--", base),
    code: 1,
    says: /it is not an executable file/,
  },
  { what: "an empty command", args: () => launch("--", ""), code: 1, says: /empty command.*--/ },
  { what: "no command", args: () => launch("--"), code: 2, says: /after --, for example/ },
  { what: "no --", args: () => launch(), code: 2, says: /after --, for example/ },
  {
    what: "a missing working directory",
    args: (base) => launch("--cwd", join(base, "nowhere"), "--", ...SLEEP),
    code: 1,
    says: /nowhere": there is no such directory; create it or give another --cwd/,
  },
  {
    what: "a working directory that is a file",
    args: (base) => launch("--cwd", join(base, "plain"), "--", ...SLEEP),
    code: 1,
    says: /there is no such directory/,
  },
  {
    what: "a tmux configuration that is not there",
    args: (base) => launch("--tmux-conf", join(base, "no.conf"), "--", ...SLEEP),
    code: 1,
    says: /no\.conf": it cannot be read; check --tmux-conf/,
  },
  {
    what: "an identity of one word",
    args: () => ["launch", "--identity", "bob", "--", ...SLEEP],
    code: 2,
    says: /"bob": it must be <runtime>-<personality>.*claude-bob/,
  },
  {
    what: "an identity that is a path",
    args: () => ["launch", "--identity", "../claude-bob", "--", ...SLEEP],
    code: 2,
    says: /it must be <runtime>-<personality>/,
  },
  {
    what: "an identity that is too long",
    args: () => ["launch", "--identity", `claude-${"b".repeat(60)}`, "--", ...SLEEP],
    code: 2,
    says: /67 characters, at most 64/,
  },
  {
    what: "no identity",
    args: () => ["launch", "--", ...SLEEP],
    code: 2,
    says: /identity/,
  },
  {
    what: "a size that is none",
    args: () => launch("--size", "big", "--", ...SLEEP),
    code: 2,
    says: /"big" is not <columns>x<rows>/,
  },
  {
    what: "a variable without a value",
    args: () => launch("--env", "NAME", "--", ...SLEEP),
    code: 2,
    says: /"NAME" is not <name>=<value>/,
  },
  {
    what: "a restart policy that is none",
    args: () => launch("--restart", "sometimes", "--", ...SLEEP),
    code: 2,
    says: /sometimes/,
  },
  {
    what: "an unknown flag",
    args: () => launch("--replcae", "--", ...SLEEP),
    code: 2,
    says: /replcae.*did you mean.*--replace/,
  },
  { what: "an unknown command", args: () => ["lunch"], code: 2, says: /did you mean.*launch/ },
  {
    what: "stop of what is not known",
    args: () => ["stop", "claude-bob"],
    code: 1,
    says: /no session of that identity is known; see: iapeer status/,
  },
  { what: "stop of nothing", args: () => ["stop"], code: 2, says: /give one or more identities/ },
  {
    what: "start of what is not known",
    args: () => ["start", "claude-bob"],
    code: 1,
    says: /no session of that identity is known/,
  },
  {
    what: "status of what is not known",
    args: () => ["status", "claude-bob"],
    code: 1,
    says: /no session of that identity is known/,
  },
  {
    what: "deaths of what is not known",
    args: () => ["deaths", "claude-bob"],
    code: 1,
    says: /neither a known session nor a recorded death; see: iapeer deaths/,
  },
  {
    what: "a duration that is none",
    args: () => ["deaths", "--since", "yesterday"],
    code: 2,
    says: /"yesterday" is not a duration/,
  },
  {
    what: "an interval that is none",
    args: () => ["supervise", "--interval", "0"],
    code: 2,
    says: /"0" is not a positive number/,
  },
  {
    what: "adopt without a server",
    args: (base) => ["adopt", "--identity", "claude-bob", "--sock", join(base, "no.sock")],
    code: 1,
    says: /no tmux server answers at .*no\.sock"; check the path/,
  },
  {
    what: "a canary without a server",
    args: (base) => ["canary", "--identity", "claude-bob", "--sock", join(base, "no.sock")],
    code: 1,
    says: /no tmux server answers at .*no\.sock"; start one, or check the path/,
  },
];

for (const { what, args, code, says } of REFUSALS) {
  Deno.test(`${what} is refused with exit code ${code} and its remedy`, async () => {
    await using live = await Live.open();
    await Deno.writeTextFile(join(live.base, "plain"), "x");
    const ran = await live.cli(args(live.base));
    assert.match(ran.stderr, says);
    assert.equal(ran.code, code);
    assert.equal(ran.stdout, "");
    assert.doesNotMatch(ran.stderr, /internal error|\n +at /);
    assert.deepEqual(await live.processes(), []);
    assert.equal((await live.cli(["status", "--json"])).stdout, "[]\n", "no session is left");
  });
}

Deno.test("a tmux configuration that kills the server is refused, and the death recorded", async () => {
  await using live = await Live.open();
  const conf = join(live.base, "tmux.conf");
  // The server carries out nothing else before its configuration is read.
  await Deno.writeTextFile(conf, "run-shell 'kill -KILL #{pid}'\n");
  const { code, stderr } = await live.cli(launch("--tmux-conf", conf, "--", ...SLEEP));
  assert.equal(code, 1);
  assert.match(stderr, /the tmux server ended at once; check the configuration .*tmux\.conf/);
  assert.match(stderr, /its death is recorded, see: iapeer deaths/);
  assert.equal(await live.ok(["status", "--json"]), "[]\n");
  await live.until("nothing runs", async () => (await live.processes()).length === 0);
  const signals = live.records("server-exit").map((record) => record["signal"]);
  assert.deepEqual(signals, ["SIGKILL"]);
});

Deno.test("a tmux configuration with errors does not keep the session from starting", async () => {
  await using live = await Live.open();
  const conf = join(live.base, "tmux.conf");
  await Deno.writeTextFile(conf, "set -g no-such-option 1\nset -g @mine yes\n");
  const { sock } = await live.launch("claude-bob", ["--tmux-conf", conf], [
    "sh",
    "-c",
    "echo hello; exec sleep 10000",
  ]);
  assert.equal((await live.tmux(sock, "show-options", "-gv", "@mine")).stdout, "yes\n");
  await live.until(
    "its output",
    () => Deno.readTextFileSync(live.ctx.paths.paneLog("claude-bob")).includes("hello"),
  );
  assert.equal((await live.status("claude-bob")).state, "alive");
});

Deno.test("a refused launch leaves the session that was there before as it was", async () => {
  await using live = await Live.open();
  await live.launch("claude-bob");
  await live.ok(["stop", "claude-bob"]);
  assert.equal((await live.cli(launch("--", "/no/such/program"))).code, 1);
  assert.equal((await live.status("claude-bob")).state, "stopped");
  await live.ok(["start", "claude-bob"]);
});

Deno.test("a socket path that is too long is refused with its length and the remedy", async () => {
  await using live = await Live.open("x".repeat(90));
  const { code, stderr } = await live.cli(launch("--", ...SLEEP));
  assert.equal(code, 2);
  assert.match(stderr, /it has \d{3} bytes, at most 103 fit; choose a shorter --root or identity/);
  assert.deepEqual([...Deno.readDirSync(live.base)], [], "no root is made");
});

Deno.test("a socket path of 103 bytes works", async () => {
  await using live = await Live.open();
  const root = join(live.base, "x".repeat(103 - `${live.base}//run/claude-bob.sock`.length));
  const { code, stdout, stderr } = await live.cli(launch("--json", "--", ...SLEEP), {}, root);
  assert.equal(code, 0, stderr);
  assert.equal(JSON.parse(stdout).sock.length, 103);
});

/** A root that cannot be used. */
const ROOTS: readonly {
  readonly what: string;
  readonly make: (root: string) => Promise<void>;
  readonly says: RegExp;
}[] = [
  {
    what: "a file",
    make: (root) => Deno.writeTextFile(root, ""),
    says: /it is not a directory; choose another with --root DIR/,
  },
  {
    what: "writable by others",
    make: async (root) => {
      await Deno.mkdir(root);
      await Deno.chmod(root, 0o777);
    },
    says: /others can write to it \(mode 0777\); run: chmod 700/,
  },
  {
    what: "below a file",
    make: async (root) => {
      await Deno.mkdir(root, { mode: 0o700 });
      await Deno.writeTextFile(join(root, "state"), "");
    },
    says: /state.*a file is in its place; move it away/,
  },
];

for (const { what, make, says } of ROOTS) {
  Deno.test(`a root that is ${what} is refused with the remedy`, async () => {
    await using live = await Live.open();
    await make(live.root);
    for (const args of [launch("--", ...SLEEP), ["status"], ["supervise", "--once"]]) {
      const { code, stderr } = await live.cli(args);
      assert.equal(code, 1, stderr);
      assert.match(stderr, says);
    }
    assert.deepEqual(await live.processes(), []);
  });
}

Deno.test("a root of another user is refused with the remedy", async () => {
  await using live = await Live.open();
  // Only the superuser can give a directory away; for anybody else his are another's.
  const root = Deno.uid() === 0 ? live.root : "/usr";
  if (root === live.root) {
    await Deno.mkdir(root, { mode: 0o700 });
    await Deno.chown(root, 12345, null);
  }
  const { code, stderr } = await live.cli(launch("--", ...SLEEP), {}, root);
  assert.equal(code, 1);
  assert.match(stderr, /belongs to user \d+, not to you \(\d+\); choose another with --root DIR/);
  assert.deepEqual(await live.processes(), []);
});
