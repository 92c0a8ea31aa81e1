/**
 * The canary of a server that it starts itself: as its parent it learns from
 * the kernel how the server ends.
 *
 * @module
 */

import { concludeWatch, type Conclusion, Watch } from "./conclusion.ts";
import { type Context, messageOf } from "./context.ts";
import { toolPath, withEnvironment } from "./environment.ts";
import { IapeerError } from "./errors.ts";
import { faultPoint } from "./fault.ts";
import { type Incarnation, incarnationOf } from "./host.ts";
import { type Child, type Ended, spawnChild } from "./process.ts";
import { readSession, type SessionRecord, type Spec } from "./sessions.ts";
import {
  clientFailure,
  exitHook,
  type NewSessionReply,
  parseNewSession,
  Server,
  serverArgs,
} from "./tmux.ts";
import { type End, endOfChild } from "./watch.ts";
import { beginNote, takeCanaryLock } from "./watcher.ts";

/** What the canary reports to the launch that started it. */
export type StartReport =
  | { readonly ready: true; readonly server: Incarnation; readonly panePid: number }
  | { readonly ready: false; readonly error: string };

/** How long a server may take until its session is there, in milliseconds. */
const START_MS = 10_000;
const RETRY_MS = 4;
/** How long a server that is ended because its start failed may take, in milliseconds. */
const END_MS = 2000;

/**
 * Starts the server of a session, creates the session, reports, and watches
 * until the server ends and its end is concluded.
 *
 * @param ctx The root.
 * @param identity Which session; its record says what to run.
 * @param launchedAt Which launch of it, as its record says.
 * @param report Called once.
 * @returns What was done about its end; `undefined` if it never came up.
 */
export async function ownCanary(
  ctx: Context,
  identity: string,
  launchedAt: number,
  report: (report: StartReport) => void,
): Promise<Conclusion | undefined> {
  let lock;
  let server: Child;
  let apart: Record<string, string>;
  let record: SessionRecord & { spec: Spec };
  try {
    lock = await takeCanaryLock(ctx, identity);
    beginNote(ctx, identity, lock);
    faultPoint("own:locked");
    record = startingRecord(ctx, identity, launchedAt);
    [server, apart] = startServer(record);
    faultPoint("own:server-started");
  } catch (error) {
    lock?.release();
    report({ ready: false, error: messageOf(error) });
    return undefined;
  }
  // Looked up at once: a server that dies while it starts has an identity too.
  const incarnation = await incarnationOf(ctx.host, server.pid);
  faultPoint("own:server-known");
  try {
    let reply: NewSessionReply;
    try {
      reply = await createSession(ctx, record, apart, server, incarnation);
      faultPoint("own:session-made");
      if (incarnation === undefined) throw new IapeerError("the tmux server is gone already");
    } catch (error) {
      const conclusion = await abandon(ctx, identity, server, incarnation, lock.release);
      const more = conclusion === undefined ? "" : " (its death is recorded, see: iapeer deaths)";
      report({ ready: false, error: `${messageOf(error)}${more}` });
      return conclusion;
    }
    // tmux before 3.5 now and then misses the end of a pane's program, and then
    // never runs its hook [tmux issue 2483; seen with 3.3a]. A SIGCHLD that its
    // parent sends makes it look again, and costs nothing otherwise.
    const nudge = () => server.kill("SIGCHLD");
    using watch = new Watch(ctx, lock, {
      pid: Deno.pid,
      mode: "own",
      sock: record.sock,
      server: incarnation,
      launchedAt,
      panePid: reply.panePid,
    }, nudge);
    faultPoint("own:watching");
    report({ ready: true, server: incarnation, panePid: reply.panePid });
    faultPoint("own:reported");
    const end = endOfChild(await server.ended);
    const seen = { identity, server: incarnation, mode: "own" as const, end, watch };
    return await concludeWatch(ctx, seen, lock.release);
  } finally {
    lock.release();
  }
}

/** The session could not be made: ends the server, unless somebody else did, and says why. */
async function abandon(
  ctx: Context,
  identity: string,
  server: Child,
  incarnation: Incarnation | undefined,
  release: () => void,
): Promise<Conclusion | undefined> {
  const killed = await endServer(server);
  faultPoint("own:abandoned");
  if (killed === undefined || incarnation === undefined) return undefined;
  // Somebody else ended it while it started: a death like any other.
  return await concludeWatch(
    ctx,
    { identity, server: incarnation, mode: "own", end: killed },
    release,
  );
}

/**
 * The record of the launch that started this canary. A canary that comes late,
 * after its launch was killed, must not take the next launch's record for its own.
 */
function startingRecord(
  ctx: Context,
  identity: string,
  launchedAt: number,
): SessionRecord & { spec: Spec } {
  const record = readSession(ctx, identity);
  const ours = record?.state === "starting" && record.launchedAt === launchedAt;
  if (!ours || record.spec === undefined) {
    throw new IapeerError(
      `Cannot start "${identity}": no launch of it is under way; use: iapeer launch`,
    );
  }
  return { ...record, spec: record.spec };
}

function startServer(record: SessionRecord & { spec: Spec }): [Child, Record<string, string>] {
  const { sock, spec } = record;
  const tmux = toolPath("tmux");
  return withEnvironment(spec.env, (apart) => [
    spawnChild(tmux, serverArgs(sock, spec.tmuxConf)),
    apart,
  ]);
}

/** Creates the session as soon as the server listens. */
async function createSession(
  ctx: Context,
  record: SessionRecord & { spec: Spec },
  apart: Record<string, string>,
  server: Child,
  incarnation: Incarnation | undefined,
): Promise<NewSessionReply> {
  const { identity, sock, spec } = record;
  const { paths, host } = ctx;
  let over = false;
  server.ended.then(() => over = true);
  const deadline = performance.now() + START_MS;
  const client = new Server(host.tools, sock);
  while (true) {
    const result = await client.newSession({
      identity,
      argv: spec.argv,
      cwd: spec.cwd,
      size: spec.size,
      env: apart,
      paneLog: paths.paneLog(identity),
      nice: toolPath("nice"),
      hook: exitHook(identity, paths.exitsLog, paths.claim(identity), incarnation),
    });
    const failure = clientFailure(result);
    const reply = parseNewSession(result.stdout);
    if (failure === undefined && reply !== undefined) return reply;
    const early = failure === "no-server" || failure === "no-socket" || failure === "lost";
    if (over || !early || performance.now() >= deadline) {
      // A client that leaves with 0 and no word was sent away by a server on its way out.
      const why = over || failure === undefined
        ? "the tmux server ended at once"
        : result.failure ?? (result.stderr.trim() || "the tmux server does not answer");
      throw new IapeerError(
        `Cannot create the session "${identity}": ${why}${
          spec.tmuxConf === undefined ? "" : `; check the configuration ${spec.tmuxConf}`
        }`,
      );
    }
    await host.sleep(RETRY_MS);
  }
}

/**
 * Ends a server whose session could not be made.
 *
 * @returns How it had ended before, if somebody else killed it.
 */
async function endServer(server: Child): Promise<End | undefined> {
  const before = await endsWithin(server, 20);
  if (before !== undefined) return before.signal === undefined ? undefined : endOfChild(before);
  server.kill("SIGTERM");
  if (await endsWithin(server, END_MS) === undefined) server.kill("SIGKILL");
  await server.ended;
  return undefined;
}

async function endsWithin(server: Child, ms: number): Promise<Ended | undefined> {
  let timer;
  const late = new Promise<undefined>((wake) => timer = setTimeout(() => wake(undefined), ms));
  const ended = await Promise.race([server.ended, late]);
  clearTimeout(timer);
  return ended;
}
