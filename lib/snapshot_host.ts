/**
 * The machine as a forensics snapshot sees it.
 *
 * @module
 */

import { join } from "./path.ts";
import type { Tools } from "./process.ts";
import type { ListedFile } from "./snapshot_sections.ts";

/** What a snapshot asks of the machine; tests pass their own. */
export interface SnapshotHost {
  /** Runs outside programs. */
  readonly tools: Tools;
  /** Which system it is, as `Deno.build.os` names it. */
  readonly platform: string;
  /** The user's home directory. */
  readonly home: string | undefined;
  /** Load of the last 1, 5 and 15 minutes. */
  loadavg(): number[];
  /** Seconds since boot. */
  uptime(): number;
  /** The last `maxBytes` of a regular file; throws as Deno does. */
  readTail(path: string, maxBytes: number): string;
  /** The files in a folder; throws as Deno does. */
  listDir(path: string): readonly ListedFile[];
}

/**
 * The machine as Deno sees it.
 *
 * @param tools Runs the outside programs.
 * @returns The machine.
 */
export function denoSnapshotHost(tools: Tools): SnapshotHost {
  return {
    tools,
    platform: Deno.build.os,
    home: Deno.env.get("HOME") || undefined,
    loadavg: () => Deno.loadavg(),
    uptime: () => Deno.osUptime(),
    readTail,
    listDir: (path) =>
      [...Deno.readDirSync(path)].filter((entry) => !entry.isDirectory).map(({ name }) => {
        try {
          const { mtime, size } = Deno.lstatSync(join(path, name));
          return { name, mtime: mtime?.getTime(), size };
        } catch {
          // It went, or may not be looked at: its name is what there is.
          return { name, mtime: undefined, size: undefined };
        }
      }),
  };
}

function readTail(path: string, maxBytes: number): string {
  // Opening a named pipe would wait for a writer that may never come.
  if (!Deno.statSync(path).isFile) throw new TypeError("not a regular file");
  using file = Deno.openSync(path);
  const { size } = file.statSync();
  if (size > maxBytes) file.seekSync(size - maxBytes, Deno.SeekMode.Start);
  // Files in /proc say that their size is 0: read until nothing comes.
  const bytes = new Uint8Array(maxBytes);
  let at = 0;
  while (at < maxBytes) {
    const count = file.readSync(bytes.subarray(at));
    if (count === null) break;
    at += count;
  }
  return new TextDecoder().decode(bytes.subarray(0, at));
}
