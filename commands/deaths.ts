import { type Context, messageOf } from "../lib/context.ts";
import { type Death, listDeaths } from "../lib/deaths.ts";
import { IapeerError, UsageError } from "../lib/errors.ts";
import { finishOpenDeaths } from "../lib/record.ts";
import { listSessions } from "../lib/sessions.ts";
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

interface Flags extends JsonFlags {
  readonly since?: number;
  readonly follow: boolean;
}

/** `iapeer deaths` */
export default async function (this: App, flags: Flags, which?: string): Promise<void> {
  const ctx = contextFor(flags);
  await Promise.all(finishOpenDeaths(ctx).map((one) => one.closed));
  const all = listDeaths(ctx);
  const one = all.find((death) => death.id === which);
  if (one !== undefined) {
    if (flags.follow) throw new UsageError("Cannot follow a single death: give an identity");
    return showOne(this, ctx, one, flags.json);
  }
  if (which !== undefined && !knows(ctx, all, which)) {
    throw new IapeerError(
      `Cannot find "${which}": it is neither a known session nor a recorded death; see: iapeer deaths`,
    );
  }
  const from = flags.since === undefined ? -Infinity : ctx.host.now() - flags.since * 1000;
  const wanted = (death: Death) =>
    (which === undefined || death.identity === which) && death.observedAt >= from;
  const deaths = all.filter(wanted);
  if (flags.follow) return await follow(this, ctx, wanted, flags.json);
  if (flags.json) return printJson(this, deaths.map(asJson));
  if (deaths.length === 0) {
    say(this, "No deaths recorded.");
    return;
  }
  const [heading, ...lines] = columns([HEADING, ...deaths.map(row)]);
  say(this, paint(this, "bold", heading!));
  for (const line of lines) say(this, line);
}

function knows(ctx: Context, deaths: readonly Death[], identity: string): boolean {
  return listSessions(ctx).includes(identity) ||
    deaths.some((death) => death.identity === identity);
}

const HEADING = ["TIME", "IDENTITY", "SERVER", "CAUSE", "WITNESS", "DEATH"];

function row(death: Death): string[] {
  return [
    localTime(death.observedAt),
    death.identity,
    String(death.server.pid),
    causeText(death),
    death.mode === undefined ? death.witness : `${death.witness} ${death.mode}`,
    death.id,
  ];
}

function causeText({ cause, signal, code, waitRc }: Death): string {
  if (signal !== undefined) return signal;
  if (code !== undefined) return `exit code ${code}`;
  return waitRc === undefined ? cause : `${cause} (wait ${waitRc})`;
}

/** A death as `--json` prints it; what is not known is absent. */
function asJson(death: Death): Record<string, unknown> {
  const { id, identity, server, cause, signal, code, waitRc, witness, mode, forensics } = death;
  return {
    id,
    identity,
    serverPid: server.pid,
    serverStartedAt: new Date(server.startedAt * 1000).toISOString(),
    observedAt: new Date(death.observedAt).toISOString(),
    cause,
    ...(signal === undefined ? {} : { signal }),
    ...(code === undefined ? {} : { code }),
    ...(waitRc === undefined ? {} : { waitRc }),
    ...(death.lastSeen === undefined ? {} : { lastSeen: new Date(death.lastSeen).toISOString() }),
    witness,
    ...(mode === undefined ? {} : { mode }),
    ...(forensics === undefined ? {} : { forensics }),
  };
}

function showOne(app: App, ctx: Context, death: Death, json: boolean): void {
  let snapshot: string | undefined;
  let why = "the snapshot was not written";
  if (death.forensics !== undefined) {
    try {
      snapshot = Deno.readTextFileSync(death.forensics);
    } catch (error) {
      why = messageOf(error);
    }
  }
  if (json) {
    return printJson(app, { ...asJson(death), ...(snapshot === undefined ? {} : { snapshot }) });
  }
  const facts = columns([
    ["death", death.id],
    ["session", death.identity],
    ["server", `${death.server.pid}, started ${localTime(death.server.startedAt * 1000)}`],
    ["observed", localTime(death.observedAt)],
    ...(death.lastSeen === undefined ? [] : [["last seen", localTime(death.lastSeen)]]),
    ["cause", causeText(death)],
    ["witness", death.witness],
    ["snapshot", death.forensics ?? "-"],
  ]);
  for (const line of facts) say(app, line);
  say(app, "");
  say(app, snapshot?.trimEnd() ?? `(no snapshot: ${why})`);
  void ctx;
}

/** Prints what is there, then each death as it comes, until interrupted. */
async function follow(
  app: App,
  ctx: Context,
  wanted: (death: Death) => boolean,
  json: boolean,
): Promise<void> {
  const shown = new Set<string>();
  const show = () => {
    for (const death of listDeaths(ctx)) {
      if (death.step !== "closed" || shown.has(death.id) || !wanted(death)) continue;
      shown.add(death.id);
      say(app, json ? JSON.stringify(asJson(death)) : row(death).join("  "));
    }
  };
  const watcher = Deno.watchFs(ctx.paths.deaths);
  show();
  for await (const event of watcher) if (event.kind !== "access") show();
}
