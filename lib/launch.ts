/**
 * Bringing up a session on a server of its own.
 *
 * @module
 */

import { ensureCanary, firstLine } from "./canary.ts";
import { checkSockPath, openRoot } from "./config.ts";
import { type Context, note } from "./context.ts";
import { IapeerError, UnknownStateError } from "./errors.ts";
import { faultPoint, passFaultOn } from "./fault.ts";
import { bootId, livenessOf } from "./host.ts";
import { resolveStarting } from "./interrupted.ts";
import type { StartReport } from "./own.ts";
import { spawnChild } from "./process.ts";
import { checkProgram, checkTmux } from "./program.ts";
import { selfCommand } from "./self.ts";
import {
  begun,
  type End,
  lockSession,
  readSession,
  type SessionRecord,
  type Spec,
  writeSession,
} from "./sessions.ts";
import { removeIfThere } from "./store.ts";
import { killSession, settle } from "./teardown.ts";
import { Server } from "./tmux.ts";
import { readCanaryNote } from "./watcher.ts";

/** How long the canary may take to report, in milliseconds: longer than it gives its server. */
const REPORT_MS = 15_000;
/** How long another operation on the same session is waited for, in milliseconds. */
const BUSY_MS = 300;

/** A session that runs and is watched. */
export interface Launched {
  /** Which session. */
  readonly identity: string;
  /** The server's process id. */
  readonly serverPid: number;
  /** Process id of the canary that is its parent. */
  readonly canaryPid: number;
  /** Path of its socket. */
  readonly sock: string;
}

/** What {@linkcode launch} is asked for. */
export interface LaunchOptions {
  /** Which session. */
  readonly identity: string;
  /** What to run. */
  readonly spec: Spec;
  /** Tear down a session of that identity first, if one runs. */
  readonly replace: boolean;
  /** The request that asks for it, where it was handed over: it is carried out only once. */
  readonly request?: {
    /** Its id. */
    readonly id: string;
    /** Whether it stands yet: asked once nothing else can happen to the session. */
    stands(): boolean;
  };
}

/**
 * The option of {@linkcode launch} for what somebody else may have begun.
 *
 * @param id Of the request, if there was one.
 * @returns The option; it stands.
 */
export function askedFor(id: string | undefined): Pick<LaunchOptions, "request"> {
  return id === undefined ? {} : { request: { id, stands: () => true } };
}

/**
 * Launches a session: returns when it runs and its canary is armed.
 *
 * @param ctx The root; made if it is not there.
 * @param options What to launch.
 * @returns The pids and the socket.
 * @throws {IapeerError} If it runs already, or cannot be started; nothing of it
 * is then left running. Or if its request was carried out, and what it launched
 * has ended since.
 * @throws {UnknownStateError} If it is not known how a server of that identity is.
 */
export async function launch(ctx: Context, options: LaunchOptions): Promise<Launched> {
  const { identity, spec, replace, request } = options;
  checkSockPath(ctx.paths.sock(identity));
  openRoot(ctx.paths, Deno.uid());
  using lock = await lockSession(ctx, identity, BUSY_MS);
  if (lock === undefined) {
    throw new IapeerError(
      `Cannot launch "${identity}": another launch or stop of it is under way; try again when it is done`,
    );
  }
  faultPoint("launch:locked");
  if (request?.stands() === false) {
    throw new IapeerError(`Cannot launch "${identity}": the request was withdrawn`);
  }
  const before = readSession(ctx, identity);
  if (request !== undefined && before?.request === request.id) {
    const launched = await launchedAlready(ctx, before);
    if (launched !== undefined) return launched;
  }
  await makeRoom(ctx, identity, readSession(ctx, identity), replace);
  faultPoint("launch:room-made");
  return await launchLocked(ctx, identity, spec, { request: request?.id });
}

/**
 * What came of a request that somebody has begun to carry out before: a program
 * must not run twice because an answer was lost.
 *
 * @returns `undefined` if that was interrupted, and nothing of it is left.
 */
async function launchedAlready(
  ctx: Context,
  before: SessionRecord,
): Promise<Launched | undefined> {
  const { identity, request } = before;
  const record = before.state === "starting" ? await resolveStarting(ctx, before, true) : before;
  if (record.request !== request) return undefined;
  const state = record.server === undefined ? "gone" : await livenessOf(ctx.host, record.server);
  if (record.server === undefined || state === "gone") {
    throw new IapeerError(
      `Cannot tell the server of "${identity}": it was launched, and has ended since; see: iapeer status ${identity}`,
    );
  }
  const armed = await ensureCanary(ctx, identity);
  const canaryPid = readCanaryNote(ctx, identity)?.pid;
  if (armed === "failed" || canaryPid === undefined) {
    throw new UnknownStateError(
      `Cannot tell the canary of "${identity}": its server ${record.server.pid} runs; see: iapeer status ${identity}`,
    );
  }
  return { identity, serverPid: record.server.pid, canaryPid, sock: record.sock };
}

/** Makes sure that no server of this identity lives, or refuses. */
async function makeRoom(
  ctx: Context,
  identity: string,
  before: SessionRecord | undefined,
  replace: boolean,
): Promise<void> {
  let record = before;
  if (record?.state === "starting") {
    // The launch that wrote this is gone: its lock was free.
    record = await resolveStarting(ctx, record, true);
  }
  if (record?.external && record.server !== undefined) {
    const state = await livenessOf(ctx.host, record.server);
    if (state !== "gone") {
      throw new IapeerError(
        `Cannot launch "${identity}": it is an adopted session on a server that somebody else started, and it lives; end it there first`,
      );
    }
  }
  if (record?.server !== undefined) {
    const state = await livenessOf(ctx.host, record.server);
    if (state === "unknown") {
      throw new UnknownStateError(
        `Cannot launch "${identity}": it is not known whether its server ${record.server.pid} lives; try again`,
      );
    }
    if (state !== "gone") {
      if (!replace) {
        throw new IapeerError(
          `Cannot launch "${identity}": already running (server ${record.server.pid}); use --replace, or: iapeer stop ${identity}`,
        );
      }
      await killSession(ctx, record, "replace", "launch --replace");
    }
    await settle(ctx, record);
  }
  await refuseForeignServer(ctx, identity);
}

/** A server would take the socket of another one away; its sessions would be lost to everyone. */
async function refuseForeignServer(ctx: Context, identity: string): Promise<void> {
  const sock = ctx.paths.sock(identity);
  try {
    Deno.lstatSync(sock);
  } catch {
    return;
  }
  const reply = await new Server(ctx.host.tools, sock).pid();
  const answers = "pid" in reply;
  if (answers || reply.failure === "timeout" || reply.failure === "version") {
    throw new IapeerError(
      `Cannot launch "${identity}": a tmux server that iapeer does not know ${
        answers ? `(pid ${reply.pid}) serves` : "seems to serve"
      } "${sock}"; end it first`,
    );
  }
}

/**
 * Starts the session of which the caller holds the operation lock, and of
 * which nothing lives.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @param spec What to run.
 * @param more `ends` that still count for the crash-loop guard: a launch that the
 * user asks for begins anew. Id of the `request` that asked for the session.
 * @returns The pids and the socket.
 * @throws {IapeerError} If it cannot be started; nothing is then left running.
 */
export async function launchLocked(
  ctx: Context,
  identity: string,
  spec: Spec,
  { ends = [], request }: {
    readonly ends?: readonly End[];
    readonly request?: string | undefined;
  } = {},
): Promise<Launched> {
  checkTmux(identity);
  const [boot] = await Promise.all([bootId(ctx.host), checkProgram(ctx.host.tools, spec)]);
  const before = readSession(ctx, identity);
  const starting: SessionRecord = {
    identity,
    state: "starting",
    external: false,
    sock: ctx.paths.sock(identity),
    spec,
    ...(boot === undefined ? {} : { bootId: boot }),
    hostName: ctx.host.name,
    launchedAt: ctx.host.now(),
    ...(request === undefined ? {} : { request }),
    ...(before?.lastDeath === undefined ? {} : { lastDeath: before.lastDeath }),
    ...(ends.length === 0 ? {} : { ends }),
    // If this launch is interrupted, that end is still to be decided about.
    ...(before?.undecided === undefined ? {} : {
      undecided: before.undecided,
      ...(before.lastExit === undefined ? {} : { lastExit: before.lastExit }),
    }),
  };
  writeSession(ctx, starting);
  faultPoint("launch:starting-written");
  let report: StartReport;
  let canaryPid: number;
  try {
    const own = ["canary", "--own", String(starting.launchedAt), "--identity", identity];
    const { program, args } = selfCommand(ctx, own);
    const canary = passFaultOn(() =>
      spawnChild(program, args, { stdout: true, cwd: ctx.paths.root })
    );
    canary.unref();
    canaryPid = canary.pid;
    faultPoint("launch:canary-spawned");
    report = parseReport(await firstLine(canary.stdout!, REPORT_MS));
    if (!report.ready) canary.kill("SIGTERM");
  } catch (error) {
    report = { ready: false, error: error instanceof Error ? error.message : String(error) };
    canaryPid = 0;
  }
  faultPoint("launch:reported");
  if (!report.ready) {
    await resolveStarting(ctx, starting, false);
    faultPoint("launch:failed");
    if (before === undefined) removeIfThere(ctx.paths.session(identity));
    else writeSession(ctx, before);
    note(ctx, "launch-failed", [["identity", identity], ["reason", report.error]]);
    throw new IapeerError(report.error);
  }
  writeSession(ctx, {
    ...begun(starting),
    state: "running",
    server: report.server,
    panePid: report.panePid,
    mode: "own",
    lastSeen: ctx.host.now(),
  });
  faultPoint("launch:running-written");
  note(ctx, "launched", [
    ["identity", identity],
    ["server_pid", report.server.pid],
    ["canary_pid", canaryPid],
    ["sock", starting.sock],
  ]);
  return { identity, serverPid: report.server.pid, canaryPid, sock: starting.sock };
}

function parseReport(line: string | undefined): StartReport {
  if (line === undefined) {
    return { ready: false, error: "Cannot start the session: its canary ended without a word" };
  }
  return JSON.parse(line);
}
