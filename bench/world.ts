/**
 * The throwaway root of a run, everything that is started in it, and the end
 * of both.
 *
 * @module
 */

import { join } from "node:path";
import { pathsOf } from "../lib/config.ts";
import type { Paths } from "../lib/config.ts";

/** A process that was started for the bench and whose output is read line by line. */
export interface Talker {
  readonly pid: number;
  /** The next line of its standard output; `undefined` at its end. */
  line(): Promise<string | undefined>;
  /** Settles when it has ended. */
  readonly ended: Promise<number>;
}

/** How long anything that is started may take to answer, in milliseconds. */
const ANSWER_MS = 20_000;
const SCRIPT = new URL("../scripts/iapeer", import.meta.url).pathname;

/** A throwaway root. */
export class World {
  readonly dir: string;
  readonly paths: Paths;
  /** What else is to be done once nothing of it runs any more. */
  readonly atEnd: (() => void)[] = [];

  constructor() {
    this.dir = Deno.makeTempDirSync({ prefix: "iapeer-bench-" });
    this.paths = pathsOf(join(this.dir, "root"));
    // A caller inside tmux would be taken for a nested client.
    for (const name of ["TMUX", "TMUX_PANE", "IAPEER_ROOT"]) Deno.env.delete(name);
  }

  /** A path beside the root. */
  path(name: string): string {
    return join(this.dir, name);
  }

  /**
   * Starts a program whose lines are read.
   *
   * @param program Name or path.
   * @param args Its arguments.
   * @returns The program.
   */
  start(program: string, args: readonly string[]): Talker {
    const child = new Deno.Command(program, {
      args: [...args],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
      // Ctrl-C is for the bench, which then ends everything in order.
      detached: true,
    }).spawn();
    const reader = child.stdout.getReader();
    const decoder = new TextDecoder();
    let text = "";
    return {
      pid: child.pid,
      ended: child.status.then(({ code }) => code),
      async line() {
        while (!text.includes("\n")) {
          const { done, value } = await within(reader.read(), `${program} says nothing`);
          if (done) return undefined;
          text += decoder.decode(value, { stream: true });
        }
        const at = text.indexOf("\n");
        const line = text.slice(0, at);
        text = text.slice(at + 1);
        return line;
      },
    };
  }

  /**
   * Runs a program to its end.
   *
   * @param program Name or path.
   * @param args Its arguments.
   * @returns Its exit code and what it printed.
   */
  async run(program: string, args: readonly string[]): Promise<{ code: number; text: string }> {
    const child = this.start(program, args);
    const lines: string[] = [];
    for (let line; (line = await child.line()) !== undefined;) lines.push(line);
    return { code: await within(child.ended, `${program} does not end`), text: lines.join("\n") };
  }

  /** Starts `iapeer` the way users do it from a checkout. */
  iapeer(command: string, args: readonly string[]): Talker {
    return this.start("sh", [SCRIPT, command, "--root", this.paths.root, ...args]);
  }

  /**
   * Ends every process of this world by its pid and removes the folder.
   *
   * The folder's name is random and stands on the command line of whatever
   * works in it: so also those are found whose pid never reached this process,
   * such as the canary of a launch that was interrupted.
   */
  close(): void {
    for (let n = 0; n < 20; n++) {
      const left = this.#running();
      if (left.length === 0) break;
      for (const pid of left) kill(pid);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
    for (const last of this.atEnd) last();
    Deno.removeSync(this.dir, { recursive: true });
  }

  #running(): number[] {
    const { stdout } = new Deno.Command("ps", {
      args: ["-axww", "-o", "pid=,command="],
      env: { LC_ALL: "C", COLUMNS: "" },
    }).outputSync();
    return new TextDecoder().decode(stdout).split("\n")
      .filter((line) => line.includes(this.dir))
      .map((line) => Number.parseInt(line, 10))
      .filter((pid) => pid > 0 && pid !== Deno.pid);
  }
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}

/**
 * Waits, but not for ever.
 *
 * @param promise What to wait for.
 * @param what Said when it takes too long.
 * @param ms How long at most, in milliseconds.
 * @returns Its value.
 * @throws {Error} When the time is up.
 */
export async function within<T>(promise: Promise<T>, what: string, ms = ANSWER_MS): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`Cannot measure: ${what}`)), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for a fixed time. */
export function pause(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}
