/**
 * A server that the kernel really kills for want of memory, as in the drill.
 *
 * @module
 */

import { join } from "node:path";
import { checkWall, middleOf, wallOrigin } from "./clock.ts";
import { kernelLogTrouble, oomKillAt, writeMark } from "./kernel_log.ts";
import { CANNOT, oomProgram } from "../lib/oom_drill.ts";
import {
  adoptPlain,
  type Bench,
  closedDeath,
  launchOwn,
  type Measured,
  SETTLE_MS,
  VERDICT_MS,
} from "./subjects.ts";
import type { SeenLine } from "./watch_log.ts";
import { pause } from "./world.ts";

/** How long the kernel may take to kill a server that is being fed, in milliseconds. */
const OOM_MS = 30_000;
/** How often it is looked whether the program has given up, in milliseconds. */
const LOOK_MS = 250;
/** How long a record may take after the program found its server gone, in milliseconds. */
const GRACE_MS = 5000;
/** How long a cgroup may take to empty, in steps and milliseconds. */
const REMOVALS = 20;
const REMOVAL_MS = 50;

/**
 * $1 a file to wait for, $2 where to write to; the rest is the program. It
 * begins when its server has been watched for a while, not as soon as it runs.
 */
const GATE =
  'go=$1 said=$2; shift 2; while [ ! -e "$go" ]; do sleep 0.1; done; exec "$@" >"$said" 2>&1';

/** The kernel kills the server of a session that was launched. */
export function roundOwnOom(bench: Bench, n: number): Promise<Measured> {
  return roundOom(bench, `own-oom-r${n}`, true);
}

/** The kernel kills a server that was adopted. */
export function roundAttachOom(bench: Bench, n: number): Promise<Measured> {
  return roundOom(bench, `attach-oom-r${n}`, false);
}

async function roundOom(bench: Bench, identity: string, own: boolean): Promise<Measured> {
  const { world, oom, exits } = bench;
  if (Deno.build.os !== "linux") oom.cannot = "only Linux has memory cgroups";
  if (oom.cannot !== undefined) return {};
  oom.trouble ??= kernelLogTrouble() ?? "";
  const group = `iapeer-bench-${crypto.randomUUID().slice(0, 8)}`;
  world.atEnd.push(() => removeGroup(group));
  const go = world.path(`${identity}.go`);
  const said = world.path(`${identity}.said`);
  const sock = own ? world.paths.sock(identity) : world.path(`${identity}.sock`);
  const program = ["sh", "-c", GATE, "sh", go, said, ...oomProgram(sock, group)];
  const start = own ? launchOwn : adoptPlain;
  const { serverPid } = await start(bench, identity, program);
  await pause(SETTLE_MS);
  const origin = wallOrigin();
  const before = oom.trouble === "" ? writeMark() : undefined;
  Deno.writeTextFileSync(go, "");
  const line = await endOf(bench, identity, said);
  if (line === undefined) {
    // The server lives: it is ended, and nothing is measured.
    Deno.kill(serverPid, "SIGKILL");
    await exits.line({ ev: "server-exit", identity }, VERDICT_MS);
    return {};
  }
  const verdict = await exits.line({ ev: "server-verdict", identity }, VERDICT_MS);
  const named = verdict?.fields.get("verdict");
  if (verdict === undefined || named !== "oom-kill") {
    throw new Error(`Cannot measure: the verdict on an OOM kill was ${named ?? "not reached"}`);
  }
  const death = await closedDeath(bench, line.fields.get("death") ?? "");
  checkWall(origin);
  const noticed = middleOf(death.observedAt) - origin;
  if (before === undefined) return { oomVerdict: verdict.at - noticed };
  const killed = oomKillAt(serverPid, before, writeMark());
  return { oomNoticed: noticed - killed, oomVerdict: verdict.at - killed };
}

/** The record of the server's end; `undefined` if it cannot be killed here, and then why is noted. */
async function endOf(
  { exits, oom }: Bench,
  identity: string,
  said: string,
): Promise<SeenLine | undefined> {
  const deadline = performance.now() + OOM_MS;
  while (true) {
    const line = await exits.line({ ev: "server-exit", identity }, LOOK_MS);
    if (line !== undefined) return line;
    const cannot = textOf(said).split(CANNOT)[1]?.split("\n")[0]?.trim();
    // The program says so too when its server has just been killed: it is not told why feeding failed.
    const late = cannot && await exits.line({ ev: "server-exit", identity }, GRACE_MS);
    if (late) return late;
    if (cannot !== undefined || performance.now() > deadline) {
      oom.cannot = cannot ?? "the kernel did not kill the server in time";
      return undefined;
    }
  }
}

function textOf(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** The program removes its cgroup itself, unless the bench is interrupted. */
function removeGroup(name: string): void {
  const own = /^0::\/(.*)$/m.exec(textOf("/proc/self/cgroup"))?.[1]?.split("/") ?? [];
  const parents = ["memory", "", "unified", ...own.map((_, n) => own.slice(0, n + 1).join("/"))];
  for (const parent of parents) {
    for (let n = 0; n < REMOVALS; n++) {
      try {
        Deno.removeSync(join("/sys/fs/cgroup", parent, name));
        break;
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) break;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REMOVAL_MS);
      }
    }
  }
}

/**
 * What the table has to say about these figures.
 *
 * @param bench After its rounds.
 * @returns A sentence or two.
 */
export function oomNote({ oom }: Bench): string {
  if (oom.cannot !== undefined) return `No server can be OOM-killed here: ${oom.cannot}.`;
  const how = "A server in a memory cgroup of 16 MiB is fed until the kernel kills it.";
  if (oom.trouble) return `${how} Counted from when it was noticed: ${oom.trouble}.`;
  return `${how} Counted from the kernel log's stamp of its \`Killed process\` line; a line written to /dev/kmsg before and one after place that log's clock.`;
}
