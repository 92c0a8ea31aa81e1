/**
 * Prints the permission flags for the root given as its first argument, each as
 * a single-quoted word of sh, for `scripts/iapeer`. With a second and third, the
 * prefix and the directory of the user's configuration, those of an installation.
 *
 * @module
 */

import { dirname, join, relative, resolve } from "node:path";
import { UsageError } from "../lib/errors.ts";
import { permissionFlags } from "../lib/permissions.ts";

/** The real path, as far as it exists: a root may be new. */
function realPath(path: string): string {
  for (let head = path;; head = dirname(head)) {
    try {
      return join(Deno.realPathSync(head), relative(head, path));
    } catch (error) {
      if (head === dirname(head)) throw error;
    }
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function print(
  stream: typeof Deno.stdout | typeof Deno.stderr,
  line: string,
): void {
  stream.writeSync(new TextEncoder().encode(`${line}\n`));
}

const [root = ".", prefix, configHome] = Deno.args.map((path) => resolve(path));
const install = prefix === undefined || configHome === undefined
  ? undefined
  : { prefix, configHome };
try {
  const flags = permissionFlags(
    root,
    Deno.env.get("HOME"),
    Deno.execPath(),
    realPath(root),
    install,
  );
  print(Deno.stdout, flags.map(quote).join(" "));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  print(Deno.stderr, `iapeer: ${error.message}`);
  Deno.exitCode = error.exitCode;
}
