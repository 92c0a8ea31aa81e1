/**
 * The throwaway root of one schedule, the commands that are run on it, and
 * what was done to its servers.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Paths, pathsOf } from "../lib/config.ts";
import { permissionFlags } from "../lib/permissions.ts";
import { allPids, type Observer, type Role, type Seen, statOf } from "./observer.ts";
import { type Deed, faultsOf } from "./schedule.ts";

const HERE = dirname(dirname(fileURLToPath(import.meta.url)));
const MARK = "IAPEER_CHAOS";
/** The caller's own root and tmux are none of a schedule's business. */
const NOT_INHERITED = ["IAPEER_ROOT", "TMUX", "TMUX_PANE", "IAPEER_TEST_FAULT"];

/** A command of the program under test. */
export interface Command {
  readonly deed: Deed | undefined;
  readonly args: readonly string[];
  readonly pid: number;
  readonly ticks: number | undefined;
  /** Milliseconds of the monotonic clock. */
  readonly begunAt: number;
  endedAt: number | undefined;
  code: number | undefined;
  signal: string | undefined;
  stdout: string;
  stderr: string;
  readonly ended: Promise<void>;
}

/** Something that ends a server and that nobody claims. */
export interface Blow {
  readonly server: Seen;
  readonly at: number;
  readonly what: string;
}

/** One schedule's world. */
export class World {
  readonly base: string;
  readonly root: string;
  readonly paths: Paths;
  readonly observer: Observer;
  readonly commands: Command[] = [];
  /** What ended servers, unasked. */
  readonly blows: Blow[] = [];
  /** Sessions that were ended from within: a wanted end. */
  readonly ownEnds: { readonly server: Seen | undefined; readonly at: number }[] = [];
  /** Processes that were stopped by a signal. */
  readonly held: {
    readonly pid: number;
    readonly ticks: number | undefined;
    readonly at: number;
  }[] = [];
  /** When each deed was done. */
  readonly deeds: { readonly deed: Deed; readonly at: number }[] = [];
  /** What was done, with its time. */
  readonly diary: string[] = [];
  readonly #from = performance.now();
  #closed = false;

  constructor(observer: Observer) {
    this.observer = observer;
    this.base = Deno.makeTempDirSync({ prefix: "iapc" });
    this.root = join(this.base, "r");
    this.paths = pathsOf(this.root);
  }

  /** Writes down what is done. */
  note(what: string): void {
    this.diary.push(`${(performance.now() - this.#from).toFixed(0).padStart(6)} ms  ${what}`);
  }

  /** A moment, as the diary counts. */
  since(at: number): number {
    return Math.round(at - this.#from);
  }

  /** The log of the fault points at which a process has died. */
  get faults(): string {
    return join(this.root, "faults.log");
  }

  /**
   * Starts a command of the program under test.
   *
   * @throws {Error} If the world is closed: nobody would end it.
   */
  start(args: readonly string[], deed?: Deed): Command {
    if (this.#closed) throw new Error("Cannot start a command: the schedule is over");
    const env = Deno.env.toObject();
    for (const name of NOT_INHERITED) delete env[name];
    env[MARK] = this.base;
    const faults = deed === undefined ? [] : faultsOf(deed);
    if (faults.length > 0) {
      env["IAPEER_TEST_FAULT"] = faults.map(({ command, point, n }) =>
        `${command} ${point} ${n} ${this.faults}`
      ).join("\n");
    }
    const [name, ...rest] = args as [string, ...string[]];
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-check",
        ...permissionFlags(this.root, Deno.env.get("HOME"), Deno.execPath()),
        join(HERE, "main.ts"),
        name,
        "--root",
        this.root,
        ...rest,
      ],
      cwd: HERE,
      clearEnv: true,
      env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: true,
    }).spawn();
    const command: Command = {
      deed,
      args,
      pid: child.pid,
      ticks: statOf(child.pid)?.ticks,
      begunAt: performance.now(),
      endedAt: undefined,
      code: undefined,
      signal: undefined,
      stdout: "",
      stderr: "",
      ended: child.status.then(({ code, signal }) => {
        command.endedAt = performance.now();
        command.code = code;
        command.signal = signal ?? undefined;
        const how = signal ?? `exit code ${code}`;
        this.note(`    ${args.slice(0, 3).join(" ")} [${child.pid}] ended: ${how}`);
      }),
    };
    void this.#read(child.stdout, (text) => command.stdout += text);
    void this.#read(child.stderr, (text) => command.stderr += text);
    this.commands.push(command);
    return command;
  }

  async #read(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) add(decoder.decode(chunk, { stream: true }));
  }

  /** Runs a command to its end; it gets this many milliseconds. */
  async run(args: readonly string[], limitMs: number): Promise<Command> {
    const command = this.start(args);
    if (!await within(command.ended, limitMs)) {
      this.note(`    ${args.join(" ")} did not end in time`);
      this.signal(command, "SIGKILL");
      await command.ended;
    }
    return command;
  }

  /** The youngest living process of a role. */
  youngest(role: Role, identity: string): Seen | undefined {
    return this.observer.living(this.root, role, identity).at(-1);
  }

  /** Sends a signal to a process that is still the one meant. */
  signal(to: { pid: number; ticks: number | undefined }, signal: Deno.Signal): boolean {
    const stat = statOf(to.pid);
    if (stat === undefined || stat.ticks !== to.ticks || stat.state === "Z") return false;
    try {
      Deno.kill(to.pid, signal);
      return true;
    } catch {
      return false;
    }
  }

  /** Pids of everything that was started for this world and is no zombie. */
  processes(): number[] {
    return allPids().filter((pid) => environmentOf(pid).includes(`${MARK}=${this.base}`));
  }

  /** Ends whatever is left, and removes the directory unless it is to be kept. */
  async close(keep: boolean): Promise<void> {
    this.#closed = true;
    for (let n = 0; n < 200; n++) {
      const left = this.processes();
      if (left.length === 0) break;
      for (const pid of left) this.signal({ pid, ticks: statOf(pid)?.ticks }, "SIGKILL");
      await new Promise((wake) => setTimeout(wake, 20));
    }
    await Promise.all(this.commands.map(({ ended }) => ended));
    this.observer.forget(this.root);
    if (!keep) await Deno.remove(this.base, { recursive: true });
  }
}

/** The environment that a process was started with. */
export function environmentOf(pid: number): string[] {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/environ`).split("\0");
  } catch {
    return [];
  }
}

/** Waits for something, but not for ever. */
export async function within(what: Promise<unknown>, ms: number): Promise<boolean> {
  let timer;
  const late = new Promise<false>((wake) => timer = setTimeout(() => wake(false), ms));
  const done = await Promise.race([what.then(() => true), late]);
  clearTimeout(timer);
  return done;
}
