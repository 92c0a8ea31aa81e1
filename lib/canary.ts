/**
 * The canary: the process outside a server that learns of its end, and the
 * functions by which others see to it that there is one.
 *
 * @module
 */

import { writeClaim } from "./claims.ts";
import { concludeWatch, type Conclusion, Watch } from "./conclusion.ts";
import { type Context, messageOf, note } from "./context.ts";
import { IapeerError, UnknownStateError } from "./errors.ts";
import {
  type Incarnation,
  incarnationOf,
  livenessOf,
  sameIncarnation,
  sendSignal,
} from "./host.ts";
import { faultPoint, passFaultOn } from "./fault.ts";
import { waitLock } from "./locks.ts";
import { spawnChild } from "./process.ts";
import { selfCommand } from "./self.ts";
import { readSession, type SessionRecord } from "./sessions.ts";
import { Server } from "./tmux.ts";
import { watchAsClient } from "./watch.ts";
import { beginNote, takeCanaryLock, watcherOf } from "./watcher.ts";

export { exitLogPath, serverDeathsDir } from "./config.ts";
export { canaryChannel } from "./tmux.ts";

/** Whether {@linkcode ensureCanary} found, started or did without a canary. */
export type Ensured = "spawned" | "already" | "skipped" | "failed";

/** How long a canary may take to arm, in milliseconds. */
const ARM_MS = 10_000;

/**
 * Sees to it that a session's server is watched. Safe to call at any time,
 * from any number of processes at once: one canary is the result.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @param known Its record, from one who holds its operation lock; read now unless given.
 * @returns `already` if it is watched, `spawned` once a new canary is armed,
 * `skipped` if there is no living server to watch, `failed` if no canary could
 * be started (the reason is in `lifecycle.log`). Never throws.
 */
export async function ensureCanary(
  ctx: Context,
  identity: string,
  known?: SessionRecord,
): Promise<Ensured> {
  try {
    const { server, sock } = known ?? readSession(ctx, identity) ?? {};
    if (server === undefined || sock === undefined) return "skipped";
    if (isWatched(ctx, identity, server)) return "already";
    using lock = await waitLock(ctx.paths.lock(`${identity}.arm`), ARM_MS);
    if (lock === undefined) throw new Error("another process has been arming it for too long");
    if (isWatched(ctx, identity, server)) return "already";
    faultPoint("ensure:locked");
    if (await livenessOf(ctx.host, server) === "gone") return "skipped";
    const armed = await spawnCanary(ctx, identity, sock);
    faultPoint("ensure:armed");
    note(ctx, "canary-armed", [
      ["identity", identity],
      ["server_pid", server.pid],
      ["canary_pid", armed],
      ["mode", "attach"],
    ]);
    return "spawned";
  } catch (error) {
    note(ctx, "canary-failed", [["identity", identity], ["reason", messageOf(error)]]);
    return "failed";
  }
}

/** A canary that still watches an older incarnation does not count. */
function isWatched(ctx: Context, identity: string, server: Incarnation): boolean {
  const watcher = watcherOf(ctx, identity);
  if (watcher === undefined) return false;
  return watcher === "starting" || sameIncarnation(watcher.server, server);
}

/** Starts a canary in attach mode and waits until it is armed; tells its pid. */
async function spawnCanary(ctx: Context, identity: string, sock: string): Promise<number> {
  const { program, args } = selfCommand(ctx, ["canary", "--identity", identity, "--sock", sock]);
  const canary = passFaultOn(() =>
    spawnChild(program, args, { stdout: true, cwd: ctx.paths.root })
  );
  canary.unref();
  faultPoint("ensure:spawned");
  const line = await firstLine(canary.stdout!, ARM_MS);
  if (line === undefined || !line.startsWith("ARMED ")) {
    canary.kill("SIGTERM");
    throw new Error(
      line === undefined ? "the canary did not arm" : `the canary did not arm: ${line}`,
    );
  }
  return canary.pid;
}

/**
 * The first line that a child prints.
 *
 * @param stream Its standard output; closed afterwards.
 * @param timeoutMs How long to wait, in milliseconds.
 * @returns The line, or `undefined` if none came.
 */
export async function firstLine(
  stream: ReadableStream<Uint8Array>,
  timeoutMs: number,
): Promise<string | undefined> {
  const reader = stream.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
    .getReader();
  const timer = setTimeout(() => reader.cancel().catch(() => {}), timeoutMs);
  let text = "";
  try {
    while (!text.includes("\n")) {
      const { done, value } = await reader.read();
      if (done) return undefined;
      text += value;
    }
    return text.slice(0, text.indexOf("\n"));
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => {});
  }
}

/**
 * Says that the coming death of a session's server is wanted, and wakes its
 * canary: what every deliberate teardown does before it kills.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @param server Which incarnation.
 * @param who Who wants it.
 * @param why In a few words.
 * @throws {Error} If the claim cannot be written; then nothing may be killed.
 */
export async function signalClean(
  ctx: Context,
  identity: string,
  server: Incarnation,
  who: Parameters<typeof writeClaim>[3],
  why: string,
): Promise<void> {
  writeClaim(ctx, identity, server, who, why);
  const sock = readSession(ctx, identity)?.sock ?? ctx.paths.sock(identity);
  await new Server(ctx.host.tools, sock).signalCanary(identity);
}

/** What {@linkcode attachCanary} needs. */
export interface AttachOptions {
  /** Which session. */
  readonly identity: string;
  /** Path of the server's socket. */
  readonly sock: string;
  /** Called when the server is being watched. */
  onArmed(server: Incarnation): void;
  /** Given a function that ends the waiting client, for a canary that is told to leave. */
  onClient(kill: () => void): void;
}

/**
 * Watches a server that somebody else started, until it ends and its end is
 * concluded.
 *
 * @param ctx The root.
 * @param options Which server.
 * @returns What was done about its end.
 * @throws {IapeerError} If it is watched already, or nobody serves the socket.
 * @throws {UnknownStateError} If the server does not answer and nothing is known of it.
 */
export async function attachCanary(ctx: Context, options: AttachOptions): Promise<Conclusion> {
  const { identity, sock } = options;
  const lock = await takeCanaryLock(ctx, identity);
  try {
    faultPoint("attach:locked");
    const left = beginNote(ctx, identity, lock);
    faultPoint("attach:note-begun");
    if (left === "unknown") await new Server(ctx.host.tools, sock).signalCanary(identity);
    else if (left !== undefined) await sendSignal(ctx.host, left, "TERM");
    faultPoint("attach:client-ended");
    const server = await findServer(ctx, identity, sock);
    const panePid = readSession(ctx, identity)?.panePid;
    using watch = new Watch(ctx, lock, {
      pid: Deno.pid,
      mode: "attach",
      sock,
      server,
      ...(panePid === undefined ? {} : { panePid }),
    });
    faultPoint("attach:watching");
    options.onArmed(server);
    faultPoint("attach:armed");
    const end = await watchAsClient(ctx, identity, sock, server, {
      onClient(client) {
        options.onClient(() => client?.kill("SIGTERM"));
        faultPoint("attach:client-changed");
        if (client === undefined) watch.tell({ client });
        else void noteClient(ctx, watch, client.pid);
      },
    });
    return await concludeWatch(
      ctx,
      { identity, server, mode: "attach", end, watch },
      lock.release,
    );
  } finally {
    lock.release();
  }
}

/** Writes down which client waits, so that a later canary can end it if this one is killed. */
async function noteClient(ctx: Context, watch: Watch, pid: number): Promise<void> {
  const client = await incarnationOf(ctx.host, pid);
  if (client !== undefined) watch.tell({ client });
}

async function findServer(ctx: Context, identity: string, sock: string): Promise<Incarnation> {
  const known = readSession(ctx, identity);
  const reply = await new Server(ctx.host.tools, sock).pid();
  if ("pid" in reply) {
    const server = await incarnationOf(ctx.host, reply.pid);
    if (server !== undefined) {
      // The record's own figures make the death's id the same for every witness.
      const same = known?.server !== undefined && sameIncarnation(known.server, server);
      return same ? known.server : server;
    }
  } else if (reply.failure === "timeout" || reply.failure === "version") {
    const server = known?.sock === sock ? known.server : undefined;
    if (server !== undefined && await livenessOf(ctx.host, server) !== "gone") return server;
    throw new UnknownStateError(
      `Cannot watch "${identity}": the tmux server at "${sock}" does not answer (${
        reply.said || reply.failure
      }); try again when it does`,
    );
  }
  throw new IapeerError(
    `Cannot watch "${identity}": no tmux server answers at "${sock}"; start one, or check the path`,
  );
}
