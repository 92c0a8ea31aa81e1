/**
 * How this program starts itself: a canary is the same program in another mode.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { permissionFlags } from "./permissions.ts";

/** A command line. */
export interface SelfCommand {
  /** Name or path. */
  readonly program: string;
  /** Its arguments. */
  readonly args: readonly string[];
}

/**
 * The command line that runs this program on a root: the executable itself
 * when compiled, else Deno with the same scoped permissions.
 *
 * @param ctx The root.
 * @param args Command and flags.
 * @returns What to spawn.
 */
export function selfCommand(ctx: Context, args: readonly string[]): SelfCommand {
  const all = [...args, "--root", ctx.paths.root];
  if (Deno.build.standalone) return { program: Deno.execPath(), args: all };
  const { root } = ctx.paths;
  const flags = permissionFlags(root, Deno.env.get("HOME"), Deno.execPath(), realPath(root));
  const main = new URL("../main.ts", import.meta.url).pathname;
  return { program: Deno.execPath(), args: ["run", "--quiet", ...flags, decodeURI(main), ...all] };
}

function realPath(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    return path;
  }
}
