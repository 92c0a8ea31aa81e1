import { EXIT } from "../lib/errors.ts";
import { drill, type DrillKind, type DrillReport, endOf } from "../lib/drill.ts";
import { type App, columns, contextFor, type JsonFlags, paint, printJson, say } from "./app.ts";

interface Flags extends JsonFlags {
  readonly kind: DrillKind;
  readonly keep: boolean;
}

/** `iapeer drill` */
export default async function (this: App, flags: Flags): Promise<void> {
  const report = await drill(contextFor(flags, false), flags.kind, flags.keep);
  if (!report.passed) this.process.exitCode = EXIT.refused;
  if (flags.json) return printJson(this, report);
  print(this, report);
}

const STEPS = {
  noticed: "noticed",
  lineDurable: "line durable",
  verdict: "verdict written",
  snapshot: "snapshot written",
} as const;

function print(app: App, report: DrillReport): void {
  say(app, `Fire drill: ${endOf(report.kind)}`);
  const steps = Object.entries(STEPS).flatMap(([key, name]) => {
    const ms = report.timeline[key as keyof typeof STEPS];
    return ms === undefined ? [] : [[`  ${name}`, `${ms} ms`]];
  });
  if (steps.length > 0) {
    const noticed = report.timeline.noticed === undefined;
    say(app, `Timeline, since ${noticed ? "the death was noticed" : "the server was ended"}:`);
    for (const line of columns(steps)) say(app, line);
  }
  if (report.records.length > 0) {
    say(app, "exits.log:");
    for (const line of report.records) say(app, `  ${line}`);
  }
  if (report.snapshot !== undefined) {
    say(
      app,
      `snapshot: ${report.snapshot}${
        report.root === undefined ? " (removed; --keep keeps it)" : ""
      }`,
    );
  }
  if (report.root !== undefined) say(app, `root kept: ${report.root}`);
  say(app, `expected: ${report.expected}`);
  say(app, `seen:     ${report.seen}`);
  say(app, report.passed ? paint(app, "green", "PASSED") : paint(app, "red", "FAILED"));
}
