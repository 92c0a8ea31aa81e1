/**
 * What a build can be made for.
 *
 * @module
 */

import { UsageError } from "../lib/errors.ts";

/** A system that iapeer runs on, in Deno's words, and what differs there. */
export interface Target {
  /** As `Deno.build.target` and `deno compile --target` have it. */
  readonly triple: string;
  /** npm's package of Deno for it. */
  readonly package: string;
  /** Prints device, inode, mode, owner, size and time of change of files in one line. */
  readonly stat: string;
  /** Where users keep caches, below the home directory. */
  readonly cache: string;
}

// `%z` of GNU's and `%Fc` of BSD's `stat` are the time of change with its fraction.
const LINUX = { stat: "stat --printf='%d:%i %f %u %s %z '", cache: ".cache" };
const MACOS = { stat: "stat -nf '%d:%i %p %u %z %Fc '", cache: "Library/Caches" };

/** All of them. */
export const TARGETS: readonly Target[] = [
  { triple: "x86_64-unknown-linux-gnu", package: "@deno/linux-x64-glibc", ...LINUX },
  { triple: "aarch64-unknown-linux-gnu", package: "@deno/linux-arm64-glibc", ...LINUX },
  { triple: "x86_64-apple-darwin", package: "@deno/darwin-x64", ...MACOS },
  { triple: "aarch64-apple-darwin", package: "@deno/darwin-arm64", ...MACOS },
];

/**
 * Finds a target by its triple.
 *
 * @param triple Such as `aarch64-apple-darwin`.
 * @returns The target.
 * @throws {UsageError} If there is none of that name.
 */
export function targetOf(triple: string): Target {
  const found = TARGETS.find((target) => target.triple === triple);
  if (found !== undefined) return found;
  const known = TARGETS.map((target) => target.triple).join(", ");
  throw new UsageError(`Cannot compile for "${triple}": choose one of ${known}`);
}
