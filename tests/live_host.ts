/**
 * What the live tests ask of the machine: waiting for a state, and looking at
 * processes independently of the program under test.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { parseLine } from "../lib/logfmt.ts";

/** How long a state may take to come, in milliseconds: for a machine that is busy with other tests. */
export const LIMIT_MS = 30_000;

/**
 * Waits for a state.
 *
 * @param what The state, for the message when it does not come.
 * @param probe Gives something other than `undefined` and `false` once it is there.
 * @param more Tells more about the failure.
 * @param limitMs The hard limit, in milliseconds.
 * @returns What the probe gave.
 */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  more: () => string | Promise<string> = () => "",
  limitMs = LIMIT_MS,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  while (true) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) {
      throw new assert.AssertionError({
        message: `not within ${limitMs} ms: ${what}\n${await more()}`,
      });
    }
    await new Promise((wake) => setTimeout(wake, 15));
  }
}

/** How a program that was run to its end has ended. */
export interface Ran {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What {@linkcode start} and {@linkcode run} take beside program and arguments. */
export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Only what `env` says. */
  readonly clearEnv?: boolean;
}

/** A program at work. */
export interface Running {
  readonly pid: number;
  /** What it has printed so far. */
  stdout(): string;
  /** Sends it a signal; one that is gone is fine. */
  kill(signal: Deno.Signal): void;
  /** Settles when it has ended and everything that it printed is read. */
  readonly ended: Promise<Ran>;
}

/**
 * Starts a program in a session of its own: Deno sends the pid of a plain child
 * one more SIGKILL after it was reaped.
 */
export function start(
  program: string,
  args: readonly string[],
  options: StartOptions = {},
): Running {
  const child = new Deno.Command(program, {
    args: [...args],
    ...options,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  }).spawn();
  const out = { text: "" };
  const err = { text: "" };
  const ended = Promise.all([pump(child.stdout, out), pump(child.stderr, err), child.status])
    .then(([, , { code, signal }]) => ({ code, signal, stdout: out.text, stderr: err.text }));
  return {
    pid: child.pid,
    stdout: () => out.text,
    kill(signal) {
      sendSignal(child.pid, signal);
    },
    ended,
  };
}

async function pump(stream: ReadableStream<Uint8Array>, into: { text: string }): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) into.text += decoder.decode(chunk, { stream: true });
}

/** Runs a program to its end, which must come. */
export async function run(
  program: string,
  args: readonly string[],
  options: StartOptions = {},
): Promise<Ran> {
  const running = start(program, args, options);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    running.kill("SIGKILL");
  }, 2 * LIMIT_MS);
  const ran = await running.ended;
  clearTimeout(timer);
  assert(!late, `did not end: ${program} ${args.join(" ")}\n${ran.stdout}${ran.stderr}`);
  return ran;
}

/** Makes a directory that holds nothing but these tools, to be all of PATH. */
export async function toolsOnly(dir: string, tools: readonly string[]): Promise<string> {
  await Deno.mkdir(dir);
  const PATH = `${Deno.env.get("PATH")}:/usr/sbin:/sbin`;
  for (const tool of tools) {
    const { stdout } = await run("which", [tool], { env: { PATH } });
    assert.notEqual(stdout, "", tool);
    await Deno.symlink(stdout.trim(), join(dir, tool));
  }
  return dir;
}

/** Sends a signal; a process that is gone is fine. */
export function sendSignal(pid: number, signal: Deno.Signal): void {
  // 0 and less mean groups of processes, this one's own among them.
  assert(Number.isSafeInteger(pid) && pid > 1, `not the pid of a process: ${pid}`);
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** One line of the process table. */
export interface Process {
  readonly pid: number;
  readonly ppid: number;
  readonly stat: string;
  /** The command line, and where it was asked for the environment after it. */
  readonly command: string;
}

async function ps(...args: string[]): Promise<Process[]> {
  const { stdout } = await run("ps", [...args, "-o", "pid=,ppid=,stat=,command="], {
    env: { LC_ALL: "C", COLUMNS: "" },
  });
  return stdout.split("\n").flatMap((line) => {
    const match = /^ *(\d+) +(\d+) +(\S+) +(.*)$/.exec(line);
    return match === null ? [] : [{
      pid: Number(match[1]),
      ppid: Number(match[2]),
      stat: match[3]!,
      command: match[4]!,
    }];
  });
}

/** The state letter of a process, `Z` for a zombie; `undefined` when it is gone. */
export async function stateOf(pid: number): Promise<string | undefined> {
  return (await ps("-ww", "-p", String(pid)))[0]?.stat[0];
}

/** Tells whether a process runs. Init may take seconds to reap an orphan: a zombie does not. */
export async function isRunning(pid: number): Promise<boolean> {
  const state = await stateOf(pid);
  return state !== undefined && state !== "Z";
}

/** Waits until a process does not run any more. */
export async function untilGone(pid: number, what: string): Promise<void> {
  await until(`${what} ${pid} is gone`, async () => !await isRunning(pid));
}

/** Every process whose command line or environment names `mark`. Zombies have neither. */
export async function processesOf(mark: string): Promise<Process[]> {
  return (await ps("axeww")).filter(({ command }) => command.includes(mark));
}

/** Fields of one line of a log. */
export type Fields = Record<string, string>;

/** The lines of a log, oldest first; none where there is no log. */
export function readLog(path: string): Fields[] {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch {
    return [];
  }
  return text.split("\n").filter((line) => line !== "")
    .map((line) => Object.fromEntries(parseLine(line)));
}
