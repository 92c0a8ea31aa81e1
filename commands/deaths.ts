import { type Context, messageOf } from "../lib/context.ts";
import { type Death, listDeaths } from "../lib/deaths.ts";
import { IapeerError, UsageError } from "../lib/errors.ts";
import { drawCurves } from "../lib/flight.ts";
import { evidenceLines, timelineLines, verdictLines } from "../lib/story.ts";
import { finishOpenDeaths } from "../lib/record.ts";
import { listSessions } from "../lib/sessions.ts";
import { curvesOf, timelineOf } from "../lib/timeline.ts";
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
  await Promise.all(finishOpenDeaths(ctx, { thorough: true }).map((one) => one.closed));
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

const HEADING = ["TIME", "IDENTITY", "SERVER", "CAUSE", "VERDICT", "WITNESS", "DEATH"];

function row(death: Death): string[] {
  return [
    localTime(death.observedAt),
    death.identity,
    String(death.server.pid),
    causeText(death),
    death.verdict === undefined ? "-" : `${death.verdict} (${death.confidence})`,
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
  const { server, observedAt, lastSeen, confidence, peersLost } = death;
  const { id, identity, cause, signal, code, waitRc, witness, mode, verdict, reason } = death;
  const fields = {
    id,
    identity,
    serverPid: server.pid,
    serverStartedAt: iso(server.startedAt * 1000),
    observedAt: iso(observedAt),
    cause,
    signal,
    code,
    waitRc,
    lastSeen: lastSeen === undefined ? undefined : iso(lastSeen),
    witness,
    mode,
    verdict,
    confidence,
    reason,
    peersLost,
    forensics: death.forensics,
  };
  // JSON.stringify leaves out what is undefined.
  return fields;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** One death in full, as data: what `deaths DEATH` shows. */
function inFull(ctx: Context, death: Death): Record<string, unknown> {
  const { flight, memory } = curvesOf(ctx, death);
  return {
    ...asJson(death),
    timeline: timelineOf(ctx, death).map(({ at, what }) => ({ at: iso(at), what })),
    evidence: death.findings ?? [],
    flight: flight.map(([at, availableKiB, swapFreeKiB, load]) => ({
      at: iso(at),
      availableKiB,
      ...(swapFreeKiB === null ? {} : { swapFreeKiB }),
      load,
    })),
    memory: memory.map(([at, rssKiB]) => ({ at: iso(at), rssKiB })),
  };
}

function showOne(app: App, ctx: Context, death: Death, json: boolean): void {
  const { text, why } = readSnapshot(death);
  if (json) return printJson(app, { ...inFull(ctx, death), snapshot: text });
  const facts = columns([
    ["death", death.id],
    ["session", death.identity],
    ["server", `${death.server.pid}, started ${localTime(death.server.startedAt * 1000)}`],
    ["observed", localTime(death.observedAt)],
    ...(death.lastSeen === undefined ? [] : [["last seen", localTime(death.lastSeen)]]),
    ["cause", causeText(death)],
    ["witness", death.mode === undefined ? death.witness : `${death.witness} (${death.mode})`],
    ["snapshot", death.forensics ?? "-"],
  ]);
  for (const line of facts) say(app, line);
  const { flight, memory } = curvesOf(ctx, death);
  const blocks: [string, string[]][] = [
    ["VERDICT", verdictLines(death)],
    ["TIMELINE (UTC)", timelineLines(timelineOf(ctx, death))],
    ["BEFORE THE DEATH", drawCurves(flight, memory, (ms) => localTime(ms).slice(11))],
    ["EVIDENCE", evidenceLines(death.findings ?? [])],
    ["SNAPSHOT", text === undefined ? [`(none: ${why})`] : rawSections(text)],
  ];
  for (const [heading, lines] of blocks) {
    if (lines.length === 0) continue;
    say(app, `\n${paint(app, "bold", heading)}`);
    for (const line of lines) say(app, line);
  }
}

function readSnapshot(death: Death): { text?: string; why: string } {
  if (death.forensics === undefined) return { why: "it was not written" };
  try {
    return { text: Deno.readTextFileSync(death.forensics), why: "" };
  } catch (error) {
    return { why: messageOf(error) };
  }
}

/** The sections that are not shown from the entry itself already. */
function rawSections(text: string): string[] {
  const parts = text.trimEnd().split(/^(?=== )/m).slice(1);
  const led = ["verdict", "timeline", "evidence", "flight recorder"];
  return parts.filter((part) => !led.some((title) => part.startsWith(`== ${title} ==`)))
    .join("").trimEnd().split("\n");
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
