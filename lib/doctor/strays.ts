/**
 * What runs on a root and belongs to no session: tmux servers that nobody
 * knows, canaries that watch nothing.
 *
 * @module
 */

import { join } from "../path.ts";
import { commandOf } from "../host.ts";
import type { PsRow } from "../ps_table.ts";
import { listJson } from "../store.ts";
import { Server } from "../tmux.ts";
import { watcherOf } from "../watcher.ts";
import { type Examined, ok, type Said, warning, word } from "./check.ts";

/** A process of this root, as its command line tells. */
export interface OfRoot {
  /** Its pid. */
  readonly pid: number;
  /** Which session it says to be of. */
  readonly identity: string;
}

/**
 * Looks for what belongs to no session.
 *
 * @param of What is looked at.
 * @returns One line for each stray, or one that says that there is none.
 */
export async function checkStrays(of: Examined): Promise<Said[]> {
  if (!of.made) return [];
  const [rows, { known }] = await Promise.all([of.processes(), of.sessions()]);
  const { root } = of.ctx.paths;
  const roots = [...new Set([root, Deno.realPathSync(root)])];
  const mine = await inFull(of, rows.filter((row) => names(row.command, roots)));
  const busy = new Set(known.filter((one) => one.busy).map(({ record }) => record.identity));
  const recorded = new Set(known.flatMap(({ record }) => record.server?.pid ?? []));
  const served = await servedSockets(of, new Set([...busy, ...recordedSockets(of, known)]));
  const said: Said[] = [];
  for (const [identity, pid] of served) {
    if (!recorded.has(pid)) said.push(strayOnSocket(of, identity, pid));
  }
  const answering = new Set(served.values());
  for (const { pid, identity } of serversIn(mine, roots)) {
    if (recorded.has(pid) || answering.has(pid) || busy.has(identity)) continue;
    const taken = served.has(identity) ||
      known.some(({ record, status }) => record.identity === identity && status.state === "alive");
    said.push(strayInTable(of, identity, pid, taken));
  }
  for (const { pid, identity } of canariesIn(mine, roots)) {
    if (busy.has(identity) || isAtWork(of, identity, pid)) continue;
    said.push(warning(`canary ${pid} of ${identity} watches nothing; end it`, `kill ${pid}`));
  }
  return said.length > 0 ? said : [ok("every server and canary of this root is known")];
}

/** `ps` writes `?` for what is not ASCII: those command lines are asked for once more. */
async function inFull(of: Examined, rows: readonly PsRow[]): Promise<PsRow[]> {
  return await Promise.all(
    rows.map(async (row) =>
      row.command.includes("?")
        ? { ...row, command: await commandOf(of.ctx.host, row.pid) || row.command }
        : row
    ),
  );
}

/** Whether a command line names one of the roots, however `ps` spells it. */
function names(command: string, roots: readonly string[]): boolean {
  const plain = (text: string) => text.replace(/[^\x20-\x7e?]+|\?+/g, "?");
  const said = plain(command);
  return roots.some((root) => said.includes(plain(root)));
}

/** Identities whose socket is that of the server on record, which need not be asked. */
function recordedSockets(
  of: Examined,
  known: Awaited<ReturnType<Examined["sessions"]>>["known"],
): string[] {
  return known.filter(({ record, status }) =>
    (status.state === "alive" || status.state === "unreachable") &&
    record.sock === of.ctx.paths.sock(record.identity)
  ).map(({ record }) => record.identity);
}

/** Who serves the sockets in `run/`, other than those of `accounted`. */
async function servedSockets(
  of: Examined,
  accounted: ReadonlySet<string>,
): Promise<Map<string, number>> {
  const served = new Map<string, number>();
  const identities = namesIn(of.ctx.paths.run)
    .flatMap((name) => name.endsWith(".sock") ? [name.slice(0, -".sock".length)] : [])
    .filter((identity) => !accounted.has(identity));
  await Promise.all(identities.map(async (identity) => {
    const reply = await new Server(of.ctx.host.tools, of.ctx.paths.sock(identity)).pid();
    if ("pid" in reply) served.set(identity, reply.pid);
  }));
  return served;
}

/** A root that nothing was launched in yet has no such folder. */
function namesIn(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function strayOnSocket(of: Examined, identity: string, pid: number): Said {
  const sock = word(of.ctx.paths.sock(identity));
  return warning(
    `tmux server ${pid} serves ${identity}.sock and no session knows it: see what it is, or end it`,
    `tmux -S ${sock} attach\ntmux -S ${sock} kill-server`,
  );
}

function strayInTable(of: Examined, identity: string, pid: number, taken: boolean): Said {
  const sock = word(of.ctx.paths.sock(identity));
  return taken
    ? warning(
      `tmux server ${pid} of ${identity}: another one has taken its socket; end it`,
      `kill ${pid}`,
    )
    : warning(
      `tmux server ${pid} of ${identity}: no session knows it, and its socket is gone; have it make ` +
        "the socket anew and see what it is, or end it",
      `kill -USR1 ${pid} && sleep 1 && tmux -S ${sock} attach\nkill ${pid}`,
    );
}

/**
 * The tmux servers in a process table that were started on a socket of a root.
 *
 * On Linux a server calls itself `tmux: server`. Elsewhere its command line
 * must tell: `-D` is a server of ours; an orphan that is no waiting or attached
 * client is one that went into the background.
 *
 * @param rows The process table.
 * @param roots How the root is spelled.
 * @returns Each server with the identity in the name of its socket.
 */
export function serversIn(rows: readonly PsRow[], roots: readonly string[]): OfRoot[] {
  return rows.flatMap(({ pid, ppid, stat, ucomm, command }) => {
    const isServer = ucomm.startsWith("tmux: ")
      ? ucomm.startsWith("tmux: server")
      : /^(?:\S*\/)?tmux /.test(command) &&
        (/^\S+ (?:-\S+ )*-D /.test(command) ||
          (ppid === 1 && !/ (?:wait-for|attach(?:-session)?)(?: |$)/.test(command)));
    if (!isServer || stat.startsWith("Z")) return [];
    for (const root of roots) {
      const [, rest] = command.split(`-S ${join(root, "run")}/`);
      const identity = /^([a-z0-9-]+)\.sock(?: |$)/.exec(rest ?? "")?.[1];
      if (identity !== undefined) return [{ pid, identity }];
    }
    return [];
  });
}

/**
 * The canaries in a process table that iapeer itself has started on a root.
 *
 * @param rows The process table.
 * @param roots How the root is spelled.
 * @returns Each canary with its identity.
 */
export function canariesIn(rows: readonly PsRow[], roots: readonly string[]): OfRoot[] {
  return rows.flatMap(({ pid, stat, command }) => {
    if (stat.startsWith("Z") || !roots.some((root) => command.endsWith(` --root ${root}`))) {
      return [];
    }
    const identity = / canary (?:--own \d+ )?--identity ([a-z0-9-]+) /.exec(command)?.[1];
    return identity === undefined ? [] : [{ pid, identity }];
  });
}

/** It watches, is only starting, or gathers evidence about a death that it has recorded. */
function isAtWork(of: Examined, identity: string, pid: number): boolean {
  const watcher = watcherOf(of.ctx, identity);
  if (watcher === "starting" || watcher?.pid === pid) return true;
  return listJson(of.ctx.paths.deaths)
    .filter((id) => /^-\d+-\d+$/.test(id.startsWith(identity) ? id.slice(identity.length) : ""))
    .some((id) => !isClosed(of.ctx.paths.death(id)));
}

/** Read here and not through the journal, which sets aside what it cannot read. */
function isClosed(path: string): boolean {
  try {
    return JSON.parse(Deno.readTextFileSync(path)).step === "closed";
  } catch {
    return false;
  }
}
