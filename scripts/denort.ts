/**
 * The format `denort`: what `deno compile` makes.
 *
 * @module
 */

import { IapeerError } from "../lib/errors.ts";
import { permissionFlags, TOOLS } from "../lib/permissions.ts";
import type { Target } from "./targets.ts";

/** There is no `denort` to build upon. */
export class NoDenortError extends IapeerError {
  /** Name of the class. */
  override readonly name = "NoDenortError";
}

/**
 * The arguments of `deno compile`. It keeps V8's code cache beside the binary
 * unless told otherwise.
 *
 * Its permissions are fixed when it is built, when nobody knows the root nor
 * where the binary will lie: reading and writing are open, the rest is as
 * declared, and a canary is started through `nice` (see `lib/self.ts`).
 *
 * @param target For which system.
 * @param entry The program as one module.
 * @param output The binary.
 * @returns What comes after `deno`.
 */
export function compileArgs(target: Target, entry: string, output: string): string[] {
  const flags = permissionFlags("/", undefined, "").map((flag) =>
    flag.startsWith("--allow-run=")
      ? `--allow-run=${TOOLS.join(",")}`
      : flag.replace(/^(--allow-(?:read|write))=.*/, "$1")
  );
  const alone = ["--no-check", "--no-config", "--no-lock", "--no-npm"];
  const into = ["--target", target.triple, "--output", output];
  return ["compile", "--quiet", ...alone, ...into, ...flags, entry];
}

/**
 * Compiles the program. Where it fails, there is no output.
 *
 * @param target For which system.
 * @param entry The program as one module.
 * @param output The binary.
 * @throws {NoDenortError} If there is no `denort` for the target.
 * @throws {IapeerError} If it fails otherwise.
 */
export async function compileWithDenort(
  target: Target,
  entry: string,
  output: string,
): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: compileArgs(target, entry, output),
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  if (!success) throw compileError(new TextDecoder().decode(stderr), target);
}

/**
 * One line out of what `deno compile` said.
 *
 * @param said All of it.
 * @param target For which system it was to be.
 * @returns The error.
 */
export function compileError(said: string, target: Target): IapeerError {
  const lines = said.split("\nStack backtrace:")[0]!.split("\n")
    .map((line) => line.replace(/^\s*\d+: /, "").trim())
    .filter((line) => line !== "" && line !== "Caused by:");
  const at = lines.findIndex((line) =>
    line === "Setting up base binary." || line.startsWith("Could not find denort")
  );
  if (at !== -1) {
    const why = lines[at]!.startsWith("Could not")
      ? lines[at]!
      : lines[at + 1] ?? "no reason given";
    return new NoDenortError(
      `Cannot get denort for ${target.triple}: ${why}; set DENORT_BIN to one of this Deno version, or use --format bundle`,
    );
  }
  return new IapeerError(
    `Cannot compile: deno compile says "${lines.join("; ")}"; use --format bundle`,
  );
}
