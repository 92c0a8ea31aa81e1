/**
 * Places between two effects at which a test can have this program killed, or
 * held up, to prove that whoever comes next sets right what it left half done.
 *
 * In normal use {@linkcode faultPoint} compares one variable with `undefined`
 * and returns. It does more only in a run from source (never in the compiled
 * binary) whose environment holds `IAPEER_TEST_FAULT`, which only
 * `deno task chaos` and the tests set:
 *
 * ```text
 * IAPEER_TEST_FAULT="<command> <point> <n> [STOP] <file>"
 * ```
 *
 * The process whose command (`launch`, `canary`, `supervise`, …) it names
 * SIGKILLs itself when it comes to the point for the n-th time, after it has
 * appended a line to the file; with `STOP` it is held up there by SIGSTOP. A
 * second line may name another command. What is for `canary`, any other command
 * hands on to the first one that it starts. The variable is taken out of the
 * environment before anything can be started, so no session and no tool ever
 * sees it.
 *
 * @module
 */

import { format } from "./build.ts";
import { runOnTerminal } from "./process.ts";

const VARIABLE = "IAPEER_TEST_FAULT";

interface Fault {
  readonly point: string;
  readonly signal: string;
  readonly log: string;
  /** How many times the point is still to be passed. */
  left: number;
}

const lines = takeLines();
/** What is to happen to this process. */
const fault = parseFault(lines.find((line) => line.startsWith(`${Deno.args[0]} `)));
/** What is meant for a canary. */
let canarys = Deno.args[0] === "canary"
  ? undefined
  : lines.find((line) => line.startsWith("canary "));

function takeLines(): string[] {
  const text = format() === "source" ? Deno.env.get(VARIABLE) : undefined;
  if (text === undefined) return [];
  Deno.env.delete(VARIABLE);
  return text.split("\n");
}

function parseFault(line: string | undefined): Fault | undefined {
  const [, point, count, signal = "KILL", log] =
    /^\S+ (\S+) (\d+) (?:(STOP) )?(.+)$/.exec(line ?? "") ?? [];
  if (point === undefined || log === undefined) return undefined;
  return { point, signal, log, left: Number(count) };
}

/**
 * The process dies here, or is held up, if a test wants it to.
 *
 * @param name Which point, for example `record:line-written`.
 */
export function faultPoint(name: string): void {
  if (fault === undefined) return;
  if (fault.point !== name || --fault.left !== 0) return;
  Deno.writeTextFileSync(fault.log, `${name} ${Deno.pid}\n`, { append: true });
  // Deno.kill would need the right to run anything. Nothing else of this
  // process goes on while it waits for its end.
  runOnTerminal("kill", [`-${fault.signal}`, String(Deno.pid)]);
}

/**
 * Starts a canary, with the fault that is meant for it, if there is one.
 *
 * @param start Starts it.
 * @returns What `start` returns.
 */
export function passFaultOn<T>(start: () => T): T {
  if (canarys === undefined) return start();
  Deno.env.set(VARIABLE, canarys);
  canarys = undefined;
  try {
    return start();
  } finally {
    Deno.env.delete(VARIABLE);
  }
}
