import { examine, examineByDrill, examined, type Finding, type Level } from "../lib/doctor.ts";
import { EXIT } from "../lib/errors.ts";
import { type App, contextFor, type JsonFlags, paint, printJson, say } from "./app.ts";

interface Flags extends JsonFlags {
  readonly noDrill: boolean;
}

const COLOURS = { ok: "green", warning: "yellow", problem: "red" } as const;
const LEVEL_WIDTH = "problem".length;
const CHECK_WIDTH = "crash reports".length;
const INDENT = " ".repeat(LEVEL_WIDTH + CHECK_WIDTH + 4);
/** Wider text is hard to read, narrower has no room beside the columns. */
const WIDEST = 110;
const NARROWEST = 60;

/** `iapeer doctor` */
export default async function (this: App, flags: Flags): Promise<void> {
  const of = examined(contextFor(flags, false));
  const findings = await examine(of);
  if (!flags.json) { for (const finding of findings) print(this, finding); }
  const held = flags.noDrill ? undefined : await examineByDrill(of);
  if (held !== undefined) findings.push(held.finding);
  const count = (level: Level) => findings.filter((one) => one.level === level).length;
  if (count("problem") > 0) this.process.exitCode = EXIT.refused;
  if (flags.json) {
    return printJson(this, {
      findings,
      ...(held?.report === undefined ? {} : { drill: held.report }),
    });
  }
  if (held !== undefined) print(this, held.finding);
  say(this, "");
  say(this, summary(this, count));
}

/** Remedies have lines to themselves, which are never broken: they are there to be copied. */
function print(app: App, { level, check, text, remedy }: Finding): void {
  const head = `${paint(app, COLOURS[level], level.padEnd(LEVEL_WIDTH))}  ${
    check.padEnd(CHECK_WIDTH)
  }  `;
  wrap(text, widthOf() - INDENT.length).forEach((line, n) =>
    say(app, n === 0 ? head + line : INDENT + line)
  );
  for (const line of remedy?.split("\n") ?? []) say(app, `${INDENT}  ${paint(app, "bold", line)}`);
}

function summary(app: App, count: (level: Level) => number): string {
  const [problems, warnings] = [count("problem"), count("warning")];
  const many = (n: number, noun: string) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  return [
    `${count("ok")} ok`,
    warnings === 0 ? "no warnings" : paint(app, "yellow", many(warnings, "warning")),
    problems === 0 ? "no problems" : paint(app, "red", many(problems, "problem")),
  ].join(", ");
}

/** Unlimited where nobody reads along: a line is what `grep` gets. */
function widthOf(): number {
  if (!Deno.stdout.isTerminal()) return Infinity;
  try {
    return Math.max(NARROWEST, Math.min(WIDEST, Deno.consoleSize().columns));
  } catch {
    return WIDEST;
  }
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
