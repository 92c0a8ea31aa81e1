/**
 * Writing to the user.
 *
 * @module
 */

/**
 * Writes to a standard stream; a reader that has left is no error of ours.
 *
 * @param stream Where to.
 * @param text What.
 */
export function writeQuietly(stream: { writeSync(p: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
