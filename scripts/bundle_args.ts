/**
 * The user's arguments in a bundle. Imported before everything else, so that
 * nothing sees the environment as the head of the bundle has left it.
 *
 * @module
 */

import { takeHead } from "../lib/build.ts";

/** Without what the head of the bundle puts in front. */
export const args: readonly string[] = takeHead(Deno.args);
