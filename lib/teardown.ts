/**
 * Ending sessions on purpose, and settling what has ended.
 *
 * @module
 */

import type { Arming } from "./arming.ts";
import { signalClean } from "./canary.ts";
import { type Claimant, covers, readClaim, writeClaim } from "./claims.ts";
import { type Context, note } from "./context.ts";
import { journalId, readDeath } from "./deaths.ts";
import { IapeerError } from "./errors.ts";
import {
  bootId,
  type Incarnation,
  livenessOf,
  sameIncarnation,
  sendSignal,
  waitGone,
} from "./host.ts";
import { faultPoint } from "./fault.ts";
import { endingOf } from "./policy.ts";
import { deathLock, recordDeath, type Recorded } from "./record.ts";
import { type RecordState, rested, type SessionRecord, writeSession } from "./sessions.ts";
import { removeIfThere } from "./store.ts";
import { Server } from "./tmux.ts";
import { evictHolder, isHeldUp, readCanaryNote, watcherOf } from "./watcher.ts";

/** How long each step of ending a server may take, in milliseconds. */
const STEP_MS = { session: 1500, term: 2000, kill: 3000 } as const;
/** How long a canary is given to record the death of its server, in milliseconds. */
const CANARY_MS = 5000;
/** After so many milliseconds a canary is looked at, whether a signal holds it up. */
const PATIENCE_MS = 150;

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
  // One that a signal holds up answers nobody and does not see a TERM.
  const held = await livenessOf(host, server) === "stopped";
  if (held) writeClaim(ctx, identity, server, who, why);
  else await signalClean(ctx, identity, server, who, why);
  faultPoint("kill:claimed");
  note(ctx, "teardown", [["identity", identity], ["server_pid", server.pid], ["who", who], [
    "why",
    why,
  ]]);
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
 * @throws {Error} If the storage refuses, or the claim cannot be read; it may
 * be tried again.
 */
export async function settle(ctx: Context, record: SessionRecord): Promise<Settled> {
  const { identity } = record;
  const server = record.server!;
  faultPoint("settle:begun");
  // The canary waits for the same: waiting for it in turn would be in vain.
  readClaim(ctx, identity);
  await letCanaryFinish(ctx, identity, server);
  faultPoint("settle:canary-finished");
  removeStaleSock(ctx, record);
  const lastSeen = lastSeenOf(ctx, record);
  const claim = readClaim(ctx, identity);
  if (claim !== undefined && coversUnobserved(claim, server, lastSeen)) {
    const quiet = rested(record, {
      // A newer program may have other reasons.
      state: STATE_AFTER[claim.who] ?? "gone",
      ...(claim.exit === undefined ? {} : { lastExit: claim.exit }),
    });
    const after = endingOf(quiet, "claimed") === "wanted"
      ? quiet
      : { ...quiet, undecided: "claimed" as const };
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
  const { death, recorded } = await findOrRecord(ctx, record, server, lastSeen, bootChanged);
  faultPoint("settle:death-recorded");
  const after = rested(record, {
    state: "gone",
    lastDeath: death,
    ...(record.spec === undefined ? {} : { undecided: "death" as const }),
  });
  writeSession(ctx, after);
  faultPoint("settle:death-settled");
  return { record: after, how: "death", recorded };
}

async function findOrRecord(
  ctx: Context,
  record: SessionRecord,
  server: Incarnation,
  lastSeen: number,
  bootChanged: boolean,
): Promise<{ death: string; recorded: Recorded | undefined }> {
  const { identity, mode } = record;
  const take = () =>
    recordDeath(ctx, {
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
  let recorded = take();
  if (recorded === undefined && !isTold(ctx, identity, server)) {
    const lock = deathLock(ctx, journalId(ctx, identity, server));
    // Not so if it went on meanwhile: then it has told of the death itself.
    if (await evictHolder(ctx, identity, lock)) recorded = take();
  }
  const id = journalId(ctx, identity, server);
  if (recorded === undefined && readDeath(ctx, id) === undefined) {
    // Another witness has the entry's lock and has not made the entry. It may
    // die before it does: the session must not be put to rest on its word.
    throw new IapeerError(`another witness is about to record ${id}; looking again later`);
  }
  return { death: id, recorded };
}

/** The line of this death is on disk. */
function isTold(ctx: Context, identity: string, server: Incarnation): boolean {
  const death = readDeath(ctx, journalId(ctx, identity, server));
  return death !== undefined && death.step !== "noticed";
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
  const started = performance.now();
  while (performance.now() - started < CANARY_MS) {
    const watcher = watcherOf(ctx, identity);
    if (watcher === undefined) return;
    if (watcher !== "starting" && !sameIncarnation(watcher.server, server)) return;
    const long = performance.now() - started > PATIENCE_MS;
    if (long && await isHeldUp(ctx, identity)) return;
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
  // A tick that sees the server alive removes a claim that is void by the boot's
  // uptime before it notes that it was seen: one that is there was not void. The
  // wall times of the two cannot tell, somebody may have set the clock between.
  const uptime = claim.uptime ?? 0;
  return covers(claim, server, { at: lastSeen, uptime });
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
export function removeStaleSock(ctx: Context, record: SessionRecord): void {
  if (!record.external && record.sock === ctx.paths.sock(record.identity)) {
    removeIfThere(record.sock);
  }
}
