/**
 * How this program starts itself: a canary is the same program in another mode.
 *
 * @module
 */

import { bundlePath, format } from "./build.ts";
import type { Context } from "./context.ts";
import { permissionFlags } from "./permissions.ts";

/**
 * Looked up once, at the start: after an update in place the system calls the
 * old file deleted, and what is started then shall be the new one.
 */
const EXECUTABLE = Deno.build.standalone ? Deno.execPath() : undefined;

/**
 * The one file that this program is.
 *
 * @returns Its absolute path; `undefined` from source.
 */
export function selfPath(): string | undefined {
  return bundlePath() ?? EXECUTABLE;
}

/** A command line. */
export interface SelfCommand {
  /** Name or path. */
  readonly program: string;
  /** Its arguments. */
  readonly args: readonly string[];
}

/**
 * The command line that runs this program on a root: the file that the user
 * called, or from source Deno with the same scoped permissions.
 *
 * @param ctx The root.
 * @param args Command and flags.
 * @returns What to spawn.
 */
export function selfCommand(ctx: Context, args: readonly string[]): SelfCommand {
  const { root } = ctx.paths;
  const all = [...args, "--root", root];
  const bundle = bundlePath();
  if (bundle !== undefined) return { program: bundle, args: all };
  const deno = EXECUTABLE ?? Deno.execPath();
  // Where `deno compile` ran, nobody knew this path, so that it is not among
  // what may be run; `nice` is, and gives its place and pid to the program.
  if (format() === "denort") return { program: "nice", args: ["-n", "0", deno, ...all] };
  const flags = permissionFlags(root, Deno.env.get("HOME"), deno, realPath(root));
  const main = new URL("../main.ts", import.meta.url).pathname;
  return { program: deno, args: ["run", "--quiet", ...flags, decodeURI(main), ...all] };
}

function realPath(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    return path;
  }
}
