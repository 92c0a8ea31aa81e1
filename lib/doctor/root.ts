/**
 * The root: whose it is, who else may look into it, whether sockets fit into
 * its path.
 *
 * @module
 */

import { join } from "../path.ts";
import { MAX_SOCK_BYTES } from "../config.ts";
import { type Examined, ok, problem, type Said, some, warning, word } from "./check.ts";

/** More entries than this are not looked at. */
const MAX_ENTRIES = 20_000;
/** So many offenders get a command of their own. */
const FEW = 3;
/** The shortest identity is this long, and one of about this length is wished for. */
const SHORTEST = 3;
const COMFORTABLE = 20;

/**
 * Looks at the root itself.
 *
 * @param of What is looked at.
 * @returns Whose it is and who may write to it; where it lies if it is a symlink.
 */
export function checkRoot(of: Examined): Said[] {
  const { root } = of.ctx.paths;
  if (!of.made) return [ok(`${root}: no root yet, the first launch makes it`)];
  const info = Deno.statSync(root);
  if (!info.isDirectory) {
    return [problem(`${root} is not a directory`, `mv ${word(root)} ${word(`${root}.away`)}`)];
  }
  if (of.uid !== null && info.uid !== null && info.uid !== of.uid) {
    return [
      problem(
        `${root} belongs to user ${info.uid}, not to you (${of.uid}): no command will use it`,
        `sudo chown -R ${of.uid} ${word(root)}`,
      ),
    ];
  }
  const mode = (info.mode ?? 0o700) & 0o777;
  const said = `${root} has mode ${octal(mode)}`;
  const remedy = `chmod 700 ${word(root)}`;
  if ((mode & 0o022) !== 0) {
    return [problem(`${said}: others can write to it, no command will use it`, remedy)];
  }
  if ((mode & 0o700) !== 0o700) return [problem(`${said}: you cannot use it yourself`, remedy)];
  const real = Deno.realPathSync(root);
  const spelled = real === root ? root : `${root}, which is ${real}`;
  if ((mode & 0o077) !== 0) {
    return [warning(`${said}: others can see the names of what lies in it`, remedy)];
  }
  return [ok(`${spelled}: yours, closed to others`)];
}

/** A file or folder with rights that it should not have. */
interface Offender {
  readonly path: string;
  readonly folder: boolean;
  readonly mode: number;
}

/** What is wrong with the entries of a root. */
interface Walk {
  readonly looked: number;
  readonly foreign: readonly string[];
  readonly open: readonly Offender[];
  readonly closed: readonly Offender[];
}

/**
 * Looks at the modes and the owner of everything in the root.
 *
 * @param of What is looked at.
 * @returns One line for each kind of offence.
 */
export function checkFiles(of: Examined): Said[] {
  if (!of.made) return [];
  const { root } = of.ctx.paths;
  const { looked, foreign, open, closed } = walk(root, of.uid);
  const said: Said[] = [];
  const names = (paths: readonly string[]) =>
    some(paths.map((path) => path.slice(root.length + 1)));
  if (foreign.length > 0) {
    said.push(problem(
      `of another user, so that they may not be written: ${names(foreign)}`,
      `sudo chown -R ${of.uid} ${word(root)}`,
    ));
  }
  if (closed.length > 0) {
    said.push(problem(
      `closed to yourself: ${names(closed.map(({ path }) => path))}`,
      chmod(root, closed),
    ));
  }
  if (open.length > 0) {
    said.push(warning(
      `open to others, and there may be secrets in them: ${names(open.map(({ path }) => path))}`,
      chmod(root, open),
    ));
  }
  if (said.length > 0) return said;
  return [ok(`${looked < MAX_ENTRIES ? "all" : "the first"} ${looked}: yours, closed to others`)];
}

function walk(root: string, uid: number | null): Walk {
  const found = {
    looked: 0,
    foreign: [] as string[],
    open: [] as Offender[],
    closed: [] as Offender[],
  };
  const dirs = [root];
  for (let dir = dirs.pop(); dir !== undefined; dir = dirs.pop()) {
    for (const path of entriesOf(dir)) {
      const info = statOf(path);
      // Removed meanwhile; and what a symlink may do depends on where it leads.
      if (info === undefined || info.isSymlink) continue;
      if (++found.looked >= MAX_ENTRIES) return found;
      const folder = info.isDirectory;
      const mode = (info.mode ?? 0o700) & 0o777;
      const own = folder ? 0o700 : 0o600;
      if (uid !== null && info.uid !== null && info.uid !== uid) found.foreign.push(path);
      else if ((mode & own) !== own) found.closed.push({ path, folder, mode });
      else {
        if ((mode & 0o077) !== 0) found.open.push({ path, folder, mode });
        if (folder) dirs.push(path);
      }
    }
  }
  return found;
}

function entriesOf(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map(({ name }) => join(dir, name));
  } catch (error) {
    // A drill that ends takes its folder along.
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function chmod(root: string, offenders: readonly Offender[]): string {
  if (offenders.length > FEW) return `chmod -R u+rwX,go= ${word(root)}`;
  const of = (folder: boolean) =>
    offenders.filter((one) => one.folder === folder).map(({ path }) => word(path)).join(" ");
  return [["700", of(true)], ["600", of(false)]]
    .filter(([, paths]) => paths !== "")
    .map(([mode, paths]) => `chmod ${mode} ${paths}`)
    .join("\n");
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/**
 * Looks at the length of the sockets' paths, and whether they lie in this root.
 *
 * @param of What is looked at.
 * @returns How long an identity may be here.
 */
export async function checkSockets(of: Examined): Promise<Said[]> {
  const { paths } = of.ctx;
  const { known } = await of.sessions();
  const room = MAX_SOCK_BYTES - bytesOf(paths.sock(""));
  const shorter = "export IAPEER_ROOT=/var/lib/iapeer";
  const longest = Math.max(0, ...known.map(({ record }) => record.identity.length));
  const said = longest > room
    ? problem(
      `the longest identity has ${longest} characters, only ${room} fit below this root`,
      shorter,
    )
    : room < SHORTEST
    ? problem(`the path of the root is too long for any socket (${MAX_SOCK_BYTES} bytes)`, shorter)
    : room < COMFORTABLE
    ? warning(`an identity may have ${room} characters only: the path of the root is long`, shorter)
    : ok(
      `an identity may have ${Math.min(room, 64)} characters here${
        longest > 0 ? `, the longest has ${longest}` : ""
      }`,
    );
  const real = of.made ? join(Deno.realPathSync(paths.root), "run") : paths.run;
  const moved = known.filter(({ record, status }) =>
    !record.external && status.state === "alive" &&
    record.sock !== paths.sock(record.identity) &&
    record.sock !== join(real, `${record.identity}.sock`)
  ).map(({ record }) => record.identity);
  if (moved.length === 0) return [said];
  return [
    said,
    warning(
      `${some(moved)}: launched when the root had another path, their sockets are called otherwise`,
      `${of.command(`stop ${moved.join(" ")}`)} && ${of.command(`start ${moved.join(" ")}`)}`,
    ),
  ];
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}
