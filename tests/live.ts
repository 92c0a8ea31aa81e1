/**
 * A root of its own for each live test, the program under test run on it as
 * users run it, and a clean-up that leaves nothing running.
 *
 * @module
 */

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeClaim } from "../lib/claims.ts";
import { type Context, contextOf } from "../lib/context.ts";
import { dropNodeShim } from "../lib/environment.ts";
import { parseLine } from "../lib/logfmt.ts";
import { permissionFlags } from "../lib/permissions.ts";
import { listSessions, readSession } from "../lib/sessions.ts";
import type { SessionStatus } from "../lib/status.ts";
import {
  type Fields,
  isRunning,
  processesOf,
  type Ran,
  readLog,
  run,
  type Running,
  sendSignal,
  start,
  type StartOptions,
  stateOf,
  until,
  untilGone,
} from "./live_host.ts";

export type { Fields } from "./live_host.ts";

// What the tests start shall see their caller's environment, not what Deno adds for its children.
dropNodeShim();

const HERE = dirname(dirname(fileURLToPath(import.meta.url)));

/** Names this test in the environment of everything that it starts. */
const MARK = "IAPEER_LIVE_TEST";
/** Does nothing until it is ended. */
export const SLEEP = ["sleep", "10000"] as const;
/** A session that was launched. */
export interface Session {
  readonly identity: string;
  readonly serverPid: number;
  readonly canaryPid: number;
  readonly sock: string;
}

/** What a tick says of a session. */
export interface Outcome {
  readonly identity: string;
  readonly outcome: string;
  readonly reason?: string;
}

/** One test's root and everything that runs for it. */
export class Live implements AsyncDisposable {
  /** The test's own directory; the root lies in it. */
  readonly base: string;
  readonly root: string;
  readonly #running: Running[] = [];

  private constructor(base: string, rootName: string) {
    this.base = base;
    this.root = rootName === "" ? base : join(base, rootName);
  }

  /**
   * Makes a directory for a test.
   *
   * @param rootName Name of the root in it; the program makes the root itself.
   */
  static async open(rootName = "r"): Promise<Live> {
    // Short: a socket's path has to fit into 103 bytes. Real: macOS has its temporary folder behind a symlink.
    return new Live(await Deno.realPath(await Deno.makeTempDir({ prefix: "iap" })), rootName);
  }

  /** For calls into lib/ where the command line has no way in. */
  get ctx(): Context {
    return contextOf(this.root);
  }

  env(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return { [MARK]: this.base, ...more };
  }

  /** The command line of the program under test. */
  command(args: readonly string[], root = this.root): [program: string, args: string[]] {
    const [name, ...rest] = args as [string, ...string[]];
    const all = [name, "--root", root, ...rest];
    const other = Deno.env.get("IAPEER_UNDER_TEST");
    if (other !== undefined) return [other, all];
    const home = Deno.env.get("HOME");
    let real = root;
    try {
      real = Deno.realPathSync(root);
    } catch {
      // It is made by the program.
    }
    const flags = permissionFlags(root, home, Deno.execPath(), real);
    const config = ["--config", join(HERE, "deno.json")];
    return [Deno.execPath(), [
      "run",
      "--quiet",
      ...config,
      ...flags,
      join(HERE, "main.ts"),
      ...all,
    ]];
  }

  /** Runs the program to its end. */
  async cli(args: readonly string[], options: StartOptions = {}, root?: string): Promise<Ran> {
    return await run(...this.command(args, root), { ...options, env: this.env(options.env) });
  }

  /** {@linkcode cli} that must end with 0; gives what it printed. */
  async ok(args: readonly string[], options: StartOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.cli(args, options);
    assert.equal(code, 0, `iapeer ${args.join(" ")}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Starts the program and leaves it at work. */
  start(args: readonly string[], options: StartOptions = {}): Running {
    return this.startOther(...this.command(args), options);
  }

  /** Starts any program and leaves it at work. */
  startOther(program: string, args: readonly string[], options: StartOptions = {}): Running {
    const running = start(program, args, { ...options, env: this.env(options.env) });
    this.#running.push(running);
    return running;
  }

  /** Launches a session that does nothing unless told. */
  async launch(
    identity: string,
    flags: readonly string[] = [],
    argv: readonly string[] = SLEEP,
    options: StartOptions = {},
  ): Promise<Session> {
    const args = ["launch", "--identity", identity, ...flags, "--json", "--", ...argv];
    return JSON.parse(await this.ok(args, options));
  }

  /** A session whose own canary is gone, so that a tick has given it one in attach mode. */
  async launchAttached(identity: string, argv: readonly string[] = SLEEP): Promise<Session> {
    const session = await this.launch(identity, [], argv);
    sendSignal(session.canaryPid, "SIGKILL");
    await untilGone(session.canaryPid, "the own canary");
    await this.tick();
    const { canary } = await this.status(identity);
    assert.equal(canary.mode, "attach");
    return { ...session, canaryPid: canary.pid! };
  }

  /** A session that is watched in this way. */
  launchIn(mode: "own" | "attach", identity: string): Promise<Session> {
    return mode === "own" ? this.launch(identity) : this.launchAttached(identity);
  }

  /** One tick, as `supervise --once` prints it. */
  async tick(): Promise<Outcome[]> {
    return JSON.parse(await this.ok(["supervise", "--once", "--json"]));
  }

  /** What one tick does about one session. */
  async tickOf(identity: string): Promise<Outcome> {
    const found = (await this.tick()).find((one) => one.identity === identity);
    assert(found !== undefined, `no outcome for ${identity}`);
    return found;
  }

  /** How a session is, whatever the exit code says. */
  async status(identity: string): Promise<SessionStatus> {
    const { stdout, stderr } = await this.cli(["status", "--json", identity]);
    assert.notEqual(stdout, "", stderr);
    return JSON.parse(stdout)[0];
  }

  /** Runs a tmux client on any server. */
  tmux(sock: string, ...args: string[]): Promise<Ran> {
    return run("tmux", ["-N", "-S", sock, ...args], { env: this.env() });
  }

  /** A tmux server that iapeer has not started; gives socket and pid. */
  async foreignServer(
    name: string,
    argv: readonly string[] = SLEEP,
  ): Promise<{ sock: string; pid: number }> {
    const sock = join(this.base, `${name}.sock`);
    const args = ["-f", "/dev/null", "-S", sock, "new-session", "-d", "-s", "main", ...argv];
    const { code, stderr } = await run("tmux", args, { env: this.env() });
    assert.equal(code, 0, stderr);
    const { stdout } = await this.tmux(sock, "display-message", "-p", "#{pid}");
    return { sock, pid: Number(stdout) };
  }

  /** The records of one kind in `exits.log`, of one session or of all. */
  records(ev: string, identity?: string): Fields[] {
    return readLog(this.ctx.paths.exitsLog).filter((fields) =>
      fields["ev"] === ev && (identity === undefined || fields["identity"] === identity)
    );
  }

  /** The decisions of one kind in `lifecycle.log`. */
  decisions(ev: string, identity?: string): Fields[] {
    return readLog(this.ctx.paths.lifecycleLog).filter((fields) =>
      fields["ev"] === ev && (identity === undefined || fields["identity"] === identity)
    );
  }

  /** Names of the snapshots about one server. */
  snapshots(serverPid: number): string[] {
    try {
      return [...Deno.readDirSync(this.ctx.paths.serverDeaths)].map(({ name }) => name)
        .filter((name) => name.endsWith(`-${serverPid}.txt`));
    } catch {
      return [];
    }
  }

  /** {@linkcode until} that tells about this root when the state does not come. */
  until<T>(
    what: string,
    probe: () => T | undefined | false | Promise<T | undefined | false>,
  ): Promise<T> {
    return until(what, probe, async () => {
      const { lifecycleLog, exitsLog } = this.ctx.paths;
      const logs = [lifecycleLog, exitsLog].flatMap((path) => readLog(path));
      const runs = (await processesOf(this.base)).map(({ pid, command }) => `${pid} ${command}`);
      return [...logs.map((fields) => JSON.stringify(fields)), ...runs].join("\n");
    });
  }

  /** Waits for the lines of a kind that concern a session. */
  record(ev: string, identity: string): Promise<Fields> {
    return this.until(`${ev} of ${identity}`, () => this.records(ev, identity)[0]);
  }

  /** What runs for this test, beside what {@linkcode start} started. */
  async processes(): Promise<string[]> {
    const started = this.#running.map(({ pid }) => pid);
    return (await processesOf(this.base)).filter(({ pid }) => !started.includes(pid))
      .map(({ pid, command }) => `${pid} ${command.slice(0, 200)}`);
  }

  /** Claims what lives, ends everything of this test, and removes its directory. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { ctx } = this;
    try {
      for (const identity of listSessions(ctx)) {
        const server = readSession(ctx, identity)?.server;
        if (server !== undefined) writeClaim(ctx, identity, server, "stop", "end of the test");
      }
    } catch {
      // A root that the test has broken: then there is no canary that could read a claim.
    }
    await until(`nothing of ${this.base} runs`, async () => {
      const left = await processesOf(this.base);
      for (const { pid } of left) sendSignal(pid, "SIGKILL");
      return left.length === 0;
    });
    await Promise.all(this.#running.map((running) => running.ended));
    await Deno.remove(this.base, { recursive: true });
  }
}

/** An unasked death was recorded: once, with these fields, and nothing of the watch is left. */
export async function assertRecorded(
  live: Live,
  { identity, serverPid, canaryPid }: Session,
  expected: Fields,
): Promise<void> {
  await live.record("server-exit", identity);
  await untilGone(canaryPid, "the canary");
  assert(!await isRunning(serverPid), "the server is gone");
  const of = live.records("server-exit", identity)
    .filter((fields) => fields["server_pid"] === String(serverPid));
  assert.equal(of.length, 1, "one record");
  const [fields] = of as [Fields];
  // Its parent has reaped it; anybody else's orphan may wait for init.
  if (fields["cause"] === "signal" || fields["cause"] === "exit-code") {
    assert.equal(await stateOf(serverPid), undefined, "the server is not even a zombie");
  }
  for (const [key, value] of Object.entries({ witness: "canary", ...expected })) {
    assert.equal(fields[key], value, `${key} in ${JSON.stringify(fields)}`);
  }
  assert.equal(live.snapshots(serverPid).length, 1, "one snapshot");
  const head = Deno.readTextFileSync(fields["forensics"]!).split("\n")[0]!;
  const said = parseLine(head.replace(/^server-death /, ""));
  assert.match(head, /^server-death /);
  assert.equal(said.get("identity"), identity);
  assert.equal(said.get("server_pid"), String(serverPid));
}

/** A wanted end: nothing is recorded, by the canary or by a tick that comes later. */
export async function assertSilent(live: Live, session: Session): Promise<void> {
  await untilGone(session.canaryPid, "the canary");
  assert(!await isRunning(session.serverPid), "the server is gone");
  await live.tick();
  const of = live.records("server-exit", session.identity)
    .filter((fields) => fields["server_pid"] === String(session.serverPid));
  assert.deepEqual(of, []);
  assert.deepEqual(live.snapshots(session.serverPid), []);
}
