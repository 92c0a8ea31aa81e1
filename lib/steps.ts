/**
 * The steps of an installation: carried out, or only told.
 *
 * @module
 */

import { dirname } from "node:path";
import type { Host } from "./host.ts";
import type { ToolResult } from "./process.ts";
import { writeFileAtomic } from "./store.ts";

/** Carries out steps, or only tells what they would be. */
export interface Steps {
  /** Nothing is changed. */
  readonly dry: boolean;
  /** Starts a step of another kind: does it, unless dry. */
  step(what: string, work: () => void | Promise<void>): Promise<void>;
  /** Runs a program that changes something; dry, it succeeds. */
  run(tool: string, args: readonly string[], timeoutMs?: number): Promise<ToolResult>;
  /** Puts a file in its place, whole or not at all. */
  write(path: string, text: string): Promise<void>;
  /** Removes a file or a directory with all in it. */
  remove(path: string): Promise<void>;
  /** Waits until a state has come; dry, it has. `false` when the time is up. */
  until(what: string, limitMs: number, state: () => boolean | Promise<boolean>): Promise<boolean>;
}

/** How long a service manager may take over a command, in milliseconds. */
const MANAGER_MS = 60_000;
/** Between two looks while a state is waited for, in milliseconds. */
const LOOK_MS = 100;

const SUCCESS: ToolResult = {
  code: 0,
  signal: undefined,
  stdout: "",
  stderr: "",
  timedOut: false,
  failure: undefined,
  truncated: false,
};

/**
 * Steps that are carried out.
 *
 * @param host This machine.
 * @returns The steps.
 */
export function realSteps(host: Host): Steps {
  return {
    dry: false,
    step: async (_what, work) => {
      await work();
    },
    run: (tool, args, timeoutMs = MANAGER_MS) => host.tools.run(tool, args, { timeoutMs }),
    write: (path, text) => {
      Deno.mkdirSync(dirname(path), { recursive: true });
      writeFileAtomic(path, text);
      return Promise.resolve();
    },
    remove: async (path) => {
      try {
        await Deno.remove(path, { recursive: true });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    },
    until: async (_what, limitMs, state) => {
      const deadline = performance.now() + limitMs;
      while (!await state()) {
        if (performance.now() >= deadline) return false;
        await host.sleep(LOOK_MS);
      }
      return true;
    },
  };
}

/**
 * Steps that are only told: a line each, the content of a file below its line.
 *
 * @param tell Takes one line.
 * @returns The steps.
 */
export function toldSteps(tell: (line: string) => void): Steps {
  return {
    dry: true,
    step: (what) => {
      tell(what);
      return Promise.resolve();
    },
    run: (tool, args) => {
      tell(`run: ${[tool, ...args].map(shellWord).join(" ")}`);
      return Promise.resolve(SUCCESS);
    },
    write: (path, text) => {
      tell(`write ${shellWord(path)}:`);
      for (const line of text.trimEnd().split("\n")) tell(line === "" ? "" : `    ${line}`);
      return Promise.resolve();
    },
    remove: (path) => {
      tell(`remove ${shellWord(path)}`);
      return Promise.resolve();
    },
    until: (what) => {
      tell(`wait until ${what}`);
      return Promise.resolve(true);
    },
  };
}

/**
 * A word as a POSIX shell would be given it.
 *
 * @param word Any text without NUL.
 * @returns The word itself where no shell would read more into it, else quoted.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { shellWord } from "./steps.ts";
 *
 * assert.equal(shellWord("/srv/iapeer"), "/srv/iapeer");
 * assert.equal(shellWord("it's"), "'it'\\''s'");
 * ```
 */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
