/**
 * What every command is given, and how it speaks to the user.
 *
 * @module
 */

import { configure, getConsoleSink } from "@logtape/logtape";
import type { CommandContext, StricliProcess } from "@stricli/core";
import { headDir } from "../lib/build.ts";
import { chooseRoot, openRoot } from "../lib/config.ts";
import { type Context, contextOf, messageOf } from "../lib/context.ts";
import { EXIT, IapeerError, isStorageTrouble, UsageError } from "../lib/errors.ts";
import { writeQuietly } from "../lib/output.ts";

/** The process as commands see it. */
export interface App extends CommandContext {
  readonly process: StricliProcess & { exitCode: number | null };
  /** What stood after a bare `--`, byte for byte. */
  readonly rest: readonly string[] | undefined;
  /** Whether stdout is a terminal that wants colour. */
  readonly colour: boolean;
}

/** Flags of every command. */
export interface RootFlags {
  readonly root?: string;
}

/** Flags of commands that can answer in JSON. */
export interface JsonFlags extends RootFlags {
  readonly json: boolean;
}

/**
 * The context of a command.
 *
 * @param flags The command's flags.
 * @param make Create the root if it is not there, and check that it is ours.
 * @returns The context.
 */
export function contextFor(flags: RootFlags, make = true): Context {
  const root = chooseRoot(flags.root, (name) => Deno.env.get(name), callersDir);
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x1f\x7f]/.test(root)) {
    throw new UsageError(
      "Cannot use a root whose path holds control characters; choose another with --root DIR",
    );
  }
  const ctx = contextOf(root);
  if (make) openRoot(ctx.paths, Deno.uid());
  return ctx;
}

/**
 * The directory from which the command was called. Deno would need to be
 * allowed to read it to tell; the shell has written it down.
 */
export function callersDir(): string {
  const dir = headDir();
  if (dir !== undefined) return dir;
  try {
    return Deno.cwd();
  } catch {
    const dir = Deno.env.get("PWD");
    if (dir !== undefined) return dir;
    throw new UsageError("Cannot tell the current directory: give an absolute path");
  }
}

/**
 * Prints the one JSON document of a command.
 *
 * @param app Where to.
 * @param value The document.
 */
export function printJson(app: App, value: unknown): void {
  app.process.stdout.write(JSON.stringify(value, null, 2) + "\n");
}

/**
 * Prints a line.
 *
 * @param app Where to.
 * @param text Without its newline.
 */
export function say(app: App, text: string): void {
  app.process.stdout.write(text + "\n");
}

/**
 * Sends the program's own warnings to stderr, a line each.
 */
export async function configureDiagnostics(): Promise<void> {
  await configure({
    sinks: {
      stderr: (record) => {
        writeQuietly(Deno.stderr, `iapeer: ${record.message.join("")}\n`);
      },
      console: getConsoleSink(),
    },
    loggers: [
      { category: ["iapeer"], lowestLevel: "warning", sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["console"] },
    ],
  });
}

const STYLES = { bold: "1", dim: "2", red: "31", green: "32", yellow: "33" } as const;

/**
 * Colours text for a terminal.
 *
 * @param app Tells whether colour is wanted.
 * @param style Which.
 * @param text What.
 * @returns The text, plain where no colour is wanted.
 */
export function paint(app: App, style: keyof typeof STYLES, text: string): string {
  return app.colour ? `\x1b[${STYLES[style]}m${text}\x1b[0m` : text;
}

/**
 * Sets rows in columns.
 *
 * @param rows The first is the heading.
 * @returns Lines without blanks at their ends.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { columns } from "./app.ts";
 *
 * assert.deepEqual(columns([["A", "B"], ["long", "x"]]), ["A     B", "long  x"]);
 * ```
 */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, n) => widths[n] = Math.max(widths[n] ?? 0, cell.length));
  }
  return rows.map((row) =>
    row.map((cell, n) => n === row.length - 1 ? cell : cell.padEnd(widths[n]!)).join("  ").trimEnd()
  );
}

/**
 * A time for people: local, to the second.
 *
 * @param ms Epoch milliseconds.
 * @returns For example `2026-11-22 05:44:45`.
 */
export function localTime(ms: number): string {
  const date = new Date(ms);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/**
 * Tells what went wrong for some of several sessions; the others are done.
 *
 * @param app Where to; its exit code is the highest of all.
 * @param errors What was caught.
 * @throws {unknown} The only one.
 */
export function reportErrors(app: App, errors: readonly unknown[]): void {
  if (errors.length === 1) throw errors[0];
  for (const error of errors) app.process.stderr.write(`iapeer: ${messageOf(error)}\n`);
  const codes = errors.map((error) => {
    if (error instanceof IapeerError) return error.exitCode;
    return isStorageTrouble(error) ? EXIT.refused : EXIT.internal;
  });
  if (codes.length > 0) app.process.exitCode = Math.max(...codes);
}
