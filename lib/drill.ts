/**
 * The fire drill: a session is launched in a throwaway root, its server is
 * ended in one of several ways, and what ought to follow is watched for.
 *
 * @module
 */

import { join } from "./path.ts";
import { openRoot } from "./config.ts";
import { type Context, contextOf } from "./context.ts";
import { type Death, listDeaths } from "./deaths.ts";
import { isInLog } from "./exits.ts";
import { callersEnvironment } from "./environment.ts";
import { IapeerError } from "./errors.ts";
import { livenessOf, sendSignal, waitGone } from "./host.ts";
import { isLocked } from "./locks.ts";
import { launch } from "./launch.ts";
import { readLines } from "./log.ts";
import { CANNOT, FEEDING, oomProgram } from "./oom_drill.ts";
import { readSession, type SessionRecord } from "./sessions.ts";
import { isThere } from "./store.ts";
import { stop } from "./stop.ts";
import { Server } from "./tmux.ts";
import type { VerdictName } from "./verdict.ts";
import { canaryLock, readCanaryNote } from "./watcher.ts";

/** How the server ends. */
export type DrillKind = "kill" | "crash" | "kill-server" | "stop" | "oom";

/** What ought to follow. */
interface Expectation {
  readonly end: string;
  /** `undefined`: silence. */
  readonly cause: string | undefined;
  readonly verdicts: readonly VerdictName[];
}

const EXPECTED: Readonly<Record<DrillKind, Expectation>> = {
  "kill": { end: "SIGKILL to the server", cause: "SIGKILL", verdicts: ["killed"] },
  "crash": { end: "SIGSEGV to the server", cause: "SIGSEGV", verdicts: ["crash"] },
  "kill-server": { end: "tmux kill-server", cause: "exit code 0", verdicts: ["shutdown-request"] },
  "stop": { end: "iapeer stop", cause: undefined, verdicts: [] },
  "oom": {
    end: "the kernel's OOM killer in a memory cgroup",
    cause: "SIGKILL",
    verdicts: ["oom-kill"],
  },
};

/** What a drill found. */
export interface DrillReport {
  /** Which drill. */
  readonly kind: DrillKind;
  /** Everything that was expected came true. */
  readonly passed: boolean;
  /** What should happen. */
  readonly expected: string;
  /** What happened. */
  readonly seen: string;
  /**
   * Milliseconds since the server was ended, or since its death was noticed
   * where only the kernel knows when it was ended; what did not come is absent.
   */
  readonly timeline: {
    readonly noticed?: number;
    readonly lineDurable?: number;
    readonly verdict?: number;
    readonly snapshot?: number;
  };
  /** The records of `exits.log`. */
  readonly records: readonly string[];
  /** Path of the snapshot, if one was written. */
  readonly snapshot?: string;
  /** The throwaway root, if it was kept. */
  readonly root?: string;
}

const IDENTITY = "iapeer-drill";
/** How long a record may take, in milliseconds: a verdict takes 15 s at the most. */
const RECORD_MS = 20_000;
/** How long the canary may take to look around, in milliseconds. */
const ARMED_MS = 5000;
/** How long the kernel may take to kill a server that is being fed, in milliseconds. */
const OOM_MS = 30_000;

/**
 * Runs a drill.
 *
 * @param outer The user's root; the throwaway root lies in it, where this
 * program may write.
 * @param kind How the server ends.
 * @param keep Keep the throwaway root.
 * @returns What came of it; nothing is left running.
 * @throws {IapeerError} If the drill cannot be held here, with the reason.
 */
export async function drill(
  outer: Context,
  kind: DrillKind,
  keep: boolean,
): Promise<DrillReport> {
  const had = isThere(outer.paths.root);
  const drills = join(outer.paths.root, "drill");
  const ctx = contextOf(join(drills, crypto.randomUUID().slice(0, 6)), outer.host);
  openRoot(ctx.paths, Deno.uid());
  try {
    return await hold(ctx, kind, keep);
  } finally {
    await clear(ctx);
    if (!keep) {
      Deno.removeSync(ctx.paths.root, { recursive: true });
      removeEmpty(drills);
      if (!had) removeEmpty(outer.paths.root);
    }
  }
}

async function hold(ctx: Context, kind: DrillKind, keep: boolean): Promise<DrillReport> {
  const sock = ctx.paths.sock(IDENTITY);
  const name = `iapeer-drill-${crypto.randomUUID().slice(0, 8)}`;
  await launch(ctx, {
    identity: IDENTITY,
    replace: false,
    spec: {
      argv: kind === "oom" ? oomProgram(sock, name) : ["sleep", "3600"],
      cwd: "/",
      env: callersEnvironment({}),
      size: "80x24",
      policy: { restart: "never" },
    },
  });
  const record = readSession(ctx, IDENTITY)!;
  await until(() => readCanaryNote(ctx, IDENTITY)?.armed, ARMED_MS);
  const endedAt = await end(ctx, kind, record);
  const death = kind === "stop"
    ? await proveSilence(ctx)
    : await until(() => listDeaths(ctx).find((one) => one.step === "closed"), RECORD_MS);
  return report(ctx, kind, death, endedAt, keep);
}

/**
 * Ends the server.
 *
 * @returns When, in epoch milliseconds: just before kill(1) or its like is
 * started. `undefined` if only the kernel knows.
 */
async function end(
  ctx: Context,
  kind: DrillKind,
  record: SessionRecord,
): Promise<number | undefined> {
  const { host } = ctx;
  const server = record.server!;
  switch (kind) {
    case "kill":
    case "crash": {
      // The look at the process beforehand is not part of the time.
      const signal = kind === "kill" ? "-KILL" : "-SEGV";
      const at = host.now();
      await host.tools.run("kill", [signal, String(server.pid)]);
      return at;
    }
    case "kill-server": {
      const at = host.now();
      await new Server(host.tools, record.sock).killServer();
      return at;
    }
    case "stop": {
      const at = host.now();
      await stop(ctx, IDENTITY);
      return at;
    }
    case "oom":
      await waitForOom(ctx, record);
      return undefined;
  }
}

async function waitForOom(ctx: Context, record: SessionRecord): Promise<void> {
  if (ctx.host.platform !== "linux") {
    throw new IapeerError(
      "Cannot hold an OOM drill here: only Linux has memory cgroups; use another --kind",
    );
  }
  const said = () => paneLog(ctx);
  await until(() => said().includes(FEEDING) || said().includes(CANNOT), OOM_MS);
  const deadline = performance.now() + OOM_MS;
  while (await livenessOf(ctx.host, record.server!) !== "gone") {
    const cannot = said().split(CANNOT)[1]?.split("\n")[0]?.trim();
    if (cannot !== undefined || performance.now() > deadline) {
      throw new IapeerError(
        `Cannot hold an OOM drill here: ${
          cannot ?? "the kernel did not kill the server in time"
        }; run it as root or in a delegated memory cgroup, or use another --kind`,
      );
    }
    await ctx.host.sleep(5);
  }
}

function paneLog(ctx: Context): string {
  try {
    return Deno.readTextFileSync(ctx.paths.paneLog(IDENTITY));
  } catch {
    return "";
  }
}

/** Once the canary has left, nobody is there any more who could record anything. */
async function proveSilence(ctx: Context): Promise<Death | undefined> {
  await until(() => !isLocked(canaryLock(ctx, IDENTITY)), RECORD_MS);
  return listDeaths(ctx)[0];
}

function report(
  ctx: Context,
  kind: DrillKind,
  death: Death | undefined,
  endedAt: number | undefined,
  keep: boolean,
): DrillReport {
  const expectation = EXPECTED[kind];
  const records = readLines(ctx.paths, ctx.paths.exitsLog);
  const cause = death &&
    (death.signal ?? (death.code === undefined ? death.cause : `exit code ${death.code}`));
  const expected = expectation.cause === undefined
    ? "silence: no record, no snapshot"
    : `one record with ${expectation.cause}, one snapshot, verdict ${
      expectation.verdicts.join(" or ")
    }`;
  const seen = death === undefined
    ? records.length === 0 ? "silence" : `${records.length} records`
    : `${count(records, "server-exit")} record with ${cause}, ${
      death.forensics === undefined ? "no" : "one"
    } snapshot, verdict ${death.verdict ?? "not reached"} (${death.confidence ?? "-"})`;
  const passed = expectation.cause === undefined
    ? death === undefined && records.length === 0
    : death !== undefined && cause === expectation.cause && death.forensics !== undefined &&
      count(records, "server-exit") === 1 && isInLog(ctx, "server-verdict", death.id) &&
      expectation.verdicts.includes(death.verdict!);
  const zero = endedAt ?? death?.observedAt ?? 0;
  const since = (at: number | undefined) => at === undefined ? undefined : at - zero;
  const timeline = Object.entries({
    noticed: endedAt === undefined ? undefined : since(death?.observedAt),
    lineDurable: since(death?.recordedAt),
    verdict: since(death?.verdictAt),
    snapshot: since(death?.snapshotAt),
  }).filter(([, ms]) => ms !== undefined);
  return {
    kind,
    passed,
    expected,
    seen,
    timeline: Object.fromEntries(timeline),
    records,
    ...(death?.forensics === undefined ? {} : { snapshot: death.forensics }),
    ...(keep ? { root: ctx.paths.root } : {}),
  };
}

function count(records: readonly string[], ev: string): number {
  return records.filter((line) => line.includes(` ev=${ev} `)).length;
}

/** How a server of each kind is ended, for people. */
export function endOf(kind: DrillKind): string {
  return EXPECTED[kind].end;
}

/** Whatever happened, nothing of the drill goes on. */
async function clear(ctx: Context): Promise<void> {
  try {
    const record = readSession(ctx, IDENTITY);
    if (record?.server === undefined) return;
    if (await livenessOf(ctx.host, record.server) !== "gone") {
      await stop(ctx, IDENTITY).catch(() => {});
      await sendSignal(ctx.host, record.server, "KILL");
      await waitGone(ctx.host, record.server, 3000);
    }
    await until(() => !isLocked(canaryLock(ctx, IDENTITY)), RECORD_MS);
    // A canary that still gathers evidence would write into a root that is gone.
    await until(() => listDeaths(ctx).every((death) => death.step === "closed"), RECORD_MS);
  } catch {
    // The drill's own result, or its own error, is what the user gets to see.
  }
}

async function until<T>(look: () => T | undefined | false, ms: number): Promise<T | undefined> {
  const deadline = performance.now() + ms;
  while (true) {
    const found = look();
    if (found) return found;
    if (performance.now() > deadline) return undefined;
    await new Promise((wake) => setTimeout(wake, 5));
  }
}

function removeEmpty(dir: string): void {
  try {
    Deno.removeSync(dir);
  } catch {
    // Something else lies in it.
  }
}
