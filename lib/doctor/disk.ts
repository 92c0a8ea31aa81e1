/**
 * The file system that holds the root: room, and whether it keeps what is
 * written and knows locks.
 *
 * @module
 */

import { dirname } from "../path.ts";
import { failureOf } from "../process.ts";
import { type Examined, ok, problem, type Said, warning, word } from "./check.ts";

const MIB = 1024;

/** One file system, as `df` tells it. */
export interface FileSystem {
  /** Device or share. */
  readonly device: string;
  /** Its kind, where `df` tells. */
  readonly type?: string;
  /** Size in KiB. */
  readonly totalKiB: number;
  /** What an ordinary user may still write, in KiB. */
  readonly freeKiB: number;
  /** Where it is mounted. */
  readonly mount: string;
}

/**
 * Reads `df -Pk PATH`, on Linux `df -PkT PATH`.
 *
 * @param text Its output.
 * @returns The file system, or `undefined`.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseDf } from "./disk.ts";
 *
 * const fs = parseDf(
 *   "Filesystem Type 1024-blocks     Used Available Capacity Mounted on\n" +
 *     "/dev/vda   ext4   264212084 22940296  83450616      22% /\n",
 * );
 * assert.equal(fs?.type, "ext4");
 * assert.equal(fs.freeKiB, 83450616);
 * ```
 */
export function parseDf(text: string): FileSystem | undefined {
  const [heading = "", line = ""] = text.split("\n");
  const typed = /^Filesystem +Type /.test(heading);
  const match = /^(.+?) +(?:([a-z]\S*) +)?(\d+) +(\d+) +(-?\d+) +(?:\d+%|-) +(\/.*)$/i.exec(line);
  if (match === null) return undefined;
  const [, device = "", type, total, , free, mount = ""] = match;
  return {
    device: typed || type === undefined ? device : `${device} ${type}`,
    ...(typed && type !== undefined ? { type } : {}),
    totalKiB: Number(total),
    freeKiB: Math.max(0, Number(free)),
    mount,
  };
}

/**
 * Judges a file system.
 *
 * @param fs What `df` told.
 * @returns One line about its room; one more if it does not suit.
 */
export function judgeFileSystem(fs: FileSystem): Said[] {
  const { type, device, mount, totalKiB, freeKiB } = fs;
  const said = `${size(freeKiB)} of ${size(totalKiB)} free on ${mount}`;
  const remedy = `du -xhd1 ${word(mount)} | sort -h`;
  const room = freeKiB < 10 * MIB
    ? problem(`${said}: deaths can soon not be recorded any more`, remedy)
    : freeKiB < 100 * MIB || freeKiB < totalKiB * 0.02
    ? warning(said, remedy)
    : ok(said);
  const elsewhere = "export IAPEER_ROOT=/var/lib/iapeer";
  if (/^(?:tmpfs|ramfs)$/.test(type ?? "")) {
    return [
      room,
      warning(
        `the root lies in memory (${type}): sessions and deaths are forgotten at a reboot`,
        elsewhere,
      ),
    ];
  }
  // macOS does not tell the type: of a share the device has the name of its server.
  const remote = type === undefined
    ? /^\/\/|^[^/ ]+:\//.test(device)
    : /^(?:nfs|cifs|smb|9p|afp|ceph|gluster|lustre|fuse\.(?:sshfs|gluster|ceph))/.test(type);
  if (!remote) return [room];
  return [
    room,
    warning(
      `the root lies on a network file system (${
        type ?? device
      }): sockets, locks and the syncing of records depend on the network`,
      elsewhere,
    ),
  ];
}

function size(kib: number): string {
  if (kib >= 1024 * MIB) return `${(kib / 1024 / MIB).toFixed(1)} GiB`;
  return `${Math.round(kib / MIB)} MiB`;
}

/**
 * Looks at the file system of the root, or of where the root will be.
 *
 * @param of What is looked at.
 * @returns Room and suitability.
 * @throws {Error} If `df` does not tell.
 */
export async function checkDisk(of: Examined): Promise<Said[]> {
  const { tools, platform } = of.ctx.host;
  const flags = platform === "linux" ? "-PkT" : "-Pk";
  let dir = of.ctx.paths.root;
  for (;;) {
    const run = await tools.run("df", [flags, dir]);
    const trouble = failureOf("df", run);
    if (trouble?.includes("No such file") && dir !== "/") {
      dir = dirname(dir);
      continue;
    }
    if (trouble !== undefined) throw new Error(trouble);
    const fs = parseDf(run.stdout);
    if (fs === undefined) throw new Error(`df says: ${run.stdout.trim().slice(0, 200)}`);
    return [...judgeFileSystem(fs), ...await checkInodes(of, dir)];
  }
}

/** Few file systems run out of names before they run out of room; then nothing can be created. */
async function checkInodes(of: Examined, dir: string): Promise<Said[]> {
  if (of.ctx.host.platform !== "linux") return [];
  const { stdout } = await of.ctx.host.tools.run("df", ["-Pi", dir]);
  const match = /\n.* (\d+) +\d+ +(\d+) +\d+% +\/.*/.exec(stdout);
  // Some count no inodes, and say 0 or "-".
  if (match === null || match[1] === "0" || Number(match[2]) >= 1000) return [];
  const said = `${match[2]} inodes left: soon no file can be created any more`;
  return [warning(said, `du --inodes -xd1 ${word(dir)} | sort -n`)];
}
