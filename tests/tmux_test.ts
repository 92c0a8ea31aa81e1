import assert from "node:assert/strict";
import fc from "fast-check";
import { readClaim } from "../lib/claims.ts";
import { openRoot, pathsOf } from "../lib/config.ts";
import { type Context, contextOf } from "../lib/context.ts";
import { denoTools, spawnChild } from "../lib/process.ts";
import { parseLine } from "../lib/logfmt.ts";
import type { SessionExit } from "../lib/sessions.ts";
import {
  attachArgs,
  canaryChannel,
  clientFailure,
  escapeArg,
  escapeFormat,
  exitHook,
  type NewSession,
  parseNewSession,
  quoteWord,
  Server,
  serverArgs,
  waitArgs,
} from "../lib/tmux.ts";
import { inTempDir, result, toolsThat, until } from "./fixtures/root.ts";

const KEEPER = "keeper-x";

/** What shells, tmux's parser, its formats or strftime may take for something else. */
const AWKWARD = [
  ...["", " ", "a b", ";", ";;", "a;", "\\;", "\\", "a\\", "semi\\;", "it's", '"', "`id`", "$HOME"],
  ...[
    "#",
    "##",
    "###",
    "#[",
    "##[",
    "#{pid}",
    "##{pid}",
    "#(id)",
    "#S",
    "#,",
    "#}",
    "}",
    "{",
    "#[",
  ],
  ...["%", "%Y", "%%", "%1", "~", "*", "[a]", "\n", "two\nlines", "\t", "\x01", "\x1b[1m", "\x7f"],
  ...["é 日本 🐤", "--", "-n", "=x", "$(id)", "!", "&&", "|", "(", ">f", "C-c", "Enter", "\u2028"],
];
const awkward = fc.oneof(
  fc.constantFrom(...AWKWARD),
  fc.array(fc.constantFrom(...AWKWARD), { maxLength: 5 }).map((parts) => parts.join("")),
  fc.string({ unit: "binary", maxLength: 20 }).map((text) => text.replaceAll("\0", "")),
);
/** Names of files, in Linux and macOS alike. */
const fileName = awkward.map((text) => `d${text.replaceAll("/", "_")}`)
  .filter((name) => new TextEncoder().encode(name).length < 120);

function session(dir: string, fields: Partial<NewSession>): NewSession {
  return {
    identity: KEEPER,
    argv: ["sleep", "60"],
    cwd: "/",
    size: "80x24",
    env: {},
    paneLog: `${dir}/pane.log`,
    nice: "nice",
    hook: "kill-session",
    ...fields,
  };
}

/** Runs `work` with a server that has one session, and sees to its end. */
function withServer(work: (server: Server, dir: string) => Promise<void>): Promise<void> {
  return inTempDir(async (dir) => {
    const sock = `${dir}/s`;
    const child = spawnChild("tmux", serverArgs(sock, "/dev/null"));
    try {
      const server = new Server(denoTools, sock);
      await until(
        "the server listens",
        async () => clientFailure(await server.newSession(session(dir, {}))) === undefined,
      );
      await work(server, dir);
    } finally {
      child.kill("SIGKILL");
      await child.ended;
    }
  });
}

/** A script that ends, and how. */
interface ProgramEnd {
  readonly script: string;
  readonly exit: SessionExit;
}

/** Starts a session that writes its directory and its arguments to a file, and gives them. */
async function argumentsSeen(
  server: Server,
  dir: string,
  n: number,
  args: readonly string[],
  fields: Partial<NewSession> = {},
): Promise<{ cwd: string; args: string[]; variable: string }> {
  const out = `${dir}/out-${n}`;
  const script =
    'out=$1; shift; { printf "%s\\0" "$PWD" "$V"; for a; do printf "%s\\0" "$a"; done; } >"$out.tmp"; mv "$out.tmp" "$out"';
  const argv = ["/bin/sh", "-c", script, "sh", out, ...args];
  const made = await server.newSession(session(dir, { identity: `run-${n}`, argv, ...fields }));
  assert.equal(clientFailure(made), undefined, made.stderr);
  await until("the program has run", () => {
    try {
      return Deno.statSync(out).isFile;
    } catch {
      return false;
    }
  });
  const [cwd, variable, ...seen] = Deno.readTextFileSync(out).split("\0").slice(0, -1);
  return { cwd: cwd!, variable: variable!, args: seen };
}

Deno.test("Server.newSession() hands every argument on byte for byte", () =>
  withServer(async (server, dir) => {
    let n = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(awkward, { maxLength: 6 }), async (args) => {
        assert.deepEqual((await argumentsSeen(server, dir, n++, args)).args, args);
      }),
      { numRuns: 60, examples: [[AWKWARD]] },
    );
  }));

Deno.test("Server.newSession() takes any directory, variable and log as they are", () =>
  withServer(async (server, dir) => {
    let n = 0;
    await fc.assert(
      fc.asyncProperty(fileName, awkward, async (name, variable) => {
        const cwd = `${dir}/${n}/${name}`;
        await Deno.mkdir(cwd, { recursive: true });
        const paneLog = `${cwd}/${name}`;
        const env = { V: variable };
        const seen = await argumentsSeen(server, dir, n++, [], { cwd, paneLog, env });
        assert.deepEqual(seen, { cwd, variable, args: [] });
        await until("the log is there", () => [...Deno.readDirSync(cwd)].length > 0);
        assert.deepEqual([...Deno.readDirSync(cwd)].map((entry) => entry.name), [name]);
        assert.equal(Deno.statSync(paneLog).mode! & 0o777, 0o600);
      }),
      { numRuns: 40, examples: AWKWARD.map((text) => [`d${text}`, text]) },
    );
  }));

/** Where the hook looks for the uptime, and what it makes of what it finds there. */
const UPTIMES: readonly {
  what: string;
  looks: Record<string, string>;
  gives: number | undefined;
}[] = [
  {
    what: "a process that began 4250 ticks after the boot",
    looks: { "cut -d": "echo 4250 || :" },
    gives: 43,
  },
  {
    what: "macOS, 500 s after the boot",
    looks: {
      "/proc/self/stat": "/nowhere",
      "sysctl -n kern.boottime":
        'echo "{ sec = $((a - 500)), usec = 279000 } Sun Nov 22 05:44:45 2026"',
    },
    gives: 500,
  },
  {
    what: "a system that tells nothing",
    looks: { "/proc/self/stat": "/nowhere", "sysctl -n kern.boottime": "false" },
    gives: undefined,
  },
  {
    what: "a system that tells rubbish",
    looks: { "cut -d": "echo x || :", "sysctl -n kern.boottime": "echo { sec = -, usec" },
    gives: undefined,
  },
];

for (const { what, looks, gives } of UPTIMES) {
  Deno.test(`exitHook() claims with the uptime of ${what}`, () =>
    withServer(async (server, dir) => {
      const ctx = rootAt(`${dir}/r`);
      const { paths } = ctx;
      let hook = exitHook("run-x", paths.exitsLog, paths.claim("run-x"));
      for (const [from, to] of Object.entries(looks)) {
        assert(hook.includes(from), from);
        hook = hook.replaceAll(from, to);
      }
      const argv = ["/bin/sh", "-c", "exit 3"];
      const made = await server.newSession(session(dir, { identity: "run-x", hook, argv }));
      assert.equal(clientFailure(made), undefined, made.stderr);
      await until("the session ends", async () => {
        Deno.kill(parseNewSession(made.stdout)!.serverPid, "SIGCHLD");
        return await server.hasSession("run-x") === false;
      });
      const claim = readClaim(ctx, "run-x")!;
      assert.equal(claim.uptime, gives);
      assert.deepEqual(claim.exit, { status: "3" });
      assert.match(Deno.readTextFileSync(paths.exitsLog), / dead_status=3 /);
    }));
}

Deno.test("exitHook() records the end of a program under any root, and claims it", () =>
  withServer(async (server, dir) => {
    let n = 0;
    const ends = fc.constantFrom<ProgramEnd>(
      { script: "exit 0", exit: { status: "0" } },
      { script: "exit 3", exit: { status: "3" } },
      { script: "kill -KILL $$", exit: { signal: "9" } },
    );
    await fc.assert(
      fc.asyncProperty(fileName, ends, async (name, { script, exit }) => {
        const ctx = rootAt(`${dir}/${n}/${name}`);
        const { paths } = ctx;
        const identity = `run-${n++}`;
        const hook = exitHook(identity, paths.exitsLog, paths.claim(identity));
        const made = await server.newSession(
          session(dir, { identity, hook, argv: ["/bin/sh", "-c", script] }),
        );
        assert.equal(clientFailure(made), undefined, made.stderr);
        await until("the session ends", async () => {
          // tmux now and then misses the end of a program until it looks again [measured, 3.3a].
          Deno.kill(parseNewSession(made.stdout)!.serverPid, "SIGCHLD");
          return await server.hasSession(identity) === false;
        });
        const lines = Deno.readTextFileSync(paths.exitsLog).split("\n");
        assert.equal(lines.length, 2);
        const fields = parseLine(lines[0]!);
        assert.match(fields.get("ts")!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
        assert.equal(fields.get("ev"), "session-exit");
        assert.equal(fields.get("identity"), identity);
        assert.equal(fields.get("dead_status"), exit.status ?? "");
        assert.equal(fields.get("dead_signal"), exit.signal ?? "");
        assert.match(fields.get("dead_time")!, /^\d{9,}$/);
        const claim = readClaim(ctx, identity)!;
        assert.equal(claim.who, "exit-hook");
        assert.deepEqual(claim.exit, exit);
        const reply = await server.pid();
        assert("pid" in reply);
        assert.equal(claim.server.pid, reply.pid);
        assert(Math.abs(claim.at - Date.now()) < 60_000, `${claim.at}`);
        assert(Math.abs(claim.uptime! - Deno.osUptime()) < 60, `${claim.uptime}`);
        for (const file of [paths.exitsLog, paths.claim(identity)]) {
          assert.equal(Deno.statSync(file).mode! & 0o777, 0o600, file);
        }
        assert.equal([...Deno.readDirSync(paths.claims)].length, 1);
      }),
      {
        numRuns: 20,
        examples: AWKWARD.map((text): [string, ProgramEnd] => [
          `d${text}`,
          { script: "exit 3", exit: { status: "3" } },
        ]),
      },
    );
  }));

function rootAt(root: string): Context {
  Deno.mkdirSync(root, { recursive: true, mode: 0o700 });
  openRoot(pathsOf(root), Deno.uid());
  return contextOf(root);
}

Deno.test("Server answers for a server that lives", () =>
  withServer(async (server) => {
    const reply = await server.pid();
    assert("pid" in reply);
    assert.equal(await server.hasSession(KEEPER), true);
    assert.equal(await server.hasSession("keeper-y"), false);
    // No prefix of an identity stands for it.
    assert.equal(await server.hasSession("keeper"), false);
    assert((await server.panePid(KEEPER))! > 0);
    assert.equal(await server.panePid("keeper-y"), undefined);
    const waiting = spawnChild("tmux", waitArgs(server.sock, KEEPER));
    assert.equal((await server.signalCanary(KEEPER)).code, 0);
    assert.deepEqual(await waiting.ended, { code: 0 });
  }));

Deno.test("Server.killSession() ends the server with its last session", () =>
  inTempDir(async (dir) => {
    const child = spawnChild("tmux", serverArgs(`${dir}/s`, "/dev/null"));
    try {
      const server = new Server(denoTools, `${dir}/s`);
      await until(
        "the server listens",
        async () => clientFailure(await server.newSession(session(dir, {}))) === undefined,
      );
      await server.killSession(KEEPER);
      assert.deepEqual(await child.ended, { code: 0 });
      const reply = await server.pid();
      assert("failure" in reply);
      assert.equal(reply.failure, "no-server");
      assert.equal(await server.hasSession(KEEPER), "no-server");
    } finally {
      child.kill("SIGKILL");
      await child.ended;
    }
  }));

Deno.test("Server tells a missing socket and a server that is held up", () =>
  withServer(async (server, dir) => {
    assert.equal(await new Server(denoTools, `${dir}/none`).hasSession(KEEPER), "no-socket");
    const reply = await server.pid();
    assert("pid" in reply);
    Deno.kill(reply.pid, "SIGSTOP");
    const impatient = new Server(
      { run: (tool, args) => denoTools.run(tool, args, { timeoutMs: 300 }) },
      server.sock,
    );
    assert.equal(await impatient.hasSession(KEEPER), "timeout");
    assert.equal(await impatient.panePid(KEEPER), undefined);
    Deno.kill(reply.pid, "SIGCONT");
    assert.equal(await server.hasSession(KEEPER), true);
  }));

Deno.test("Server.repipe() begins the log anew after its file was moved away", () =>
  withServer(async (server, dir) => {
    const paneLog = `${dir}/new %Y's #{pid}.log`;
    assert.equal((await server.repipe(KEEPER, paneLog)).code, 0);
    await until(
      "the log is there",
      () => [...Deno.readDirSync(dir)].some((entry) => `${dir}/${entry.name}` === paneLog),
    );
  }));

Deno.test("Server.pid() does not take rubbish for a pid", async () => {
  for (const stdout of ["", "0\n", "-1\n", "x\n", "1.5\n"]) {
    const reply = await new Server(toolsThat(() => ({ stdout })), "/s").pid();
    assert.deepEqual(reply, { failure: "refused", said: "" });
  }
});

Deno.test("escapeArg() changes nothing but a semicolon at the end", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    if (!text.endsWith(";")) assert.equal(escapeArg(text), text);
    assert.equal(escapeArg(`${text};`), `${text}\\;`);
  }));
});

Deno.test("escapeFormat() doubles hashes, save before a bracket", () => {
  for (
    const [text, format] of [
      ["", ""],
      ["#", "##"],
      ["#{pid}", "##{pid}"],
      ["a##b", "a####b"],
      ["#[", "#["],
      ["##[#", "##[##"],
    ]
  ) assert.equal(escapeFormat(text!), format);
});

Deno.test("quoteWord() is one word of sh", async () => {
  await fc.assert(
    fc.asyncProperty(awkward, async (text) => {
      const { stdout } = await denoTools.run("sh", ["-c", `printf %s ${quoteWord(text)}`]);
      assert.equal(stdout, text);
    }),
    { numRuns: 30 },
  );
});

Deno.test("clientFailure() reads tmux's messages", () => {
  for (
    const [stderr, failure] of [
      ["no server running on /r/run/claude-bob.sock\n", "no-server"],
      ["error connecting to /r/a b (x).sock (No such file or directory)\n", "no-socket"],
      ["error connecting to /r/x.sock (Connection refused)\n", "no-server"],
      ["error connecting to /r/x.sock (Permission denied)\n", "refused"],
      ["server exited unexpectedly\n", "lost"],
      ["[server exited unexpectedly]\n", "lost"],
      ["[server exited]\n", "lost"],
      ["lost server\n", "lost"],
      ["server version is too old for client\n", "version"],
      ["protocol version mismatch (client 8, server 7)\n", "version"],
      ["open terminal failed: not a terminal\n", "version"],
      ["can't find session: claude-bob\n", "refused"],
      ["", "refused"],
    ]
  ) {
    assert.equal(clientFailure(result({ code: 1, stderr: stderr! })), failure, stderr);
    assert.equal(clientFailure(result({ stderr: stderr! })), undefined);
  }
  for (
    const fields of [
      { timedOut: true, signal: "SIGKILL" },
      { failure: "tmux: not found" },
      { signal: "SIGTERM" },
    ]
  ) assert.equal(clientFailure(result({ code: undefined, ...fields })), "timeout");
});

Deno.test("parseNewSession() reads two pids", () => {
  assert.deepEqual(parseNewSession("42 43\n"), { serverPid: 42, panePid: 43 });
  assert.equal(parseNewSession("42\n"), undefined);
  assert.equal(parseNewSession(""), undefined);
});

Deno.test("attachArgs(), waitArgs() and canaryChannel() name the session exactly", () => {
  assert.equal(canaryChannel("claude-bob"), "iap-canary-claude-bob");
  assert.deepEqual(waitArgs("/s", "claude-bob").slice(-2), ["wait-for", "iap-canary-claude-bob"]);
  assert.deepEqual(attachArgs("/s", "claude-bob").slice(-2), ["-t", "=claude-bob"]);
});
