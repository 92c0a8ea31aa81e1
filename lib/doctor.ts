/**
 * The doctor: what can go wrong on this host, looked at without changing
 * anything.
 *
 * @module
 */

import { supervisorLock } from "./supervisor.ts";
import config from "../deno.json" with { type: "json" };
import { chooseRoot } from "./config.ts";
import { type Context, messageOf } from "./context.ts";
import { checkDisk } from "./doctor/disk.ts";
import {
  type Check,
  type Examined,
  type Finding,
  type Sessions,
  type Supervisor,
  warning,
  word,
} from "./doctor/check.ts";
import { checkCrashReports, checkJournal, checkKernelLog } from "./doctor/evidence.ts";
import { checkFiles, checkRoot, checkSockets } from "./doctor/root.ts";
import { checkService, checkSettings, checkVersion } from "./doctor/service.ts";
import { checkCanaries, checkSessions } from "./doctor/sessions.ts";
import { checkStrays } from "./doctor/strays.ts";
import { checkTerminal } from "./doctor/terminal.ts";
import { checkTmux } from "./doctor/tmux.ts";
import { drill, type DrillReport } from "./drill.ts";
import { isLocked } from "./locks.ts";
import { failureOf } from "./process.ts";
import { parsePsTable, type PsRow } from "./ps_table.ts";
import { serviceState } from "./service.ts";
import { listSessions, readSession, troubleWith } from "./sessions.ts";
import { statusOf } from "./status.ts";

export type { Finding, Level } from "./doctor/check.ts";

/** The checks by name, in the order in which they are told. */
export const CHECKS: Readonly<Record<string, Check>> = {
  "tmux": checkTmux,
  "root": checkRoot,
  "files": checkFiles,
  "sockets": checkSockets,
  "disk": checkDisk,
  "service": checkService,
  "version": checkVersion,
  "settings": checkSettings,
  "kernel log": checkKernelLog,
  "journal": checkJournal,
  "crash reports": checkCrashReports,
  "sessions": checkSessions,
  "canaries": checkCanaries,
  "terminal": checkTerminal,
  "strays": checkStrays,
};

/**
 * Makes all checks, side by side. One that fails is a line of its own and does
 * not keep the others from being made.
 *
 * @param of What is looked at.
 * @param checks Which; all unless told.
 * @returns What they say, in order.
 *
 * @example A check that fails
 * ```ts
 * import assert from "node:assert/strict";
 * import { contextOf } from "./context.ts";
 * import { examine, examined } from "./doctor.ts";
 *
 * const findings = await examine(examined(contextOf("/nowhere")), {
 *   "broken": () => {
 *     throw new Error("no such tool");
 *   },
 *   "sound": () => [{ level: "ok", text: "all is well" }],
 * });
 * assert.deepEqual(findings.map(({ check, level, text }) => [check, level, text]), [
 *   ["broken", "warning", "could not look: no such tool"],
 *   ["sound", "ok", "all is well"],
 * ]);
 * ```
 */
export async function examine(
  of: Examined,
  checks: Readonly<Record<string, Check>> = CHECKS,
): Promise<Finding[]> {
  const findings = await Promise.all(
    Object.entries(checks).map(async ([check, look]) => {
      try {
        return (await look(of)).map((said) => ({ check, ...said }));
      } catch (error) {
        const said = warning(`could not look: ${messageOf(error)}`, of.command("doctor"));
        return [{ check, ...said }];
      }
    }),
  );
  return findings.flat();
}

/**
 * Holds a fire drill and says in one line what came of it.
 *
 * @param of What is looked at.
 * @returns The line, and the report unless the drill could not be held.
 */
export async function examineByDrill(
  of: Examined,
): Promise<{ finding: Finding; report?: DrillReport }> {
  const remedy = of.command("drill --keep");
  try {
    const report = await drill(of.ctx, "kill", false);
    if (report.passed) {
      return { finding: { check: "drill", level: "ok", text: timelineOf(report) }, report };
    }
    const text = `expected ${report.expected}; seen: ${report.seen}`;
    return { finding: { check: "drill", level: "problem", text, remedy }, report };
  } catch (error) {
    return { finding: { check: "drill", level: "problem", text: messageOf(error), remedy } };
  }
}

function timelineOf({ timeline }: DrillReport): string {
  const steps = [
    ["noticed", timeline.noticed],
    ["recorded", timeline.lineDurable],
    ["verdict", timeline.verdict],
    ["snapshot", timeline.snapshot],
  ] as const;
  const said = steps.flatMap(([name, ms]) => ms === undefined ? [] : [`${name} ${ms} ms`]);
  return `passed; after SIGKILL to a server: ${said.join(", ")}`;
}

/**
 * What is looked at, on this machine. Looks at nothing yet.
 *
 * @param ctx The root.
 * @returns The look-ups that the checks share.
 */
export function examined(ctx: Context): Examined {
  return {
    ctx,
    uid: Deno.uid(),
    path: Deno.env.get("PATH") ?? "",
    version: config.version,
    made: isThere(ctx.paths.root),
    command: commandFor(ctx),
    service: once(() => serviceState(ctx)),
    supervisor: once(() => supervisorOf(ctx)),
    sessions: once(() => sessionsOf(ctx)),
    processes: once(() => processTable(ctx)),
  };
}

function once<T>(look: () => T | Promise<T>): () => Promise<T> {
  let looked: Promise<T> | undefined;
  return () => looked ??= Promise.resolve().then(look);
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    // What may not be looked at is there.
    return !(error instanceof Deno.errors.NotFound);
  }
}

/** A remedy shall work where it is pasted: it names the root where that would not be guessed. */
function commandFor(ctx: Context): (args: string) => string {
  const { root } = ctx.paths;
  const guessed = guessedRoot();
  return (args) => root === guessed ? `iapeer ${args}` : `iapeer ${args} --root ${word(root)}`;
}

/** The root of a command that names none; without a HOME there is none. */
function guessedRoot(): string | undefined {
  try {
    return chooseRoot(undefined, (name) => Deno.env.get(name), () => "/");
  } catch {
    return undefined;
  }
}

function supervisorOf(ctx: Context): Supervisor | undefined {
  const path = supervisorLock(ctx);
  if (!isLocked(path)) return undefined;
  try {
    const { pid, version } = JSON.parse(Deno.readTextFileSync(path));
    return {
      ...(typeof pid === "number" ? { pid } : {}),
      ...(typeof version === "string" ? { version } : {}),
    };
  } catch {
    // It has the lock and has not yet noted who it is.
    return {};
  }
}

/** Damaged records are told of, and left where they are: only a tick sets them aside. */
async function sessionsOf(ctx: Context): Promise<Sessions> {
  const damaged = listSessions(ctx).flatMap((identity) => {
    const trouble = troubleWith(ctx, identity);
    return trouble === undefined ? [] : [{ identity, trouble }];
  });
  const sound = listSessions(ctx).filter((one) => !damaged.some((d) => d.identity === one));
  const records = sound.map((identity) => readSession(ctx, identity));
  const busy = new Set(sound.filter((identity) => isBusy(ctx, identity)));
  const statuses = await statusOf(ctx, sound);
  const known = statuses.flatMap((status) => {
    const record = records.find((one) => one?.identity === status.identity);
    return record === undefined ? [] : [{ record, status, busy: busy.has(status.identity) }];
  });
  return { known, damaged };
}

function isBusy(ctx: Context, identity: string): boolean {
  try {
    return isLocked(ctx.paths.lock(`${identity}.session`));
  } catch {
    // A lock file that may not be opened is told of by its mode.
    return false;
  }
}

async function processTable(ctx: Context): Promise<PsRow[]> {
  const result = await ctx.host.tools.run("ps", [
    "-axww",
    "-o",
    "pid,ppid,pgid,uid,rss,vsz,etime,lstart,stat,tty,ucomm,command",
  ]);
  const trouble = failureOf("ps", result);
  if (trouble !== undefined) throw new Error(trouble);
  return parsePsTable(result.stdout);
}
