/**
 * Learning at once that a state file was written.
 *
 * @module
 */

import { messageOf, warnOnce } from "./context.ts";

/**
 * Watches folders for state files that appear or change.
 *
 * @param dirs The folders.
 * @param onChange Called for each event; bursts are common.
 * @param onBlind Called if they cannot be watched, or not any more.
 * @returns Ends the watch.
 */
export function watchState(
  dirs: readonly string[],
  onChange: () => void,
  onBlind: () => void = () => {},
): { close(): void } {
  let watcher: Deno.FsWatcher;
  let closed = false;
  const blind = (error: unknown) => {
    warnOnce(`cannot watch for events, looking from time to time only: ${messageOf(error)}`);
    onBlind();
  };
  const watch = async () => {
    try {
      for await (const { kind, paths } of watcher) {
        const state = paths.some((path) => path.endsWith(".json"));
        if (state && kind !== "access" && kind !== "remove") onChange();
      }
    } catch (error) {
      if (!closed) blind(error);
    }
  };
  try {
    watcher = Deno.watchFs([...dirs]);
  } catch (error) {
    // Out of inotify watches, for example.
    blind(error);
    return { close() {} };
  }
  void watch();
  return {
    close() {
      closed = true;
      watcher.close();
    },
  };
}
