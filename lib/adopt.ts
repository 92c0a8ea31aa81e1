/**
 * Taking a server that somebody else started under watch.
 *
 * @module
 */

import { ensureCanary } from "./canary.ts";
import { type Context, note } from "./context.ts";
import { IapeerError, UnknownStateError } from "./errors.ts";
import { bootId, incarnationOf, livenessOf } from "./host.ts";
import { lockSession, readSession, writeSession } from "./sessions.ts";
import { Server } from "./tmux.ts";

/** How long another operation on the session is waited for, in milliseconds. */
const BUSY_MS = 1000;

/** A server under watch. */
export interface Adopted {
  /** Which session. */
  readonly identity: string;
  /** The server's process id. */
  readonly serverPid: number;
  /** Path of its socket. */
  readonly sock: string;
}

/**
 * Watches the server on a socket under an identity: it is never reaped,
 * restarted or killed, and its death is recorded.
 *
 * @param ctx The root.
 * @param identity The name it gets.
 * @param sock Its socket.
 * @returns What is watched.
 * @throws {IapeerError} If nobody serves the socket, the identity is taken, or
 * no canary can be started.
 * @throws {UnknownStateError} If the server does not answer.
 */
export async function adopt(ctx: Context, identity: string, sock: string): Promise<Adopted> {
  using lock = await lockSession(ctx, identity, BUSY_MS);
  if (lock === undefined) {
    throw new IapeerError(
      `Cannot adopt "${identity}": another operation on it is under way; try again when it is done`,
    );
  }
  const before = readSession(ctx, identity);
  if (before?.server !== undefined && await livenessOf(ctx.host, before.server) !== "gone") {
    throw new IapeerError(
      `Cannot adopt "${identity}": a session of that identity is running (server ${before.server.pid}); choose another identity`,
    );
  }
  if (before !== undefined && !before.external) {
    throw new IapeerError(
      `Cannot adopt "${identity}": a session of that identity was launched here; choose another identity`,
    );
  }
  const reply = await new Server(ctx.host.tools, sock).pid();
  if (!("pid" in reply)) {
    if (reply.failure === "timeout" || reply.failure === "version") {
      throw new UnknownStateError(
        `Cannot adopt "${identity}": the tmux server at "${sock}" does not answer (${
          reply.said || reply.failure
        })`,
      );
    }
    throw new IapeerError(
      `Cannot adopt "${identity}": no tmux server answers at "${sock}"; check the path`,
    );
  }
  const server = await incarnationOf(ctx.host, reply.pid);
  if (server === undefined) {
    throw new IapeerError(`Cannot adopt "${identity}": the tmux server at "${sock}" just ended`);
  }
  const boot = await bootId(ctx.host);
  writeSession(ctx, {
    identity,
    state: "running",
    external: true,
    sock,
    server,
    mode: "attach",
    ...(boot === undefined ? {} : { bootId: boot }),
    hostName: ctx.host.name,
    launchedAt: ctx.host.now(),
    lastSeen: ctx.host.now(),
    ...(before?.lastDeath === undefined ? {} : { lastDeath: before.lastDeath }),
  });
  note(ctx, "adopted", [["identity", identity], ["server_pid", server.pid], ["sock", sock]]);
  if (await ensureCanary(ctx, identity) === "failed") {
    throw new IapeerError(
      `Cannot watch "${identity}": its canary could not be started; see: ${ctx.paths.lifecycleLog}`,
    );
  }
  return { identity, serverPid: server.pid, sock };
}
