import { EXIT, IapeerError } from "../lib/errors.ts";
import { type SessionState, type SessionStatus, statusOf } from "../lib/status.ts";
import {
  type App,
  columns,
  contextFor,
  type JsonFlags,
  localTime,
  paint,
  printJson,
  say,
} from "./app.ts";

const EXIT_CODES: Readonly<Record<SessionState, number>> = {
  "alive": EXIT.done,
  "gone": EXIT.notRunning,
  "stopped": EXIT.notRunning,
  "parked": EXIT.notRunning,
  "crash-loop": EXIT.notRunning,
  "unreachable": EXIT.unknown,
};

const COLOURS = {
  "alive": "green",
  "gone": "red",
  "stopped": "dim",
  "parked": "dim",
  "crash-loop": "red",
  "unreachable": "yellow",
} as const;

/** `iapeer status` */
export default async function (this: App, flags: JsonFlags, ...given: string[]): Promise<void> {
  const ctx = contextFor(flags);
  const sessions = await statusOf(ctx, given.length > 0 ? given : undefined);
  for (const identity of given) {
    if (sessions.some((session) => session.identity === identity)) continue;
    throw new IapeerError(
      `Cannot find the session "${identity}": no session of that identity is known; see: iapeer status`,
    );
  }
  if (given.length === 1) this.process.exitCode = EXIT_CODES[sessions[0]!.state];
  if (flags.json) return printJson(this, sessions);
  if (sessions.length === 0) {
    say(this, "No sessions. Launch one with: iapeer launch --identity claude-bob -- claude");
    return;
  }
  const rows = sessions.map(row);
  const [heading, ...lines] = columns([
    ["IDENTITY", "STATE", "SERVER", "SINCE", "CANARY", "RESTART", "IDLE", "LAST DEATH"],
    ...rows,
  ]);
  say(this, paint(this, "bold", heading!));
  lines.forEach((line, n) => {
    const { state } = sessions[n]!;
    say(this, line.replace(state, (word) => paint(this, COLOURS[state], word)));
  });
}

function row(session: SessionStatus): string[] {
  const { identity, state, server, canary, policy, external, lastDeath } = session;
  return [
    identity,
    state,
    server === undefined ? "-" : String(server.pid),
    server === undefined ? "-" : localTime(Date.parse(server.startedAt)),
    canary.mode === undefined ? canary.state : `${canary.state} ${canary.mode} ${canary.pid}`,
    external ? "(adopted)" : policy.restart,
    policy.idleSecs === undefined ? "off" : `${policy.idleSecs}s`,
    lastDeath ?? "-",
  ];
}
