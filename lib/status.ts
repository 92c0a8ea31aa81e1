/**
 * How every session is, for people and for programs.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { bootId, inspect, type Liveness, liveness, sameIncarnation } from "./host.ts";
import { listSessions, readSession, type RestartPolicy, type SessionRecord } from "./sessions.ts";
import { Server } from "./tmux.ts";
import { type CanaryNote, watcherOf } from "./watcher.ts";

/** What a session is doing. */
export type SessionState = "alive" | "gone" | "stopped" | "parked" | "crash-loop" | "unreachable";

/** One session, as `status --json` prints it. */
export interface SessionStatus {
  /** Which session. */
  readonly identity: string;
  /** How it is now. */
  readonly state: SessionState;
  /** The incarnation that runs it; its start is UTC, ISO 8601. */
  readonly server?: { readonly pid: number; readonly startedAt: string };
  /** Path of the server's socket. */
  readonly sock: string;
  /** Whether somebody watches it, and how. */
  readonly canary: {
    readonly state: "armed" | "missing" | "failed";
    readonly pid?: number;
    readonly mode?: "own" | "attach";
  };
  /** What becomes of it. */
  readonly policy: { readonly restart: RestartPolicy; readonly idleSecs?: number };
  /** Somebody else started it: it is watched only. */
  readonly external: boolean;
  /** Id of its last recorded death. */
  readonly lastDeath?: string;
}

/**
 * Looks at sessions. Changes nothing.
 *
 * @param ctx The root.
 * @param identities Which; all unless told.
 * @returns Those that are known, sorted.
 */
export async function statusOf(
  ctx: Context,
  identities: readonly string[] = listSessions(ctx),
): Promise<SessionStatus[]> {
  const records = identities.map((identity) => readSession(ctx, identity))
    .filter((record) => record !== undefined);
  const pids = records.flatMap((record) => record.server?.pid ?? []);
  const [infos, boot] = await Promise.all([inspect(ctx.host, pids), bootId(ctx.host)]);
  return await Promise.all(records.map(async (record) => {
    const sameBoot = record.bootId === undefined || boot === undefined || record.bootId === boot;
    const state = record.server === undefined
      ? undefined
      : sameBoot
      ? liveness(infos, record.server)
      : "gone";
    return describe(ctx, record, await stateOf(ctx, record, state));
  }));
}

async function stateOf(
  ctx: Context,
  record: SessionRecord,
  server: Liveness | undefined,
): Promise<SessionState> {
  switch (server) {
    case undefined:
      return record.state === "starting" || record.state === "running" ? "gone" : record.state;
    case "gone":
      return "gone";
    case "stopped":
    case "unknown":
      return "unreachable";
    case "alive": {
      // A session of ours is known by its name; of an adopted server only the server is.
      const tmux = new Server(ctx.host.tools, record.sock);
      if (record.external) {
        const reply = await tmux.pid();
        return "pid" in reply ? "alive" : "unreachable";
      }
      const answer = await tmux.hasSession(record.identity);
      return answer === true ? "alive" : answer === false ? "gone" : "unreachable";
    }
  }
}

function describe(ctx: Context, record: SessionRecord, state: SessionState): SessionStatus {
  const { identity, server, sock, spec, external, lastDeath } = record;
  const policy = spec?.policy;
  return {
    identity,
    state,
    ...(server === undefined ? {} : {
      server: { pid: server.pid, startedAt: new Date(server.startedAt * 1000).toISOString() },
    }),
    sock,
    canary: canaryOf(ctx, record),
    policy: {
      restart: policy?.restart ?? "never",
      ...(policy?.idleSecs === undefined ? {} : { idleSecs: policy.idleSecs }),
    },
    external,
    ...(lastDeath === undefined ? {} : { lastDeath }),
  };
}

function canaryOf(ctx: Context, record: SessionRecord): SessionStatus["canary"] {
  let watcher: CanaryNote | "starting" | undefined;
  try {
    watcher = watcherOf(ctx, record.identity);
  } catch {
    return { state: "failed" };
  }
  if (watcher === undefined || watcher === "starting") return { state: "missing" };
  if (record.server !== undefined && !sameIncarnation(watcher.server, record.server)) {
    return { state: "missing" };
  }
  return { state: "armed", pid: watcher.pid, mode: watcher.mode };
}
