/**
 * Launches that were interrupted: what they left half done is kept or ended.
 *
 * @module
 */

import { type Context, note } from "./context.ts";
import { IapeerError } from "./errors.ts";
import { faultPoint } from "./fault.ts";
import { commandOf, type Incarnation, incarnationOf, livenessOf } from "./host.ts";
import { type Lock, tryLock } from "./locks.ts";
import { begun, rested, type SessionRecord, writeSession } from "./sessions.ts";
import { killSession, removeStaleSock, settle } from "./teardown.ts";
import { Server } from "./tmux.ts";
import { canaryLock, type CanaryNote, evictCanary, readCanaryNote, watcherOf } from "./watcher.ts";

/** How long a canary that brings up its server is waited for, in milliseconds. */
const CANARY_MS = 5000;
/** After so many milliseconds a canary is looked at, whether a signal holds it up. */
const PATIENCE_MS = 150;
/** From fork to exec a server goes by another name, in milliseconds. */
const EXEC_MS = 50;

/**
 * Resolves the record of a launch that was interrupted: its operation lock is
 * free, so nobody is launching any more. What came up whole is kept; a server
 * without its session is ended.
 *
 * @param ctx The root.
 * @param record The record, in state `starting`.
 * @param keep `false` ends everything, whole or not.
 * @returns The new record, written; with a server that is gone, and not
 * written, if it came up and died since.
 * @throws {IapeerError} If its canary is still at it; it may be tried again.
 */
export async function resolveStarting(
  ctx: Context,
  record: SessionRecord,
  keep: boolean,
): Promise<SessionRecord> {
  const { identity, sock } = record;
  using _held = await keepCanaryOut(ctx, record);
  const watched = noteOf(ctx, record);
  if (watched !== undefined && await livenessOf(ctx.host, watched.server) === "gone") {
    // It came up whole, and nobody wrote it into the record before it ended.
    // Nor is it now: the time of the record's file says when it was last alive.
    const ended = kept(record, watched);
    return keep ? ended : (await settle(ctx, ended)).record;
  }
  const server = watched?.server ?? await serverOn(ctx, sock) ?? await strayServer(ctx, sock);
  if (server === undefined) {
    removeStaleSock(ctx, record);
    return rest(ctx, record, "nothing of it runs");
  }
  if (keep && await isWhole(ctx, identity, sock)) {
    const panePid = watched?.panePid ?? await new Server(ctx.host.tools, sock).panePid(identity);
    const resumed = {
      ...kept(record, {
        server,
        mode: watched?.mode ?? "attach",
        ...(panePid === undefined ? {} : { panePid }),
      }),
      lastSeen: ctx.host.now(),
    };
    faultPoint("resolve:whole");
    writeSession(ctx, resumed);
    faultPoint("resolve:kept");
    note(ctx, "launch-resumed", [["identity", identity], ["server_pid", server.pid]]);
    return resumed;
  }
  await killSession(ctx, { ...record, server }, "launch", "its launch was interrupted");
  faultPoint("resolve:ended");
  return rest(ctx, record, "its server had no session");
}

/** What the canary of this very launch noted when the session was up. */
function noteOf(ctx: Context, record: SessionRecord): CanaryNote | undefined {
  const said = readCanaryNote(ctx, record.identity);
  return said?.launchedAt === record.launchedAt ? said : undefined;
}

function kept(
  record: SessionRecord,
  { server, mode, panePid }: Pick<CanaryNote, "server" | "mode" | "panePid">,
): SessionRecord {
  return {
    ...begun(record),
    state: "running",
    server,
    mode,
    ...(panePid === undefined ? {} : { panePid }),
  };
}

/** A server that does not answer is not taken for one that has lost its session. */
async function isWhole(ctx: Context, identity: string, sock: string): Promise<boolean> {
  const answer = await new Server(ctx.host.tools, sock).hasSession(identity);
  return answer === true || answer === "timeout" || answer === "version";
}

function rest(ctx: Context, record: SessionRecord, reason: string): SessionRecord {
  // What asked for it finds that it was not carried out.
  const { request: _request, ...after } = rested(record, { state: "gone" });
  writeSession(ctx, after);
  faultPoint("resolve:rested");
  note(ctx, "launch-interrupted", [["identity", record.identity], ["reason", reason]]);
  return after;
}

/**
 * Waits until a canary that is bringing up the server says what it watches, or
 * ends. Where there is none, its lock is held meanwhile: the canary of a launch
 * that was killed may be so late that it has not taken it yet, and would bring
 * up a server that the record does not know. One that a signal holds up would
 * do so when it wakes, and is ended.
 */
async function keepCanaryOut(ctx: Context, record: SessionRecord): Promise<Lock | undefined> {
  const { identity } = record;
  const started = performance.now();
  while (performance.now() - started < CANARY_MS) {
    const lock = tryLock(canaryLock(ctx, identity));
    if (lock !== undefined) return lock;
    // Nobody: it was a look by somebody else.
    if (watcherOf(ctx, identity) !== undefined && noteOf(ctx, record) !== undefined) {
      return undefined;
    }
    if (performance.now() - started > PATIENCE_MS) await evictCanary(ctx, identity);
    await ctx.host.sleep(20);
  }
  throw new IapeerError(
    `Cannot tell what became of the launch of "${identity}": its canary is still at it; try again later`,
  );
}

async function serverOn(ctx: Context, sock: string): Promise<Incarnation | undefined> {
  const reply = await new Server(ctx.host.tools, sock).pid();
  return "pid" in reply ? await incarnationOf(ctx.host, reply.pid) : undefined;
}

/**
 * A server that does not listen yet, or no more, found by its command line,
 * which names the very socket path and so is nobody else's.
 */
async function strayServer(ctx: Context, sock: string): Promise<Incarnation | undefined> {
  await ctx.host.sleep(EXEC_MS);
  const { stdout } = await ctx.host.tools.run("ps", ["-axww", "-o", "pid=,command="]);
  for (const line of stdout.split("\n")) {
    const pid = /^\s*(\d+) \S*tmux -D -S /.exec(line)?.[1];
    if (pid === undefined) continue;
    const command = await commandOf(ctx.host, Number(pid));
    const rest = command.replace(/^\S*tmux -D -S /, "");
    if (rest === sock || rest.startsWith(`${sock} -f `)) {
      return await incarnationOf(ctx.host, Number(pid));
    }
  }
  return undefined;
}
