/**
 * The two ways of learning that a server has ended: as its parent, and as a
 * client of it.
 *
 * @module
 */

import { type Context, note } from "./context.ts";
import type { Cause } from "./evidence.ts";
import { type Incarnation, livenessOf } from "./host.ts";
import { type Child, type Ended, spawnChild } from "./process.ts";
import { waitArgs } from "./tmux.ts";

/** What a watch found out about the end of a server. */
export interface End {
  /** What was observed. */
  readonly cause: Cause;
  /** Its name, such as `SIGKILL`, where a signal ended the server. */
  readonly signal?: string;
  /** Exit code of the server, where its parent watched. */
  readonly code?: number;
  /** Exit code of the waiting client, in attach mode. */
  readonly waitRc?: number;
}

/**
 * The end of a server as its parent sees it.
 *
 * @param ended Its wait status.
 * @returns Cause and signal or exit code.
 */
export function endOfChild(ended: Ended): End {
  return ended.signal !== undefined
    ? { cause: "signal", signal: ended.signal }
    : { cause: "exit-code", code: ended.code };
}

/**
 * The end of a server as a client in `wait-for` sees it, once the server is
 * known to be gone.
 *
 * @param ended How the client ended.
 * @returns The cause and the client's exit code.
 */
export function endOfClient(ended: Ended): End {
  if (ended.signal !== undefined) {
    return { cause: "client-killed", waitRc: 128 + (SIGNAL_NUMBERS[ended.signal] ?? 0) };
  }
  return { cause: ended.code === 0 ? "orderly" : "vanished", waitRc: ended.code };
}

/** Those that end a process and are the same on Linux and macOS. */
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
};

const FIRST_BACKOFF_MS = 50;
const LAST_BACKOFF_MS = 5000;
/** A watch that held this long begins again with the short pause. */
const CALM_MS = 60_000;
/**
 * A client returns before its server is quite gone: up to a few milliseconds
 * when it exits, longer when it writes a core. Looks at these distances, in
 * milliseconds, before the server is taken for alive.
 */
const SECOND_LOOKS_MS = [2, 5, 10, 20, 40, 80, 160];

/** What {@linkcode watchAsClient} tells about its client. */
export interface ClientWatch {
  /** Called with each client that waits, `undefined` when there is none. */
  onClient(client: Child | undefined): void;
}

/**
 * Watches a server that somebody else started: a client blocks in `wait-for`
 * until the connection drops. What it returns proves nothing by itself, so
 * after every return the incarnation itself is looked at, and watched again if
 * it lives.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @param sock The server's socket.
 * @param server The incarnation; a new server on the same socket is not it.
 * @param watch Learns of each client.
 * @returns How it ended. Never rejects.
 */
export async function watchAsClient(
  ctx: Context,
  identity: string,
  sock: string,
  server: Incarnation,
  watch: ClientWatch,
): Promise<End> {
  let backoff = FIRST_BACKOFF_MS;
  while (true) {
    const armedAt = performance.now();
    const ended = await waitOnce(identity, sock, watch);
    if (await isGone(ctx, server)) return endOfClient(ended);
    if (performance.now() - armedAt > CALM_MS) backoff = FIRST_BACKOFF_MS;
    note(ctx, "canary-rearmed", [
      ["identity", identity],
      ["server_pid", server.pid],
      ["wait_rc", endOfClient(ended).waitRc],
    ]);
    await ctx.host.sleep(backoff);
    backoff = Math.min(backoff * 2, LAST_BACKOFF_MS);
  }
}

async function waitOnce(identity: string, sock: string, watch: ClientWatch): Promise<Ended> {
  try {
    const client = spawnChild("tmux", waitArgs(sock, identity));
    watch.onClient(client);
    return await client.ended;
  } catch {
    // tmux cannot be started just now: the incarnation itself still can be looked at.
    return { code: 127 };
  } finally {
    watch.onClient(undefined);
  }
}

async function isGone(ctx: Context, server: Incarnation): Promise<boolean> {
  if (await livenessOf(ctx.host, server) === "gone") return true;
  for (const pause of SECOND_LOOKS_MS) {
    await ctx.host.sleep(pause);
    if (await livenessOf(ctx.host, server) === "gone") return true;
  }
  return false;
}
