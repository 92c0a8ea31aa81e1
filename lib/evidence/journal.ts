/**
 * Reads systemd's journal: what systemd, logind and the user-space OOM killers
 * say they did, and which core dumps there are.
 *
 * @module
 */

import { type Fact, oneLine } from "../evidence.ts";
import { linesOf } from "./context.ts";

/** One line of `journalctl -o short-unix`. */
export interface JournalEntry {
  /** Epoch seconds. */
  readonly at: number;
  /** Who speaks, such as `systemd`. */
  readonly ident: string;
  /** Its pid. */
  readonly pid?: number;
  /** What it says. */
  readonly message: string;
}

/**
 * Reads one line of `journalctl -o short-unix`. Further lines of one message
 * are indented there, so none can pass for an entry.
 *
 * @param line The line.
 * @returns The entry, or `undefined` if it is none.
 */
export function parseJournalLine(line: string): JournalEntry | undefined {
  const found = /^(\d{1,12}\.\d{1,6}) \S{1,255} ([^[\]:]{1,64})(?:\[(\d{1,10})\])?: (.*)$/
    .exec(line);
  if (found === null) return undefined;
  return {
    at: Number(found[1]),
    ident: found[2] ?? "",
    ...(found[3] === undefined ? {} : { pid: Number(found[3]) }),
    message: found[4] ?? "",
  };
}

const UNIT = String.raw`(\S{1,255}\.(?:service|scope|slice))`;
const OOMD = new RegExp(`^${UNIT}: systemd-oomd killed \\d{1,10} process`);
const OOMD_ITSELF = /^Killed (\/\S{1,1000}) due to /;
const UNIT_OOM = new RegExp(
  `^${UNIT}: A process of this unit has been killed by the OOM killer`,
);
const KILLING = new RegExp(
  `^${UNIT}: Killing process (\\d{1,10}) \\((.{0,64})\\) with signal (SIG\\w{1,10})`,
);
const EARLYOOM =
  /^sending (SIG\w{1,10}) to process (\d{1,10})(?: uid \d{1,10})? "(.{0,64}?)": [a-z_]{1,20} -?\d{1,10}/;
const STOPPING = new RegExp(`^Stopping ${UNIT} - `);
const STOPPING_USER = /^Stopping User Manager for UID (\d{1,10})/;
const STOPPING_SESSION = /^Stopping Session (\w{1,20}) of [Uu]ser /;
const LOGGED_OUT = /^Session (\w{1,20}) logged out/;
const LOGIN_UNIT = /^(?:session-\w{1,20}\.scope|user@\d{1,10}\.service|user-\d{1,10}\.slice)$/;
const GOING_DOWN = /^(?:System is (?:rebooting|powering down|halting)|The system will \w)/;
const PID1_GOING_DOWN = /^(?:Shutting down\.|Reached target (?:shutdown\.target|Shutdown))/;

/**
 * Reads one entry of systemd, logind, systemd-oomd or earlyoom.
 *
 * `Removed session N` is left out: logind writes it when the last process of a
 * session is gone, so it can be the effect of the death and not its cause.
 *
 * @param entry The entry.
 * @returns What it says, or `undefined` if it is about other things.
 *
 * @example The OOM killer of systemd
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseJournalLine, parseSystemdEntry } from "./journal.ts";
 *
 * const entry = parseJournalLine(
 *   "1795327509.123456 host systemd[2036]: x.service: systemd-oomd killed 55 process(es) in this unit.",
 * );
 * const fact = entry && parseSystemdEntry(entry);
 * assert(fact?.kind === "unit-oom" && fact.unit === "x.service");
 * ```
 */
export function parseSystemdEntry(entry: JournalEntry): Fact | undefined {
  const { at, ident, message } = entry;
  const when = { at, line: oneLine(message) };
  if (ident === "earlyoom") {
    const sent = EARLYOOM.exec(message);
    if (sent === null) return undefined;
    // What follows may end in the command line, which may hold secrets.
    return {
      kind: "earlyoom",
      signal: sent[1] ?? "",
      pid: Number(sent[2]),
      name: sent[3] ?? "",
      at,
      line: oneLine(sent[0]),
    };
  }
  if (ident === "systemd-oomd") {
    const unit = OOMD_ITSELF.exec(message)?.[1]?.split("/").at(-1);
    return unit === undefined ? undefined : { kind: "unit-oom", unit, by: "systemd-oomd", ...when };
  }
  if (ident === "systemd-logind") {
    if (GOING_DOWN.test(message)) return { kind: "shutdown", ...when };
    const session = LOGGED_OUT.exec(message)?.[1];
    if (session === undefined) return undefined;
    return { kind: "logout", unit: `session-${session}.scope`, ...when };
  }
  if (ident !== "systemd") return undefined;
  const oomd = OOMD.exec(message)?.[1];
  if (oomd !== undefined) {
    return { kind: "unit-oom", unit: oomd, by: "systemd-oomd", ...when };
  }
  const lost = UNIT_OOM.exec(message)?.[1];
  if (lost !== undefined) {
    return { kind: "unit-oom", unit: lost, by: "kernel", ...when };
  }
  const [, unit, pid, name, signal] = KILLING.exec(message) ?? [];
  if (unit !== undefined && name !== undefined && signal !== undefined) {
    return {
      kind: "systemd-kill",
      unit,
      pid: Number(pid),
      name,
      signal,
      ...when,
    };
  }
  // A user's manager reaches its own shutdown target when its user logs out.
  if (entry.pid === 1 && PID1_GOING_DOWN.test(message)) {
    return { kind: "shutdown", ...when };
  }
  const stopped = stoppedUnit(message);
  if (stopped === undefined) return undefined;
  return {
    kind: LOGIN_UNIT.test(stopped) ? "logout" : "unit-stop",
    unit: stopped,
    ...when,
  };
}

/** Before version 249 systemd wrote the unit's description only. */
function stoppedUnit(message: string): string | undefined {
  const uid = STOPPING_USER.exec(message)?.[1];
  if (uid !== undefined) return `user@${uid}.service`;
  const session = STOPPING_SESSION.exec(message)?.[1];
  return session !== undefined ? `session-${session}.scope` : STOPPING.exec(message)?.[1];
}

/**
 * Reads the output of `journalctl -o short-unix` for systemd and its kin.
 *
 * @param text The output.
 * @returns What it says.
 */
export function parseSystemdJournal(text: string): Fact[] {
  const facts: Fact[] = [];
  for (const line of linesOf(text)) {
    const entry = parseJournalLine(line);
    const fact = entry === undefined ? undefined : parseSystemdEntry(entry);
    if (fact !== undefined) facts.push(fact);
  }
  return facts;
}

/** Numbers as Linux gives them on x86, arm and riscv. */
const SIGNALS: Readonly<Record<number, string>> = {
  3: "SIGQUIT",
  4: "SIGILL",
  5: "SIGTRAP",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  11: "SIGSEGV",
  24: "SIGXCPU",
  25: "SIGXFSZ",
  31: "SIGSYS",
};

/**
 * Reads the output of `coredumpctl list PID --json=short`.
 *
 * @param text The output.
 * @param pid Whose dumps.
 * @returns Them, or `undefined` if the text is not such a list.
 */
export function parseCoredumps(text: string, pid: number): Fact[] | undefined {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(list)) return undefined;
  const facts: Fact[] = [];
  for (const item of list as Record<string, unknown>[]) {
    const { time, sig, exe } = item ?? {};
    if (
      item?.pid !== pid || typeof time !== "number" || typeof sig !== "number"
    ) continue;
    facts.push({
      kind: "core-dump",
      pid,
      signal: SIGNALS[sig] ?? `signal ${sig}`,
      exe: typeof exe === "string" ? oneLine(exe) : "",
      at: time / 1e6,
    });
  }
  return facts;
}
