/**
 * Reads the Linux kernel's log: who was killed for want of memory, and who
 * crashed.
 *
 * A process chooses its own name, so a name is never trusted to end where it
 * seems to. It has at most 15 characters; the patterns here rely on that.
 *
 * @module
 */

import { type Fact, oneLine } from "../evidence.ts";
import { linesOf } from "./context.ts";
import { parseJournalLine } from "./journal.ts";

/** A kernel line about one process. */
export type KernelFact = Extract<Fact, { kind: "oom-kill" | "kernel-crash" }>;

/**
 * `Killed process 7 (name) total-vm:`; old kernels put `, UID 0,` before the
 * name. dmesg writes four characters for one that cannot be printed.
 */
const KILLED =
  /^(Memory cgroup out of memory: |Out of memory[^:]{0,40}: )?Killed process (\d{1,10})(?:, UID \d{1,10},)? \((.{0,60})\),? total-vm:/;
const CHOSEN = /^oom-kill:constraint=(CONSTRAINT_[A-Z_]{1,30}),/;
const CHOSEN_WHOM = /^,pid=(\d{1,10}),uid=\d{1,10}$/;
/** x86: `name[7]: segfault at`; arm64, riscv: `name[7]: unhandled …`. */
const FAULT = /^(.{0,15})\[(\d{1,10})\]: (?:segfault|unhandled) /;
/** `traps: name[7] trap invalid opcode ip:`, `traps: name[7] general protection fault ip:`. */
const TRAP = /^traps: (.{0,15})\[(\d{1,10})\] .{1,60}? ip:/;

/**
 * Reads one message of the kernel.
 *
 * @param text The message, without stamps.
 * @param at When, in epoch seconds.
 * @returns What it says of a process, or `undefined` if it is about other things.
 *
 * @example Names hold spaces and colons
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseKernelMessage } from "./kernel_log.ts";
 *
 * const fact = parseKernelMessage("tmux: server[11765]: segfault at 0 ip 000055b5 sp 00007ffc");
 * assert.equal(fact?.kind, "kernel-crash");
 * assert.equal(fact?.pid, 11765);
 * assert.equal(fact?.name, "tmux: server");
 * ```
 */
export function parseKernelMessage(
  text: string,
  at?: number,
): KernelFact | undefined {
  const when = { ...(at === undefined ? {} : { at }), line: oneLine(text) };
  const killed = KILLED.exec(text);
  if (killed !== null) {
    const scope = killed[1]?.startsWith("Memory cgroup") ? "memcg" : "global";
    return {
      kind: "oom-kill",
      pid: Number(killed[2]),
      name: killed[3] ?? "",
      scope,
      ...when,
    };
  }
  const chosen = CHOSEN.exec(text);
  if (chosen !== null) {
    const whomAt = text.lastIndexOf(",pid=");
    const whom = CHOSEN_WHOM.exec(text.slice(Math.max(whomAt, 0)).trimEnd());
    if (whom === null) return undefined;
    const before = text.slice(0, whomAt);
    const name = before.slice(before.lastIndexOf(",task=") + ",task=".length)
      .slice(-15);
    const scope = chosen[1] === "CONSTRAINT_MEMCG" ? "memcg" : "global";
    return { kind: "oom-kill", pid: Number(whom[1]), name, scope, ...when };
  }
  const crashed = TRAP.exec(text) ?? FAULT.exec(text);
  if (crashed === null) return undefined;
  return {
    kind: "kernel-crash",
    pid: Number(crashed[2]),
    name: crashed[1] ?? "",
    ...when,
  };
}

/** What the output of `dmesg` says. */
export interface KernelLog {
  /** Lines about processes. */
  readonly facts: readonly KernelFact[];
  /** Epoch seconds of its oldest line that could be dated: it forgets. */
  readonly oldest?: number;
}

/** `<6>[ 1789.732856][ T123] text`: priority and caller are there or not. */
const STAMPED = /^(?:<\d{1,3}>)?\[ {0,12}(\d{1,10}\.\d{1,9})\](?:\[ {0,8}[TC]\d{1,10}\])? (.*)$/;

/**
 * Reads the output of plain `dmesg`.
 *
 * @param text The output.
 * @param bootTime Epoch seconds that its stamps count from; without it no line
 * can be dated.
 * @returns Lines about processes, and how far back the log reaches.
 */
export function parseDmesg(
  text: string,
  bootTime: number | undefined,
): KernelLog {
  const facts: KernelFact[] = [];
  let oldest: number | undefined;
  for (const line of linesOf(text)) {
    const [, stamp, message] = STAMPED.exec(line) ?? [];
    const at = stamp === undefined || bootTime === undefined ? undefined : bootTime + Number(stamp);
    oldest ??= at;
    const fact = parseKernelMessage(message ?? line, at);
    if (fact !== undefined) facts.push(fact);
  }
  return { facts, ...(oldest === undefined ? {} : { oldest }) };
}

/**
 * Reads the output of `journalctl -k -o short-unix`.
 *
 * @param text The output.
 * @returns Lines about processes.
 */
export function parseKernelJournal(text: string): KernelFact[] {
  const facts: KernelFact[] = [];
  for (const line of linesOf(text)) {
    const entry = parseJournalLine(line);
    if (entry === undefined) continue;
    const fact = parseKernelMessage(entry.message, entry.at);
    if (fact !== undefined) facts.push(fact);
  }
  return facts;
}
