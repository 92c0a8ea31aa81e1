/**
 * Deno permission flags for one root, out of the one declaration in
 * `deno.json`.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import { UsageError } from "./errors.ts";

const declared = config.permissions.iapeer;
const declaredForInstall = config.permissions.install;

/** Where `install` and `uninstall` put things, beyond the root. */
export interface InstallPlaces {
  /** Directory whose `bin` gets the program: `--prefix`, else `~/.local`. */
  readonly prefix: string;
  /** `$XDG_CONFIG_HOME`, else `~/.config`. */
  readonly configHome: string;
  /** Where a bundle keeps its runtime; absent in every other format. */
  readonly cache?: string;
}

/** The outside programs that iapeer may start, by name. */
export const TOOLS: readonly string[] = declared.run;

/**
 * The flags under which iapeer runs for `root`: read and write there, read in
 * the places where evidence lies, run the named tools and itself, no network,
 * no foreign functions.
 *
 * Deno separates paths by commas and has no way to quote one [measured, 2.9.6].
 *
 * @param root Absolute path of the root.
 * @param home Home directory of the user, or `undefined`.
 * @param self Program that starts a canary: the `deno` or `iapeer` executable.
 * @param realRoot Where `root` lies once symlinks are followed. Deno compares
 * paths as they are spelled [measured, 2.9.6], so both spellings are allowed.
 * @param install Given for `install` and `uninstall` only: their places are
 * allowed, too. They start no canary; Deno lets nobody write or remove a file
 * that may be run by its path [measured, 2.9.6].
 * @returns Flags for `deno run` or `deno compile`.
 * @throws {UsageError} If a path other than `home` holds a comma.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { permissionFlags } from "./permissions.ts";
 *
 * const flags = permissionFlags("/srv/iapeer", "/home/bob", "/usr/bin/deno");
 * assert(flags.includes("--allow-write=/srv/iapeer"));
 * assert(!flags.some((flag) => flag.startsWith("--allow-net")));
 * ```
 */
export function permissionFlags(
  root: string,
  home: string | undefined,
  self: string,
  realRoot: string = root,
  install?: InstallPlaces,
): string[] {
  const roots = [...new Set([root, realRoot])];
  const { prefix = "", configHome = "", cache = "" } = install ?? {};
  for (const path of [...roots, self, prefix, configHome, cache]) {
    if (path.includes(",")) {
      throw new UsageError(
        `Cannot use the path "${path}": it holds a comma, which Deno's permission flags cannot express; choose a path without one`,
      );
    }
  }
  const places = (declared: readonly string[]) =>
    declared.flatMap((path) => {
      if (path === "$CACHE") return cache === "" ? [] : [cache];
      if (!path.startsWith("~/")) {
        return path.replace("$PREFIX", () => prefix)
          .replace("$XDG_CONFIG_HOME", () => configHome)
          .replace("$SELF", () => self);
      }
      return home === undefined || home.includes(",") ? [] : home + path.slice(1);
    });
  const more = install === undefined ? { read: [], write: [] } : declaredForInstall;
  return [
    "--no-prompt",
    // Without it code may be imported from Deno's usual servers; --deny-import
    // does not keep it from that [measured, 2.9.6].
    "--no-remote",
    "--allow-env",
    `--allow-sys=${declared.sys.join(",")}`,
    `--allow-run=${[...TOOLS, ...(install === undefined ? [self] : [])].join(",")}`,
    `--allow-read=${[...roots, ...places([...declared.read, ...more.read])].join(",")}`,
    `--allow-write=${[...roots, ...places(more.write)].join(",")}`,
  ];
}
