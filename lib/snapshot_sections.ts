/**
 * The text of a forensics snapshot: its layout, and what makes raw output fit
 * for reading. Pure.
 *
 * @module
 */

import { parsePsTable } from "./host_formats.ts";
import { formatLine, type LogField } from "./logfmt.ts";
import { redact } from "./redact.ts";

/** The death that a snapshot is about. */
export interface SnapshotSubject {
  /** Whose server it was. */
  readonly identity: string;
  /** Id of the death. */
  readonly deathId: string;
  /** Process id of the server. */
  readonly serverPid: number;
  /** When the death was seen, in milliseconds since the epoch. */
  readonly observedAt: number;
  /** Behind the snapshot's name, such as `-2`, where that alone would be another death's. */
  readonly number?: string;
  /** Further fields of the first line, in their order. */
  readonly header: readonly LogField[];
  /** The file into which the session's pane was written. */
  readonly paneLog: string;
}

/** One part of a snapshot. */
export interface Section {
  /** What it tells of. */
  readonly title: string;
  /** The command or the place that it comes from. */
  readonly source: string;
  /** How long it took to get, in milliseconds; absent where nobody was asked. */
  readonly ms?: number;
  /** The text below. */
  readonly body: string;
}

/** A file in a folder of crash reports. */
export interface ListedFile {
  /** Its name in the folder. */
  readonly name: string;
  /** Last change in milliseconds since the epoch, where the system tells. */
  readonly mtime: number | undefined;
  /** Size in bytes, where the system tells. */
  readonly size: number | undefined;
}

/** How many entries of a list are shown. */
export const NEWEST = 30;

const SECTION_BYTES = 256 * 1024;
const PANE_CHARS = 64 * 1024;
const PANE_LINES = 100;
const LARGEST = 25;
const LONG_COMMAND = /^(.{400}).+$/su;

/** Terminal controls (ECMA-48): strings such as titles, CSI, short escapes. */
const ESC = "\u001b";
const STRINGS = new RegExp(
  `(?:${ESC}[P\\]X^_]|[\u0090\u0098\u009d-\u009f])[^\u0007${ESC}\u009c\n]*(?:\u0007|${ESC}\\\\|\u009c)?`,
  "g",
);
const CSI = new RegExp(`(?:${ESC}\\[|\u009b)[0-?]*[ -/]*([@-~])?`, "g");
const SHORT = new RegExp(`${ESC}[ -/]*[0-~]?`, "g");
/** What else shows nothing, and marks that turn the reading direction round. */
const UNREADABLE = /(?![\n\t])\p{Cc}|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
const HEADLESS_KEY = /^(?:(?!-----BEGIN )[^])*?-----END [A-Z ]*PRIVATE KEY[A-Z ]*-----/;

const encoder = new TextEncoder();

/**
 * Lays out a snapshot. Secrets are taken out of all of it, and each section is
 * cut at 256 KiB.
 *
 * @param subject The death.
 * @param lead Sections that come first, such as the verdict.
 * @param sections The raw ones.
 * @returns The text of the file.
 *
 * @example The first line can be read by programs
 * ```ts
 * import assert from "node:assert/strict";
 * import { renderSnapshot } from "./snapshot_sections.ts";
 *
 * const subject = {
 *   identity: "claude-bob",
 *   deathId: "claude-bob-4242-1795327507",
 *   serverPid: 4242,
 *   observedAt: 1795326285123,
 *   header: [["cause", "signal"], ["signal", "SIGKILL"]] as const,
 *   paneLog: "/srv/iapeer/logs/lifecycle/claude-bob.log",
 * };
 * const [first] = renderSnapshot(subject, [], []).split("\n");
 * assert.equal(
 *   first,
 *   "server-death identity=claude-bob ts=2026-11-22T05:44:45.123Z server_pid=4242 " +
 *     "cause=signal signal=SIGKILL death=claude-bob-4242-1795327507",
 * );
 * ```
 */
export function renderSnapshot(
  subject: SnapshotSubject,
  lead: readonly Section[],
  sections: readonly Section[],
): string {
  return [headerLine(subject), ...[...lead, ...sections].map(sectionText)].join("\n");
}

function headerLine({ identity, deathId, serverPid, observedAt, header }: SnapshotSubject): string {
  const first: LogField[] = [
    ["identity", identity],
    ["ts", new Date(observedAt).toISOString()],
    ["server_pid", serverPid],
  ];
  const own = new Set([...first.map(([key]) => key), "death"]);
  const more = header.filter(([key]) => !own.has(key)).map(([key, value]): LogField => [
    key,
    typeof value === "string" ? redact(value) : value,
  ]);
  // What was seen stands before the death's id, who saw it after.
  const witness = more.findIndex(([key]) => key === "witness");
  more.splice(witness === -1 ? more.length : witness, 0, ["death", deathId]);
  return `server-death ${formatLine([...first, ...more])}\n`;
}

function sectionText({ title, source, ms, body }: Section): string {
  const text = capped(redact(plainText(body)).trimEnd() || nothingThere(), SECTION_BYTES);
  return [
    `== ${oneLine(redact(title))} ==`,
    `from: ${oneLine(redact(source))}${ms === undefined ? "" : ` (${Math.round(ms)} ms)`}`,
    // Nothing that a program wrote may pass for a section of ours.
    `${text.replaceAll(/^==/gm, " ==")}\n`,
  ].join("\n");
}

function capped(text: string, maxBytes: number): string {
  const bytes = encoder.encode(text);
  if (bytes.length <= maxBytes) return text;
  const kept = new TextDecoder().decode(bytes.subarray(0, maxBytes)).replace(/\ufffd+$/, "");
  return `${kept}\n(cut: ${bytes.length - maxBytes} more bytes)`;
}

/**
 * Text for reading: without terminal escape sequences, control characters and
 * marks of reading direction. Where a cursor moved to another line there is a
 * line break, where it moved along the line a blank.
 *
 * @param text What a program wrote, to a terminal perhaps.
 * @returns Lines of printable text.
 *
 * @example What a terminal would have shown
 * ```ts
 * import assert from "node:assert/strict";
 * import { plainText } from "./snapshot_sections.ts";
 *
 * assert.equal(plainText("\u001b[1;31mboom\u001b[0m\r\n\u001b]0;title\u0007$ "), "boom\n$ ");
 * ```
 */
export function plainText(text: string): string {
  return text.replace(STRINGS, "")
    .replace(CSI, (_, final: string | undefined) => {
      if (final === undefined) return "";
      return "ABEFHdf".includes(final) ? "\n" : "CG".includes(final) ? " " : "";
    })
    .replace(SHORT, "")
    .replace(/\r+\n?/g, "\n")
    .replace(UNREADABLE, "");
}

function oneLine(text: string): string {
  return plainText(text).replaceAll("\n", " ");
}

/**
 * The last lines that a pane showed.
 *
 * @param raw The end of what was written to it.
 * @param whole Nothing came before `raw`.
 * @returns At most 100 lines and 64 Ki characters, free of secrets.
 */
export function paneLines(raw: string, whole: boolean): string {
  let text = plainText(raw);
  if (!whole) {
    // Half a secret is not recognised as one.
    text = text.slice(text.indexOf("\n") + 1).replace(HEADLESS_KEY, "[redacted]");
  }
  const lines = redact(text).split("\n").map((line) => line.trimEnd());
  // A program that draws its screen anew writes the same line over and over.
  const kept = lines.filter((line, at) => line !== lines[at - 1]).slice(-PANE_LINES);
  return kept.join("\n").slice(-PANE_CHARS).trim() || nothingThere();
}

/**
 * A table of the largest processes.
 *
 * @param output What `ps` printed, see {@linkcode parsePsTable}.
 * @returns The table, or `""` if the output cannot be understood.
 */
export function largestProcesses(output: string): string {
  const rows = parsePsTable(output).sort((a, b) => b.rssKiB - a.rssKiB);
  if (rows.length === 0) return "";
  const mib = (kib: number) => (kib / 1024).toFixed(1);
  const cells = rows.slice(0, LARGEST).map((row) => [
    ...[row.pid, row.ppid, row.pgid, row.uid].map(String),
    mib(row.rssKiB),
    mib(row.vszKiB),
    row.elapsedSecs === undefined ? "?" : duration(row.elapsedSecs),
    row.startedAt === undefined ? "?" : isoSeconds(row.startedAt * 1000),
    row.stat,
    row.tty,
    oneLine(row.ucomm),
    // Redacted before it is cut: half a secret is not recognised as one.
    redact(oneLine(row.command)).replace(LONG_COMMAND, "$1…"),
  ]);
  const heads = "PID PPID PGID UID RSS/MiB VSZ/MiB UP STARTED STAT TTY NAME COMMAND".split(" ");
  const total = mib(rows.reduce((sum, row) => sum + row.rssKiB, 0));
  return [
    `${cells.length} of ${rows.length} processes; all resident: ${total} MiB, shared pages counted in each`,
    ...aligned([heads, ...cells], 7),
  ].join("\n");
}

/**
 * A list of files, newest first.
 *
 * @param files The files.
 * @returns One line each; of those beyond {@linkcode NEWEST} only the number.
 */
export function newestFiles(files: readonly ListedFile[]): string {
  if (files.length === 0) return nothingThere();
  const sorted = files.toSorted((a, b) => (b.mtime ?? 0) - (a.mtime ?? 0));
  const rows = sorted.slice(0, NEWEST).map(({ name, mtime, size }) => [
    String(size ?? "?"),
    mtime === undefined ? "?" : isoSeconds(mtime),
    oneLine(name),
  ]);
  const older = files.length - rows.length;
  return [...aligned(rows, 1), ...(older > 0 ? [`(and ${older} older)`] : [])].join("\n");
}

/** Columns of equal width, the first `numbers` of them flush right. */
function aligned(rows: readonly (readonly string[])[], numbers: number): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const pad = (cell: string, column: number) =>
    column < numbers ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!);
  return rows.map((row) => row.map(pad).join("  ").trimEnd());
}

function isoSeconds(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19) + "Z";
}

/**
 * A span of time for reading.
 *
 * @param seconds How long.
 * @returns For example `2-03:04:05`, as `ps` has it.
 */
export function duration(seconds: number): string {
  const days = Math.floor(seconds / 86400);
  const clock = new Date(seconds % 86400 * 1000).toISOString().slice(11, 19);
  return days === 0 ? clock : `${days}-${clock}`;
}

/**
 * Says that somebody looked and nothing was there, which is not "could not look".
 *
 * @param detail What was not there, if that needs telling.
 * @returns A line for the section.
 */
export function nothingThere(detail?: string): string {
  return detail === undefined ? "(nothing there)" : `(nothing there: ${detail})`;
}

/**
 * Says that nobody could look, which is not "nothing there".
 *
 * @param why What hindered it.
 * @returns A line for the section.
 */
export function couldNotLook(why: string): string {
  return `(could not look: ${why})`;
}

/**
 * What hindered a look, in a few words.
 *
 * @param error What was thrown.
 * @returns For example `not permitted`.
 */
export function whyNot(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "not found";
  if (error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.PermissionDenied) {
    return "not permitted";
  }
  return error instanceof Error ? error.message : String(error);
}
