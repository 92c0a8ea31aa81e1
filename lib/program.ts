/**
 * Whether a session's program can be started at all, asked before anything is
 * started: tmux itself falls back to another directory without a word, and a
 * program that is not there looks like one that ended at once.
 *
 * @module
 */

import { noTmux } from "./environment.ts";
import { isAbsolute, join } from "./path.ts";
import { IapeerError } from "./errors.ts";
import { failureOf, type Tools } from "./process.ts";
import type { Spec } from "./sessions.ts";

/** What execvp(3) searches when PATH is not set. */
const DEFAULT_PATH = "/usr/bin:/bin";

/**
 * Checks working directory, program and configuration file of a session.
 *
 * Asked of `test`, because this program may read its own root only.
 *
 * @param tools Runs `test`.
 * @param spec What shall run.
 * @throws {IapeerError} Naming what is missing, and the remedy.
 */
export async function checkProgram(tools: Tools, spec: Spec): Promise<void> {
  const [name] = spec.argv;
  if (name === undefined || name === "") {
    throw new IapeerError("Cannot launch an empty command: give one after --");
  }
  for (const text of [...spec.argv, spec.cwd, ...Object.values(spec.env)]) {
    if (text.includes("\0")) {
      throw new IapeerError("Cannot launch: an argument or variable holds a NUL character");
    }
  }
  if (!isAbsolute(spec.cwd) || !await is(tools, "-d", spec.cwd)) {
    throw new IapeerError(
      `Cannot launch in "${spec.cwd}": there is no such directory; create it or give another --cwd`,
    );
  }
  if (!await is(tools, "-x", spec.cwd)) {
    throw new IapeerError(
      `Cannot launch in "${spec.cwd}": you may not enter it; give another --cwd`,
    );
  }
  if (spec.tmuxConf !== undefined && !await is(tools, "-r", spec.tmuxConf)) {
    throw new IapeerError(
      `Cannot use the tmux configuration "${spec.tmuxConf}": it cannot be read; check --tmux-conf`,
    );
  }
  await checkExecutable(tools, name, spec);
}

/**
 * Checks that there is a tmux to start a session's server with.
 *
 * @param identity Which session.
 * @throws {IapeerError} If there is none, with the remedy.
 */
export function checkTmux(identity: string): void {
  const without = noTmux();
  if (without !== undefined) throw new IapeerError(`Cannot start "${identity}": ${without}`);
}

async function checkExecutable(tools: Tools, name: string, spec: Spec): Promise<void> {
  if (name.includes("/")) {
    const path = isAbsolute(name) ? name : join(spec.cwd, name);
    if (await isExecutable(tools, path)) return;
    throw new IapeerError(
      await is(tools, "-e", path)
        ? `Cannot launch "${name}": it is not an executable file; run: chmod +x, or name its interpreter`
        : `Cannot launch "${name}": there is no such file; check the path`,
    );
  }
  const dirs = (spec.env["PATH"] ?? DEFAULT_PATH).split(":").map((dir) =>
    isAbsolute(dir) ? dir : join(spec.cwd, dir)
  );
  const found = await Promise.all(dirs.map((dir) => isExecutable(tools, join(dir, name))));
  if (!found.includes(true)) {
    throw new IapeerError(
      `Cannot launch "${name}": no such program on PATH; install it or give its whole path`,
    );
  }
}

function isExecutable(tools: Tools, path: string): Promise<boolean> {
  return is(tools, "-f", path, "-a", "-x", path);
}

async function is(tools: Tools, ...expression: string[]): Promise<boolean> {
  const result = await tools.run("test", expression);
  if (result.code === 0 || result.code === 1) return result.code === 0;
  throw new IapeerError(
    `Cannot check what to launch: ${failureOf("test", result) ?? "test gave no answer"}`,
  );
}
