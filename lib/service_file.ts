/**
 * What the files of launchd and of systemd have in common.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { UsageError } from "./errors.ts";
import { failureOf } from "./process.ts";

/**
 * Refuses what neither a plist nor a unit can hold.
 *
 * @param what Names it for the message.
 * @param value The text.
 * @returns The same text.
 * @throws {UsageError} If it holds control characters, or characters that no
 * XML document may hold.
 */
export function expressible(what: string, value: string): string {
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x1f\x7f-\x9f\ufffe\uffff]/.test(value) || !value.isWellFormed()) {
    throw new UsageError(
      `Cannot write ${what} ${
        JSON.stringify(value)
      } into a service's file: it holds control characters; choose another`,
    );
  }
  return value;
}

/**
 * The content of a file, by `cat`.
 *
 * @param ctx For its tools.
 * @param file The file.
 * @returns The content, `undefined` if it is not there; or why it cannot be read.
 */
export async function fileText(
  ctx: Context,
  file: string,
): Promise<{ readonly text: string | undefined; readonly trouble?: string }> {
  const { tools } = ctx.host;
  if ((await tools.run("test", ["-e", file])).code === 1) return { text: undefined };
  const result = await tools.run("cat", ["--", file]);
  const trouble = failureOf("cat", result);
  return trouble === undefined ? { text: result.stdout } : { text: "", trouble };
}
