/**
 * One tick: every session looked at once, each apart from the others' errors.
 *
 * @module
 */

import { afterEnd, decideAbout } from "./aftermath.ts";
import { ensureCanary } from "./canary.ts";
import { expired, nowOf, readClaim, voidClaim } from "./claims.ts";
import { type Context, messageOf, note, warnOnce } from "./context.ts";
import { faultPoint } from "./fault.ts";
import { bootId, inspect, type Liveness, liveness, livenessOf, sendSignal } from "./host.ts";
import type { ProcessInfo } from "./host_formats.ts";
import { idleSeconds } from "./idle.ts";
import { resolveStarting } from "./interrupted.ts";
import { waitLock } from "./locks.ts";
import { sampleMemory } from "./memory.ts";
import { rotatePaneLog } from "./pane_log.ts";
import { finishOpenDeaths, type Recorded } from "./record.ts";
import { reviseDeaths } from "./revise.ts";
import {
  decided,
  listSessions,
  lockSession,
  readSession,
  type SessionRecord,
  writeSession,
} from "./sessions.ts";
import { sweepTemporary } from "./sweep.ts";
import { killSession, settle } from "./teardown.ts";
import { type ClientFailure, Server } from "./tmux.ts";

export { killSession } from "./teardown.ts";

/** What a tick did about a session. */
export type Outcome =
  | "alive"
  | "reaped-idle"
  | "reaped-gone"
  | "restarted"
  | "crash-loop"
  | "stopped"
  | "skipped-external"
  | "skipped-error";

/** One line of a tick's report. */
export interface TickResult {
  /** Which session. */
  readonly identity: string;
  /** What was done about it. */
  readonly outcome: Outcome;
  /** Why, where it is not plain. */
  readonly reason?: string;
}

/** A whole tick. */
export interface Tick {
  /** One for each session. */
  readonly results: TickResult[];
  /** Evidence about deaths that it found, on its way. */
  readonly recorded: Recorded[];
}

/** How long a tick waits for another one, and for an operation on a session, in milliseconds. */
const TICK_BUSY_MS = 15_000;
const SESSION_BUSY_MS = 500;

/**
 * What is the matter with a session that does not answer.
 *
 * @param answer What the server said when asked for the session.
 * @param server How its server's incarnation is.
 * @returns `alive` if it is there; `session-gone` if its server lives without
 * it; `server-dead` if the socket is missing or nobody serves it; and
 * `unreachable` for a server that does not answer in time, which is not death.
 */
export function classifyGone(
  answer: boolean | ClientFailure,
  server: Liveness,
): "alive" | "session-gone" | "server-dead" | "unreachable" {
  if (server === "gone") return "server-dead";
  if (answer === true) return "alive";
  if (answer === false) return "session-gone";
  // The process itself knows best: a socket can be removed under a living server.
  if (server === "alive" || server === "stopped") return "unreachable";
  return answer === "no-server" || answer === "no-socket" ? "server-dead" : "unreachable";
}

/** What a tick looks up once, for all sessions. */
interface Round {
  readonly infos: Map<number, ProcessInfo> | undefined;
  readonly boot: string | undefined;
  readonly verbose: boolean;
  readonly recorded: Recorded[];
  /** Pids of the servers that live, by identity. */
  readonly alive: Map<string, number>;
}

/** Options of {@linkcode tick}. */
export interface TickOptions {
  /** Log the sessions that are simply alive, too. */
  readonly verbose?: boolean;
  /** Read the whole death journal, see {@linkcode finishOpenDeaths}. */
  readonly thorough?: boolean;
}

/**
 * Looks at every session once.
 *
 * @param ctx The root.
 * @param options See {@linkcode TickOptions}.
 * @returns One outcome for each session.
 * @throws {Error} If another tick holds the lock for too long.
 */
export async function tick(
  ctx: Context,
  { verbose = false, thorough = false }: TickOptions = {},
): Promise<Tick> {
  using lock = await waitLock(ctx.paths.lock("tick"), TICK_BUSY_MS);
  if (lock === undefined) throw new Error("another tick has been under way for too long");
  faultPoint("tick:locked");
  const recorded = finishOpenDeaths(ctx, { thorough });
  faultPoint("tick:entries-taken");
  const identities = listSessions(ctx);
  const [infos, boot] = await Promise.all([lookAtAll(ctx, identities), bootId(ctx.host)]);
  const round: Round = { infos, boot, verbose, recorded, alive: new Map() };
  const results: TickResult[] = [];
  for (const identity of identities) {
    const result = await tickSession(ctx, identity, round);
    if (result === undefined) continue;
    results.push(result);
    if (verbose || !["alive", "stopped", "skipped-external"].includes(result.outcome)) {
      note(ctx, "tick", [
        ["identity", identity],
        ["outcome", result.outcome],
        ["reason", result.reason],
      ]);
    }
  }
  faultPoint("tick:sessions-done");
  await reviseDeaths(ctx);
  await sampleMemory(ctx, round.alive);
  sweepTemporary(ctx);
  return { results, recorded };
}

/** One look at the processes of all sessions. */
function lookAtAll(
  ctx: Context,
  identities: string[],
): Promise<Map<number, ProcessInfo> | undefined> {
  const pids = identities.flatMap((identity) => {
    try {
      const record = readSession(ctx, identity);
      return [record?.server?.pid, record?.panePid].filter((pid) => pid !== undefined);
    } catch {
      // Its own turn will say what is wrong with it.
      return [];
    }
  });
  return inspect(ctx.host, pids);
}

async function tickSession(
  ctx: Context,
  identity: string,
  round: Round,
): Promise<TickResult | undefined> {
  try {
    using lock = await lockSession(ctx, identity, SESSION_BUSY_MS);
    if (lock === undefined) {
      return { identity, outcome: "skipped-error", reason: "another operation is under way" };
    }
    const record = readSession(ctx, identity);
    if (record === undefined) {
      return {
        identity,
        outcome: "skipped-error",
        reason: "its record could not be understood and was set aside",
      };
    }
    return { identity, ...await treat(ctx, record, round) };
  } catch (error) {
    warnOnce(`cannot look after ${identity}: ${messageOf(error)}`);
    return { identity, outcome: "skipped-error", reason: messageOf(error) };
  }
}

type Treated = Omit<TickResult, "identity">;

async function treat(ctx: Context, record: SessionRecord, round: Round): Promise<Treated> {
  if (record.state === "starting") {
    const resolved = await resolveStarting(ctx, record, true);
    if (resolved.server === undefined) {
      return { outcome: "reaped-gone", reason: "its launch was interrupted" };
    }
    if (await livenessOf(ctx.host, resolved.server) === "gone") {
      return await afterEnd(ctx, resolved, round);
    }
    await ensureCanary(ctx, record.identity, resolved);
    return { outcome: "alive", reason: "its launch was interrupted; it came up whole" };
  }
  const { server } = record;
  if (server === undefined) {
    if (record.undecided !== undefined) {
      return await decideAbout(ctx, record, record.undecided, round.boot);
    }
    return record.state === "crash-loop"
      ? { outcome: "crash-loop" }
      : { outcome: "stopped", reason: record.state };
  }
  // A pid of another boot is another process, whatever runs under it now.
  const sameBoot = record.bootId === undefined || round.boot === undefined ||
    record.bootId === round.boot;
  const state = sameBoot ? await freshLiveness(ctx, record, round) : "gone";
  if (state === "unknown") {
    return {
      outcome: "skipped-error",
      reason: "the machine did not tell whether its server lives",
    };
  }
  if (state === "gone") return await afterEnd(ctx, record, round);
  return await whileAlive(ctx, record, state, round);
}

/** The look at all may be older than the record, when a launch came in between. */
async function freshLiveness(ctx: Context, record: SessionRecord, round: Round): Promise<Liveness> {
  const server = record.server!;
  if (round.infos?.has(server.pid)) return liveness(round.infos, server);
  return liveness(await inspect(ctx.host, [server.pid]), server);
}

async function whileAlive(
  ctx: Context,
  record: SessionRecord,
  state: Liveness,
  round: Round,
): Promise<Treated> {
  const { identity, server } = record;
  round.alive.set(identity, server!.pid);
  voidOldClaim(ctx, identity);
  if (!record.external) mendSock(ctx, record);
  const canary = await ensureCanary(ctx, identity, record);
  touch(ctx, identity);
  const canaryReason = canary === "failed" ? "no canary could be started" : undefined;
  if (state === "stopped") {
    return { outcome: "skipped-error", reason: "unreachable: a signal holds its server up" };
  }
  if (record.external) {
    return { outcome: "skipped-external", ...(canaryReason && { reason: canaryReason }) };
  }
  const pane = record.panePid === undefined ? undefined : round.infos?.get(record.panePid);
  if (round.infos !== undefined && (pane === undefined || pane.zombie)) {
    const gone = await afterPane(ctx, record, round);
    if (gone !== undefined) return gone;
  }
  await rotatePaneLog(ctx, record);
  const idle = record.spec?.policy.idleSecs === undefined
    ? undefined
    : await idleSeconds(ctx, record, record.spec.policy);
  if (idle !== undefined) {
    await killSession(ctx, record, "idle", `no output for ${idle} s`);
    await settle(ctx, record);
    return { outcome: "reaped-idle", reason: `no output for ${idle} s` };
  }
  return { outcome: "alive", ...(canaryReason && { reason: canaryReason }) };
}

/**
 * The session's program has ended and its server lives: the exit hook is at
 * work, or the user respawned the pane, or tmux has missed the program's end
 * (see lib/own.ts; a canary in attach mode is not the server's parent).
 */
async function afterPane(
  ctx: Context,
  record: SessionRecord,
  round: Round,
): Promise<Treated | undefined> {
  const { identity, sock, server } = record;
  const tmux = new Server(ctx.host.tools, sock);
  const answer = await tmux.hasSession(identity);
  const state = liveness(await inspect(ctx.host, [server!.pid]), server!);
  switch (classifyGone(answer, state)) {
    case "server-dead":
      return await afterEnd(ctx, record, round);
    case "unreachable":
      return { outcome: "skipped-error", reason: `unreachable: ${answer}` };
    case "session-gone": {
      await killSession(
        ctx,
        record,
        "launch",
        "its session is gone, other sessions keep the server",
      );
      const settled = await settle(ctx, record);
      writeSession(ctx, { ...decided(settled.record), state: "gone" });
      return { outcome: "reaped-gone", reason: "session-gone" };
    }
    case "alive": {
      // Makes the server look for ended children once more.
      await sendSignal(ctx.host, server!, "CHLD");
      const panePid = await tmux.panePid(identity);
      if (panePid !== undefined && panePid !== record.panePid) {
        writeSession(ctx, { ...record, panePid });
      }
      return undefined;
    }
  }
}

/** A claim that cannot be read keeps nobody from looking after what lives. */
function voidOldClaim(ctx: Context, identity: string): void {
  try {
    const claim = readClaim(ctx, identity);
    if (claim !== undefined && !claim.spent && expired(claim, nowOf(ctx))) voidClaim(ctx, claim);
  } catch (error) {
    warnOnce(`cannot read the claim on ${identity}: ${messageOf(error)}`);
  }
}

/** A living server whose socket was removed makes it anew on SIGUSR1 [measured, 3.3a]. */
function mendSock(ctx: Context, record: SessionRecord): void {
  try {
    Deno.lstatSync(record.sock);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) return;
    note(ctx, "sock-mended", [["identity", record.identity], ["sock", record.sock]]);
    void sendSignal(ctx.host, record.server!, "USR1");
  }
}

/** Notes that the server was seen alive, without writing anything. */
function touch(ctx: Context, identity: string): void {
  try {
    const now = new Date(ctx.host.now());
    Deno.utimeSync(ctx.paths.session(identity), now, now);
  } catch {
    // Read-only: the next death is bounded less well, that is all.
  }
}
