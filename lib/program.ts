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
  // Nearly always all is well, and one process tells; what is wrong takes more.
  const absolute = isAbsolute(spec.cwd);
  if (absolute && (await tools.run("test", everything(name, spec))).code === 0) return;
  if (!absolute || !await is(tools, "-d", spec.cwd)) {
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

/** All that has to hold, as one expression. The paths are absolute: none looks like an operator. */
function everything(name: string, { cwd, tmuxConf, env }: Spec): string[] {
  const conf = tmuxConf === undefined ? [] : ["-r", tmuxConf, "-a"];
  const any = candidates(name, cwd, env).flatMap((path) => ["-o", ...executable(path)]).slice(1);
  return ["-d", cwd, "-a", "-x", cwd, "-a", ...conf, "(", ...any, ")"];
}

/** Where the program may be. */
function candidates(name: string, cwd: string, env: Spec["env"]): string[] {
  if (isAbsolute(name)) return [name];
  if (name.includes("/")) return [join(cwd, name)];
  return (env["PATH"] ?? DEFAULT_PATH).split(":").map((dir) =>
    isAbsolute(dir) ? join(dir, name) : join(cwd, dir, name)
  );
}

async function checkExecutable(tools: Tools, name: string, spec: Spec): Promise<void> {
  const paths = candidates(name, spec.cwd, spec.env);
  const found = await Promise.all(paths.map((path) => is(tools, ...executable(path))));
  if (found.includes(true)) return;
  if (name.includes("/")) {
    throw new IapeerError(
      await is(tools, "-e", paths[0]!)
        ? `Cannot launch "${name}": it is not an executable file; run: chmod +x, or name its interpreter`
        : `Cannot launch "${name}": there is no such file; check the path`,
    );
  }
  throw new IapeerError(
    `Cannot launch "${name}": no such program on PATH; install it or give its whole path`,
  );
}

function executable(path: string): string[] {
  return ["-f", path, "-a", "-x", path];
}

async function is(tools: Tools, ...expression: string[]): Promise<boolean> {
  const result = await tools.run("test", expression);
  if (result.code === 0 || result.code === 1) return result.code === 0;
  throw new IapeerError(
    `Cannot check what to launch: ${failureOf("test", result) ?? "test gave no answer"}`,
  );
}
