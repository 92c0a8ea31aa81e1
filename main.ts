/**
 * `iapeer`: launches terminal sessions, each on a tmux server of its own,
 * supervises them, and records every server death that nobody asked for.
 *
 * This file only routes, and is the only one that exits.
 *
 * @module
 */

import { buildApplication, run, text_en } from "@stricli/core";
import { type App, configureDiagnostics } from "./commands/app.ts";
import { routes } from "./commands/routes.ts";
import { answersVersion, versionLine } from "./lib/build.ts";
import { messageOf } from "./lib/context.ts";
import { dropNodeShim, setLoaderVariablesAside } from "./lib/environment.ts";
import { EXIT, IapeerError, isStorageTrouble } from "./lib/errors.ts";
import { writeQuietly } from "./lib/output.ts";

const application = buildApplication(routes, {
  name: "iapeer",
  versionInfo: { currentVersion: versionLine() },
  scanner: { caseStyle: "allow-kebab-for-camel" },
  documentation: { disableAnsiColor: true },
  determineExitCode: (error) => {
    if (error instanceof IapeerError) return error.exitCode;
    return isStorageTrouble(error) ? EXIT.refused : EXIT.internal;
  },
  localization: {
    text: {
      ...text_en,
      exceptionWhileRunningCommand: describe,
      exceptionWhileParsingArguments: (error) =>
        error instanceof Error ? `iapeer: ${error.message}; see: iapeer --help` : String(error),
    },
  },
});

function describe(error: unknown): string {
  if (error instanceof IapeerError) return `iapeer: ${error.message}`;
  if (isStorageTrouble(error)) {
    return `iapeer: Cannot use the storage: ${messageOf(error)}; mend that and try again`;
  }
  const detail = error instanceof Error ? error.stack ?? error.message : String(error);
  return `iapeer: internal error, please report it: ${detail}`;
}

/** Everything after the first bare `--` belongs to the program to launch. */
function split(args: readonly string[]): { own: string[]; rest: string[] | undefined } {
  const at = args.indexOf("--");
  return at === -1
    ? { own: [...args], rest: undefined }
    : { own: args.slice(0, at), rest: args.slice(at + 1) };
}

/** `--root` may come before the command, too; it is the command's all the same. */
function commandFirst(args: readonly string[]): string[] {
  const length = args[0] === "--root" ? 2 : args[0]?.startsWith("--root=") ? 1 : 0;
  return [...args.slice(length), ...args.slice(0, length)];
}

async function main(args: readonly string[]): Promise<number> {
  dropNodeShim();
  setLoaderVariablesAside();
  await configureDiagnostics();
  const { own, rest } = split(args);
  const app: App = {
    process: {
      stdout: { write: (text) => writeQuietly(Deno.stdout, text) },
      stderr: { write: (text) => writeQuietly(Deno.stderr, text) },
      env: {},
      // Whoever runs the command sets only what is not set.
      exitCode: null,
    },
    rest,
    colour: Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR"),
  };
  if (own.length === 0) own.push("--help");
  await run(application, commandFirst(own), app);
  const code = app.process.exitCode ?? EXIT.internal;
  // Negative codes are the parser's own: it could not make sense of the command line.
  return code >= 0 ? code : code === -4 || code === -5 ? EXIT.usage : EXIT.internal;
}

/**
 * Runs the program and ends the process with its exit code.
 *
 * @param args The user's arguments.
 */
export function start(args: readonly string[]): void {
  // Deno keeps what V8 has compiled for the next start, but only once this module
  // has been evaluated and the event loop has turned [measured, 2.9.6].
  main(args).then((code) => setTimeout(() => Deno.exit(code)));
}

if (import.meta.main && !answersVersion(Deno.args)) start(Deno.args);
