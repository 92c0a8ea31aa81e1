/**
 * The resident size of each session's processes, once a tick, and who they
 * were: the part of the memory curve that a canary cannot see.
 *
 * @module
 */

import { join } from "./path.ts";
import type { Context } from "./context.ts";
import { parsePsTable, type PsRow } from "./ps_table.ts";
import { readJson, writeFileAtomic } from "./store.ts";
import { FORMAT_VERSION } from "./config.ts";

/** How long samples are kept, in milliseconds. */
const KEEP_MS = 30 * 60 * 1000;
const KEEP_CHILDREN = 100;

/** What ticks saw of one session's processes. */
export interface SessionMemory {
  /** The server they belong to. */
  readonly serverPid: number;
  /** Epoch milliseconds and KiB, oldest first. */
  readonly samples: readonly (readonly [at: number, rssKiB: number])[];
  /** The processes below the server, those of the last look first. */
  readonly children: readonly { readonly pid: number; readonly name: string }[];
}

type Memories = Readonly<Record<string, SessionMemory>>;

function memoryPath(ctx: Context): string {
  return join(ctx.paths.root, "state", "memory.json");
}

function readMemories(ctx: Context): Memories {
  try {
    const stored = readJson(memoryPath(ctx), (value) => {
      const { sessions } = value as { sessions?: Memories };
      if (typeof sessions !== "object") throw new TypeError("no sessions");
      return Object.fromEntries(Object.entries(sessions).filter(([, memory]) => isWhole(memory)));
    });
    return stored.state === "found" ? stored.value : {};
  } catch {
    return {};
  }
}

/**
 * What ticks saw of a session's processes.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @param serverPid Its server; what was seen of another one does not count.
 * @returns Samples and processes, or `undefined`.
 */
export function memoryOf(
  ctx: Context,
  identity: string,
  serverPid: number,
): SessionMemory | undefined {
  return memoriesOf(ctx)(identity, serverPid);
}

/**
 * {@linkcode memoryOf} for several sessions: what ticks saw is read once.
 *
 * @param ctx The root.
 * @returns Tells what was seen of a session's server.
 */
export function memoriesOf(
  ctx: Context,
): (identity: string, serverPid: number) => SessionMemory | undefined {
  const memories = readMemories(ctx);
  return (identity, serverPid) => memoryIn(memories, identity, serverPid);
}

function isWhole(memory: SessionMemory | null): boolean {
  return Array.isArray(memory?.samples) && Array.isArray(memory.children);
}

function memoryIn(
  memories: Memories,
  identity: string,
  serverPid: number,
): SessionMemory | undefined {
  const memory = memories[identity];
  return memory?.serverPid === serverPid ? memory : undefined;
}

function isRecent(at: number | undefined, now: number): boolean {
  return at !== undefined && at <= now && now - at <= KEEP_MS;
}

/**
 * Adds a sample for every session, from one `ps` for all of them. Not synced:
 * losing the curve in a power cut loses nothing that matters.
 *
 * @param ctx The root.
 * @param servers The sessions' servers, by identity.
 */
export async function sampleMemory(
  ctx: Context,
  servers: ReadonlyMap<string, number>,
): Promise<void> {
  if (servers.size === 0) return;
  const { stdout, code } = await ctx.host.tools.run("ps", [
    "-axww",
    "-o",
    "pid,ppid,pgid,uid,rss,vsz,etime,lstart,stat,tty,ucomm,command",
  ]);
  if (code !== 0) return;
  const rows = parsePsTable(stdout);
  const now = ctx.host.now();
  const before = readMemories(ctx);
  // Whoever concludes why a server died may come a few ticks later.
  const sessions: Record<string, SessionMemory> = Object.fromEntries(
    Object.entries(before).filter(([, { samples }]) => isRecent(samples.at(-1)?.[0], now)),
  );
  for (const [identity, serverPid] of servers) {
    const family = familyOf(rows, serverPid);
    if (family.length === 0) continue;
    const known = memoryIn(before, identity, serverPid);
    const children = family.filter((row) => row.pid !== serverPid)
      .map(({ pid, ucomm }) => ({ pid, name: ucomm }));
    // A child that was OOM-killed is gone when the next tick looks.
    const earlier = known?.children.filter(({ pid }) => !family.some((row) => row.pid === pid));
    sessions[identity] = {
      serverPid,
      samples: [
        ...(known?.samples ?? []).filter(([at]) => isRecent(at, now)),
        [now, family.reduce((sum, row) => sum + row.rssKiB, 0)],
      ],
      children: [...children, ...(earlier ?? [])].slice(0, KEEP_CHILDREN),
    };
  }
  try {
    writeFileAtomic(
      memoryPath(ctx),
      JSON.stringify({ v: FORMAT_VERSION, sessions }) + "\n",
      { sync: false },
    );
  } catch {
    // A full disk costs the curve, not the tick.
  }
}

/**
 * A process and all that descend from it.
 *
 * @param rows The process table.
 * @param pid Whose family.
 * @returns The process itself first; empty if it is not there.
 */
export function familyOf(rows: readonly PsRow[], pid: number): PsRow[] {
  const byParent = Map.groupBy(rows, (row) => row.ppid);
  const family = rows.filter((row) => row.pid === pid);
  const seen = new Set([pid]);
  for (let n = 0; n < family.length; n++) {
    for (const child of byParent.get(family[n]!.pid) ?? []) {
      if (seen.has(child.pid)) continue;
      seen.add(child.pid);
      family.push(child);
    }
  }
  return family;
}
