/**
 * Ending sessions on purpose, and settling what has ended.
 *
 * @module
 */

import type { Arming } from "./arming.ts";
import { readCanaryNote, signalClean, watcherOf } from "./canary.ts";
import { type Claimant, covers, readClaim } from "./claims.ts";
import { type Context, note } from "./context.ts";
import { type Death, deathId, readDeath } from "./deaths.ts";
import { EXIT, IapeerError } from "./errors.ts";
import {
  bootId,
  type Incarnation,
  incarnationOf,
  livenessOf,
  sameIncarnation,
  sendSignal,
  waitGone,
} from "./host.ts";
import { faultPoint } from "./fault.ts";
import { finishOpenDeaths, recordDeath, type Recorded } from "./record.ts";
import {
  lockSession,
  needSession,
  type RecordState,
  rested,
  type SessionRecord,
  writeSession,
} from "./sessions.ts";
import { removeIfThere } from "./store.ts";
import { Server } from "./tmux.ts";

/** How long each step of ending a server may take, in milliseconds. */
const STEP_MS = { session: 1500, term: 2000, kill: 3000 } as const;
/** How long a canary is given to record the death of its server, in milliseconds. */
const CANARY_MS = 5000;
/** How long a stop waits for another operation on the session, in milliseconds. */
const BUSY_MS = 20_000;

/** There is nothing running that could be stopped. */
export class NotRunningError extends IapeerError {
  /** Name of the class. */
  override readonly name: string = "NotRunningError";
  /** The exit code this error turns into. */
  override readonly exitCode: number = EXIT.notRunning;
}

/**
 * Ends a session's server on purpose: claim, word to the canary, then the
 * session, the server, and the socket. The death that follows is not recorded.
 *
 * @param ctx The root.
 * @param record The session; its server lives.
 * @param who Who wants it.
 * @param why In a few words.
 * @throws {IapeerError} If it did not end.
 */
export async function killSession(
  ctx: Context,
  record: SessionRecord,
  who: Claimant,
  why: string,
): Promise<void> {
  const { identity, sock, server } = record;
  if (server === undefined) return;
  const { host } = ctx;
  await signalClean(ctx, identity, server, who, why);
  faultPoint("kill:claimed");
  note(ctx, "teardown", [["identity", identity], ["server_pid", server.pid], ["who", who], [
    "why",
    why,
  ]]);
  // One that a signal holds up answers nobody and does not see a TERM.
  const held = await livenessOf(host, server) === "stopped";
  if (!held) await new Server(host.tools, sock).killSession(identity);
  faultPoint("kill:session-ended");
  if (held || !await waitGone(host, server, STEP_MS.session)) {
    if (!held) await sendSignal(host, server, "TERM");
    if (held || !await waitGone(host, server, STEP_MS.term)) {
      await sendSignal(host, server, "KILL");
      faultPoint("kill:server-killed");
      if (!await waitGone(host, server, STEP_MS.kill)) {
        throw new IapeerError(
          `Cannot stop "${identity}": its server ${server.pid} did not end, even by SIGKILL; look at it with: ps -p ${server.pid}`,
        );
      }
    }
  }
  faultPoint("kill:server-gone");
  removeIfThere(sock);
}

/** What {@linkcode settle} found. */
export interface Settled {
  /** The new record. */
  readonly record: SessionRecord;
  /** Wanted, or a death. */
  readonly how: "claimed" | "death";
  /** Evidence on its way, if it was recorded here. */
  readonly recorded: Recorded | undefined;
}

const STATE_AFTER: Readonly<Record<Claimant, RecordState>> = {
  stop: "stopped",
  idle: "parked",
  replace: "gone",
  launch: "gone",
  "exit-hook": "gone",
};

/**
 * Settles a session whose server is gone: finds out whether that was wanted,
 * records it if it was not and nobody did, and puts the session to rest.
 *
 * @param ctx The root.
 * @param record The session, with the server that is gone.
 * @returns The new record, written.
 * @throws {Error} If the storage refuses; it may be tried again.
 */
export async function settle(ctx: Context, record: SessionRecord): Promise<Settled> {
  const { identity } = record;
  const server = record.server!;
  faultPoint("settle:begun");
  await letCanaryFinish(ctx, identity, server);
  faultPoint("settle:canary-finished");
  removeStaleSock(ctx, record);
  const lastSeen = lastSeenOf(ctx, record);
  const claim = readClaim(ctx, identity);
  if (claim !== undefined && coversUnobserved(claim, server, lastSeen)) {
    const after = rested(record, {
      state: STATE_AFTER[claim.who],
      ...(claim.exit === undefined ? {} : { lastExit: claim.exit }),
    });
    writeSession(ctx, after);
    faultPoint("settle:claim-honoured");
    return { record: after, how: "claimed", recorded: undefined };
  }
  const boot = await bootId(ctx.host);
  const bootChanged = boot !== undefined && record.bootId !== undefined && boot !== record.bootId;
  if (bootChanged && record.hostName !== undefined && record.hostName !== ctx.host.name) {
    // A root that was copied from another machine: what ran there did not die here.
    const after = rested(record, { state: "gone" });
    writeSession(ctx, after);
    note(ctx, "foreign-session", [["identity", identity], ["host", record.hostName]]);
    return { record: after, how: "claimed", recorded: undefined };
  }
  const { death, recorded } = findOrRecord(ctx, record, server, lastSeen, bootChanged);
  faultPoint("settle:death-recorded");
  const after = rested(record, { state: "gone", lastDeath: death });
  writeSession(ctx, after);
  faultPoint("settle:death-settled");
  return { record: after, how: "death", recorded };
}

function findOrRecord(
  ctx: Context,
  record: SessionRecord,
  server: Incarnation,
  lastSeen: number,
  bootChanged: boolean,
): { death: string; recorded: Recorded | undefined } {
  const { identity, mode } = record;
  const id = deathId(identity, server);
  const known: Death | undefined = readDeath(ctx, id);
  if (known !== undefined) {
    return { death: id, recorded: finishOpenDeaths(ctx, identity)[0] };
  }
  const recorded = recordDeath(ctx, {
    identity,
    server,
    cause: "unobserved",
    witness: "supervise",
    ...(mode === undefined ? {} : { mode }),
    observedAt: ctx.host.now(),
    lastSeen,
    ...(record.panePid === undefined ? {} : { panePid: record.panePid }),
    ...(bootChanged ? { bootChanged } : {}),
    ...armedOf(ctx, identity, server),
  });
  if (recorded === undefined && readDeath(ctx, id) === undefined) {
    // Another witness has the entry's lock and has not made the entry. It may
    // die before it does: the session must not be put to rest on its word.
    throw new IapeerError(`another witness is about to record ${id}; looking again later`);
  }
  return { death: id, recorded };
}

/** What the canary that is gone had seen when it began to watch this server. */
function armedOf(
  ctx: Context,
  identity: string,
  server: Incarnation,
): { armed?: Arming } {
  const said = readCanaryNote(ctx, identity);
  return said?.armed !== undefined && sameIncarnation(said.server, server)
    ? { armed: said.armed }
    : {};
}

/**
 * The canary sees more than anyone who comes later, so it goes first. One that
 * is itself held up does not hold up the rest.
 */
async function letCanaryFinish(
  ctx: Context,
  identity: string,
  server: Incarnation,
): Promise<void> {
  const deadline = performance.now() + CANARY_MS;
  while (performance.now() < deadline) {
    const watcher = watcherOf(ctx, identity);
    if (watcher === undefined) return;
    if (watcher !== "starting" && !sameIncarnation(watcher.server, server)) return;
    await ctx.host.sleep(10);
  }
}

/**
 * A claim whose death nobody saw: it covers the death unless the server was
 * seen alive after the claim had become void.
 */
function coversUnobserved(
  claim: NonNullable<ReturnType<typeof readClaim>>,
  server: Incarnation,
  lastSeen: number,
): boolean {
  const secs = Math.max(0, lastSeen - claim.at) / 1000;
  return covers(claim, server, { at: lastSeen, uptime: (claim.uptime ?? 0) + secs });
}

/**
 * When a session's server was last seen alive: by its record, or by a tick,
 * which only touches the record's file.
 *
 * @param ctx The root.
 * @param record The session.
 * @returns Epoch milliseconds.
 */
export function lastSeenOf(ctx: Context, record: SessionRecord): number {
  const seen = record.lastSeen ?? record.launchedAt;
  try {
    const touched = Deno.statSync(ctx.paths.session(record.identity)).mtime?.getTime() ?? 0;
    return Math.max(seen, touched);
  } catch {
    return seen;
  }
}

/** tmux leaves its socket behind whatever it dies of [measured, 3.3a]. */
function removeStaleSock(ctx: Context, record: SessionRecord): void {
  if (!record.external && record.sock === ctx.paths.sock(record.identity)) {
    removeIfThere(record.sock);
  }
}

/**
 * Resolves the record of a launch that was interrupted: its operation lock is
 * free, so nobody is launching any more. What came up whole is kept; a server
 * without its session is ended.
 *
 * @param ctx The root.
 * @param record The record, in state `starting`.
 * @param keep `false` ends everything, whole or not.
 * @returns The new record, written.
 */
export async function resolveStarting(
  ctx: Context,
  record: SessionRecord,
  keep: boolean,
): Promise<SessionRecord> {
  const { identity, sock } = record;
  await letCanaryReport(ctx, identity);
  const watched = readCanaryNote(ctx, identity);
  const server = await serverOn(ctx, sock) ??
    await strayServer(ctx, sock);
  if (server === undefined) {
    removeStaleSock(ctx, record);
    return rest(ctx, record, "nothing of it runs");
  }
  const whole = await new Server(ctx.host.tools, sock).hasSession(identity) === true;
  if (keep && whole) {
    const own = watched !== undefined && sameIncarnation(watched.server, server);
    const panePid = own
      ? watched.panePid
      : await new Server(ctx.host.tools, sock).panePid(identity);
    const kept: SessionRecord = {
      ...record,
      state: "running",
      server: own ? watched.server : server,
      mode: own ? watched.mode : "attach",
      ...(panePid === undefined ? {} : { panePid }),
      lastSeen: ctx.host.now(),
    };
    faultPoint("resolve:whole");
    writeSession(ctx, kept);
    faultPoint("resolve:kept");
    note(ctx, "launch-resumed", [["identity", identity], ["server_pid", server.pid]]);
    return kept;
  }
  await killSession(ctx, { ...record, server }, "launch", "its launch was interrupted");
  faultPoint("resolve:ended");
  return rest(ctx, record, "its server had no session");
}

function rest(ctx: Context, record: SessionRecord, reason: string): SessionRecord {
  const after = rested(record, { state: "gone" });
  writeSession(ctx, after);
  faultPoint("resolve:rested");
  note(ctx, "launch-interrupted", [["identity", record.identity], ["reason", reason]]);
  return after;
}

/** A canary that is still bringing up the server says so soon, or ends. */
async function letCanaryReport(ctx: Context, identity: string): Promise<void> {
  const deadline = performance.now() + CANARY_MS;
  while (performance.now() < deadline) {
    const watcher = watcherOf(ctx, identity);
    if (watcher !== "starting") return;
    await ctx.host.sleep(20);
  }
}

async function serverOn(ctx: Context, sock: string): Promise<Incarnation | undefined> {
  const reply = await new Server(ctx.host.tools, sock).pid();
  return "pid" in reply ? await incarnationOf(ctx.host, reply.pid) : undefined;
}

/**
 * A server that does not listen yet, or no more, found by its command line,
 * which ends in the very socket path and so is nobody else's.
 */
async function strayServer(ctx: Context, sock: string): Promise<Incarnation | undefined> {
  const { stdout } = await ctx.host.tools.run("ps", ["-axww", "-o", "pid=,command="]);
  for (const line of stdout.split("\n")) {
    const match = /^\s*(\d+) (.*)$/.exec(line);
    if (match === null || !/^\S*tmux -D -S /.test(match[2]!)) continue;
    const rest = match[2]!.replace(/^\S*tmux -D -S /, "");
    if (rest === sock || rest.startsWith(`${sock} -f `)) {
      return await incarnationOf(ctx.host, Number(match[1]));
    }
  }
  return undefined;
}

/**
 * Stops a session for good: it stays stopped until it is started or launched.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @returns Evidence on its way, if its server turned out to have died before.
 * @throws {NotRunningError} If it does not run.
 * @throws {IapeerError} If it is not known, not ours to stop, or does not end.
 */
export async function stop(ctx: Context, identity: string): Promise<Recorded | undefined> {
  using lock = await lockSession(ctx, identity, BUSY_MS);
  if (lock === undefined) {
    throw new IapeerError(
      `Cannot stop "${identity}": another operation on it has been under way for too long; see: iapeer status ${identity}`,
    );
  }
  faultPoint("stop:locked");
  let record = needSession(ctx, identity);
  if (record.external) {
    throw new IapeerError(
      `Cannot stop "${identity}": it is adopted, so it is watched only; end it where it was started`,
    );
  }
  if (record.state === "starting") record = await resolveStarting(ctx, record, true);
  const lives = record.server !== undefined &&
    await livenessOf(ctx.host, record.server) !== "gone";
  if (lives) await killSession(ctx, record, "stop", "iapeer stop");
  faultPoint("stop:killed");
  const settled = record.server === undefined ? undefined : await settle(ctx, record);
  faultPoint("stop:settled");
  writeSession(ctx, { ...(settled?.record ?? record), state: "stopped" });
  faultPoint("stop:written");
  if (!lives) {
    throw new NotRunningError(
      `"${identity}" was not running; it stays stopped until: iapeer start ${identity}`,
    );
  }
  return settled?.recorded;
}
