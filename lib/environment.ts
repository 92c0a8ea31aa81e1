/**
 * The environment that a session's program gets, and what must be kept out of
 * the way of the programs that iapeer itself starts.
 *
 * @module
 */

import type { Tools } from "./process.ts";

/** Deno refuses to start a program with one of these set, unless it may run anything [measured, 2.9.6]. */
const LOADER = /^(?:LD|DYLD)_/;
/** These tell of the caller's own tmux, not of the session's. */
const CALLERS_TMUX = ["TMUX", "TMUX_PANE"];

const setAside: Record<string, string> = {};

/**
 * Takes back what Deno does to its own environment where PATH leads to no
 * `node`: it puts one in front that is Deno itself, for its children
 * [measured, 2.9.6]. To a session it would be a Node that its caller has not.
 */
export function dropNodeShim(): void {
  if (Deno.env.get("DENO_NODE_SHIM_ACTIVE") === undefined) return;
  Deno.env.delete("DENO_NODE_SHIM_ACTIVE");
  const [first = "", ...rest] = (Deno.env.get("PATH") ?? "").split(":");
  if (!first.endsWith("/node_compat_bin")) return;
  if (rest.length === 0) Deno.env.delete("PATH");
  else Deno.env.set("PATH", rest.join(":"));
}

/**
 * Takes the dynamic loader's variables out of this process's environment, so
 * that it can start programs at all. They are not lost: see
 * {@linkcode callersEnvironment}.
 */
export function setLoaderVariablesAside(): void {
  for (const [name, value] of Object.entries(Deno.env.toObject())) {
    if (!LOADER.test(name)) continue;
    setAside[name] = value;
    Deno.env.delete(name);
  }
}

/**
 * The environment that the caller gave, as a session's program shall get it.
 *
 * @param extra Variables that go over it.
 * @returns Names and values.
 */
export function callersEnvironment(
  extra: Readonly<Record<string, string>>,
): Record<string, string> {
  const env = { ...Deno.env.toObject(), ...setAside, ...extra };
  for (const name of CALLERS_TMUX) if (!(name in extra)) delete env[name];
  return env;
}

/**
 * The variables of this process that are not valid UTF-8: a program that it
 * starts inherits them, but they cannot be read, nor written down for another
 * process.
 *
 * @param tools Runs `cat`, which inherits them, too.
 * @returns Their names; none where the system has no `/proc`.
 */
export async function unreadableVariables(tools: Tools): Promise<string[]> {
  const { stdout } = await tools.run("cat", ["/proc/self/environ"]);
  return stdout.split("\0").filter((entry) => entry.includes("\ufffd"))
    .map((entry) => entry.slice(0, entry.indexOf("=")))
    .filter((name) => {
      try {
        // One that truly holds this character can be read.
        return Deno.env.get(name) === undefined;
      } catch {
        return true;
      }
    });
}

/**
 * Runs `start` with `env` as the environment of this process, for a server to
 * inherit. Inheriting, in place of handing over a list, keeps variables that
 * are not valid UTF-8: Deno does not list those.
 *
 * @param env What the session's program shall have.
 * @param start Starts the server; gets the part of `env` that a program cannot
 * be started with and that must reach the session by another way.
 * @returns What `start` returns.
 */
export function withEnvironment<T>(
  env: Readonly<Record<string, string>>,
  start: (apart: Record<string, string>) => T,
): T {
  const before = Deno.env.toObject();
  const apart: Record<string, string> = {};
  const wanted: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    (LOADER.test(name) ? apart : wanted)[name] = value;
  }
  try {
    changeEnvironment(wanted);
    return start(apart);
  } finally {
    changeEnvironment(before);
  }
}

function changeEnvironment(env: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(Deno.env.toObject())) {
    if (!(name in env)) Deno.env.delete(name);
  }
  for (const [name, value] of Object.entries(env)) {
    if (Deno.env.get(name) !== value) Deno.env.set(name, value);
  }
}

/**
 * The path of a tool as it was resolved when this program started, for use
 * while another PATH is in force.
 *
 * Only that path is permitted to run, and asking whether a path is permitted
 * needs no right to read it.
 *
 * @param tool Its name.
 * @returns The path, or the name if it is nowhere on PATH.
 */
export function toolPath(tool: string): string {
  for (const dir of (Deno.env.get("PATH") ?? "").split(":")) {
    if (dir === "") continue;
    const path = `${dir}/${tool}`;
    if (Deno.permissions.querySync({ name: "run", command: path }).state !== "granted") continue;
    try {
      if (Deno.statSync(path).isFile) return path;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) return path;
    }
  }
  return tool;
}

/**
 * Tells whether this program found no tmux on its PATH when it was started: it
 * can then start nothing, and is not permitted to run one that comes later.
 *
 * @returns What is the case, with the remedy; `undefined` if there is a tmux.
 */
export function noTmux(): string | undefined {
  if (toolPath("tmux") !== "tmux") return undefined;
  const path = Deno.env.get("PATH") ?? "";
  return `there is no tmux on PATH "${path}"; install it or mend PATH, then start iapeer anew`;
}
