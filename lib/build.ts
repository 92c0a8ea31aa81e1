/**
 * In which form this program runs, and what the head of a bundle has told it.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import { writeQuietly } from "./output.ts";
import { dirname } from "./path.ts";

/** From a checkout; as one file with npm's Deno in it; or by `deno compile`. */
export type Format = "source" | "bundle" | "denort";

/** What the head of a bundle tells the program, ahead of the user's arguments. */
interface Head {
  /** Path of the bundle, without symlinks. */
  readonly self: string;
  /** The caller's directory, as the shell spells it. */
  readonly cwd: string;
}

/** What the head changes in the environment for Deno's sake. */
const FOR_DENO = ["DENO_DIR", "DENO_NO_UPDATE_CHECK"] as const;

let head: Head | undefined;

/**
 * Takes over what the head says, and gives the environment back the variables
 * that it has set: sessions get what the caller had.
 *
 * @param args All arguments of the program.
 * @returns The user's.
 */
export function takeHead(args: readonly string[]): string[] {
  const [self, cwd, ...rest] = args;
  if (self === undefined || cwd === undefined) throw new Error("no head has started this");
  head = { self, cwd };
  // "=value" is what the caller had; empty: it was not set.
  for (const [at, name] of FOR_DENO.entries()) {
    const before = rest[at] ?? "";
    if (before.startsWith("=")) Deno.env.set(name, before.slice(1));
    else Deno.env.delete(name);
  }
  return rest.slice(FOR_DENO.length);
}

/**
 * How it was built.
 *
 * @returns The format.
 */
export function format(): Format {
  return head !== undefined ? "bundle" : Deno.build.standalone ? "denort" : "source";
}

/**
 * The bundle that runs.
 *
 * @returns Its path; `undefined` if it is none.
 */
export function bundlePath(): string | undefined {
  return head?.self;
}

/**
 * Where the head of a bundle keeps the runtime that it has unpacked.
 *
 * @returns The folder of all versions; `undefined` if there was no head.
 */
export function cacheDir(): string | undefined {
  if (head === undefined) return undefined;
  return dirname(dirname(decodeURIComponent(new URL(import.meta.url).pathname)));
}

/**
 * The caller's directory, as the head of a bundle has it from the shell.
 *
 * @returns Its path; `undefined` if there was no head.
 */
export function headDir(): string | undefined {
  return head?.cwd || undefined;
}

/**
 * What `iapeer --version` prints.
 *
 * @returns Such as `iapeer 0.1.0 (bundle, x86_64-unknown-linux-gnu, deno 2.9.6)`.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { versionLine } from "./build.ts";
 *
 * assert.match(versionLine(), /^iapeer \S+ \(source, \S+, deno \d/);
 * ```
 */
export function versionLine(): string {
  return `iapeer ${config.version} (${format()}, ${Deno.build.target}, deno ${Deno.version.deno})`;
}

/**
 * Answers the question for the version, if that is all that is asked: nothing
 * else has to be loaded for it, and nothing is pending afterwards, so that the
 * process ends without `Deno.exit()`, which takes 7 ms [measured, Deno 2.9.6].
 *
 * @param args The user's arguments.
 * @returns Whether that was it.
 */
export function answersVersion(args: readonly string[]): boolean {
  if (args.length !== 1 || (args[0] !== "--version" && args[0] !== "-v")) return false;
  writeQuietly(Deno.stdout, `${versionLine()}\n`);
  return true;
}
