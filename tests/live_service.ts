/**
 * iapeer as a service of a real process supervisor. runit and s6 stand in for
 * launchd: they keep the program alive, give it launchd's PATH and nothing of a
 * login, and kill what is left of its process group when it has ended.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Live } from "./live.ts";
import { type Ran, run, type Running, sendSignal } from "./live_host.ts";

/** What launchd gives a job that sets no PATH. */
const PATH = "/usr/bin:/bin:/usr/sbin:/sbin";

/** The process supervisors, and what they are made of. */
const TOOLS = {
  runit: ["runsv", "sv", "chpst"],
  s6: ["s6-supervise", "s6-svc", "s6-svstat"],
} as const;

/** A process supervisor. */
export type Kind = keyof typeof TOOLS;
/** All of them. */
export const KINDS = Object.keys(TOOLS) as Kind[];

/** The program where it is installed: its file stays in place when the build is replaced. */
export class Installed {
  readonly #live: Live;
  readonly #program: string;
  #builds = 0;

  private constructor(live: Live) {
    this.#live = live;
    this.#program = join(live.base, "iapeer");
  }

  static async install(live: Live): Promise<Installed> {
    const installed = new Installed(live);
    await installed.replace();
    return installed;
  }

  /** Puts the next build in place of the present one, atomically. */
  async replace(): Promise<void> {
    const before = this.#builds === 0 ? undefined : (await this.cli(["--version"])).stdout;
    const first = Deno.env.get("IAPEER_UNDER_TEST");
    const next = Deno.env.get("IAPEER_UNDER_TEST_NEXT");
    const built = ++this.#builds === 1 ? first : next ?? first;
    if (built !== undefined) await Deno.copyFile(built, `${this.#program}.new`);
    else await Deno.symlink(await this.#buildFromSource(), `${this.#program}.new`);
    await Deno.rename(`${this.#program}.new`, this.#program);
    const { stdout } = await this.cli(["--version"]);
    if (first === undefined || next !== undefined) assert.notEqual(stdout, before);
  }

  /** Removes what is left of the builds before the present one. */
  async removeReplaced(): Promise<void> {
    for (let n = 1; n < this.#builds; n++) {
      await Deno.remove(this.#build(n), { recursive: true }).catch(() => {});
    }
  }

  /** Its command line on the test's root, in an environment as launchd gives it. */
  command(args: readonly string[]): string[] {
    const [name, ...rest] = args as [string, ...string[]];
    const env = {
      ...this.#live.env(),
      PATH,
      HOME: Deno.env.get("HOME") ?? "/",
      ...callers("DENO_DIR", "IAPEER_CACHE"),
      // From source there has to be a Deno.
      IAPEER_DENO: Deno.execPath(),
    };
    return [
      "env",
      "-i",
      ...Object.entries(env).map(([key, value]) => `${key}=${value}`),
      this.#program,
      name,
      ...(name.startsWith("-") ? [] : ["--root", this.#live.root]),
      ...rest,
    ];
  }

  /** Runs it to its end, which must be a good one. */
  async cli(args: readonly string[]): Promise<Ran> {
    const [program, ...rest] = this.command(args) as [string, ...string[]];
    const ran = await run(program, rest);
    assert.equal(ran.code, 0, `iapeer ${args.join(" ")}\n${ran.stdout}${ran.stderr}`);
    return ran;
  }

  #build(n: number): string {
    return join(this.#live.base, `build${n}`);
  }

  /** Another checkout, with a version of its own; gives the path of what is started. */
  async #buildFromSource(): Promise<string> {
    const from = fileURLToPath(new URL("..", import.meta.url));
    const build = this.#build(this.#builds);
    await Deno.mkdir(build);
    const parts = [
      ".deno-version",
      "commands",
      "deno.json",
      "deno.lock",
      "lib",
      "main.ts",
      "scripts",
    ];
    const { code, stderr } = await run("cp", [
      "-R",
      ...parts.map((part) => join(from, part)),
      build,
    ]);
    assert.equal(code, 0, stderr);
    const path = join(build, "deno.json");
    const config = JSON.parse(await Deno.readTextFile(path));
    await Deno.writeTextFile(path, JSON.stringify({ ...config, version: `0.0.${this.#builds}` }));
    return join(build, "scripts", "iapeer");
  }
}

function callers(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  }));
}

/** What a job's first lines left about it. */
interface Group {
  /** The leader of its process group, which becomes the program. */
  readonly leader: number;
  /** In that group, and not set apart: it lives as long as the group is let live. */
  readonly control: number;
}

/** One service directory and the process supervisor that minds it. */
export class Service implements AsyncDisposable {
  readonly kind: Kind;
  /** Everything that the service has printed. */
  readonly log: string;
  readonly #live: Live;
  readonly #dir: string;
  #minder: Running | undefined;

  private constructor(live: Live, kind: Kind, name: string) {
    this.#live = live;
    this.kind = kind;
    this.#dir = join(live.base, name);
    this.log = join(live.base, `${name}.log`);
  }

  /** Writes a service that runs `command`; nothing of it is started. */
  static async define(
    live: Live,
    kind: Kind,
    command: readonly string[],
    name: string = kind,
  ): Promise<Service> {
    await needTools(kind);
    const service = new Service(live, kind, name);
    const dir = service.#dir;
    await Deno.mkdir(dir);
    const script = async (name: string, ...lines: string[]) => {
      await Deno.writeTextFile(join(dir, name), ["#!/bin/sh", "set -eu", ...lines, ""].join("\n"));
      await Deno.chmod(join(dir, name), 0o700);
    };
    // s6 makes every service the leader of a session; runit has a tool for it.
    await script("run", kind === "runit" ? "exec chpst -P ./job" : "exec ./job");
    await script(
      "job",
      `exec >>${quoted(service.log)} 2>&1`,
      "sleep 10000 &",
      'echo "$$ $!" >group.new',
      "mv group.new group",
      `exec ${command.map(quoted).join(" ")}`,
    );
    // What launchd does without AbandonProcessGroup when a job has ended.
    await script(
      "finish",
      "read -r leader control <group || exit 0",
      "rm group",
      'kill -s KILL -- "-$leader" || :',
    );
    return service;
  }

  /** Starts it, by starting the process supervisor if need be. */
  async up(): Promise<void> {
    if (this.#minder !== undefined) {
      return await this.#control({ runit: ["sv", "up"], s6: ["s6-svc", "-u"] });
    }
    const minder = { runit: "runsv", s6: "s6-supervise" }[this.kind];
    this.#minder = this.#live.startOther(minder, [this.#dir]);
    await this.#live.until(
      `${minder} runs the service`,
      async () => await this.pid() !== undefined && this.group() !== undefined,
    );
  }

  /** Stops it and waits until that is done; the process supervisor stays. */
  async stop(): Promise<void> {
    await this.#control({ runit: ["sv", "-w", "60", "down"], s6: ["s6-svc", "-wD", "-d"] });
  }

  /** Ends the program in the orderly way; the process supervisor starts it again. */
  async restart(): Promise<void> {
    await this.#control({ runit: ["sv", "term"], s6: ["s6-svc", "-r"] });
  }

  /** Sends the program a signal. */
  async kill(signal: "SIGKILL" | "SIGTERM" | "SIGHUP"): Promise<void> {
    const pid = await this.pid();
    assert(pid !== undefined, "the service runs");
    sendSignal(pid, signal);
  }

  /** Stops it and ends the process supervisor. */
  async down(): Promise<void> {
    const minder = this.#minder;
    this.#minder = undefined;
    minder?.kill("SIGTERM");
    const ran = await minder?.ended;
    assert.equal(ran?.code ?? 0, 0, ran?.stderr);
  }

  /** The program, as the process supervisor knows it; `undefined` while it does not run. */
  async pid(): Promise<number | undefined> {
    const told = this.kind === "runit"
      ? await Deno.readTextFile(join(this.#dir, "supervise", "pid")).catch(() => "")
      : (await run("s6-svstat", ["-o", "pid", this.#dir])).stdout;
    const pid = parseInt(told);
    return pid > 1 ? pid : undefined;
  }

  /** The process group of the program that runs, or of the last one as long as it is not killed. */
  group(): Group | undefined {
    try {
      const [leader, control] = Deno.readTextFileSync(join(this.#dir, "group")).split(" ");
      return { leader: Number(leader), control: Number(control) };
    } catch {
      return undefined;
    }
  }

  async #control(by: Readonly<Record<Kind, readonly [string, ...string[]]>>): Promise<void> {
    const [tool, ...args] = by[this.kind];
    const { code, stdout, stderr } = await run(tool, [...args, this.#dir]);
    assert.equal(code, 0, `${tool} ${args.join(" ")}\n${stdout}${stderr}`);
  }

  /** Lets go of it, also in the middle of a test that fails; what it ran ends with the test. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#minder?.kill("SIGKILL");
    await this.#minder?.ended;
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

async function needTools(kind: Kind): Promise<void> {
  for (const tool of TOOLS[kind]) {
    const { code } = await run("sh", ["-c", 'command -v "$1"', "sh", tool]);
    assert.equal(
      code,
      0,
      `Cannot test under ${kind}: there is no ${tool} on PATH; run: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${kind}`,
    );
  }
}
