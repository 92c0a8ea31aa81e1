/**
 * tmux: there, new enough, and the same one for the service.
 *
 * @module
 */

import { isAbsolute, join } from "../path.ts";
import { failureOf } from "../process.ts";
import type { ServiceState } from "../service.ts";
import { type Examined, ok, problem, type Said, warning } from "./check.ts";

/** What a job finds programs with when its own file does not say. */
const DEFAULT_PATHS = {
  launchd: "/usr/bin:/bin:/usr/sbin:/sbin",
  systemd: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
} as const;

/**
 * Looks at the caller's tmux, and at the one that the service would start.
 *
 * @param of What is looked at.
 * @returns A line for each.
 */
export async function checkTmux(of: Examined): Promise<Said[]> {
  const { tools, platform } = of.ctx.host;
  const run = await tools.run("tmux", ["-V"]);
  if (run.failure?.endsWith(": not found")) {
    return [problem("there is none on your PATH", installation(platform))];
  }
  const trouble = failureOf("tmux", run);
  if (trouble !== undefined) {
    return [problem(`it does not run: ${trouble}`, installation(platform))];
  }
  const path = await find(of, of.path);
  const said = run.stdout.trim();
  const mine = judgeVersion(said, path, platform);
  return [mine, ...await checkServicesTmux(of, path, said)];
}

function installation(platform: string): string {
  return platform === "darwin" ? "brew install tmux" : "sudo apt-get install tmux";
}

/**
 * Judges a version of tmux.
 *
 * @param said What `tmux -V` printed.
 * @param path Where it lies.
 * @param platform As `Deno.build.os` names it.
 * @returns A problem below 3.3.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { judgeVersion } from "./tmux.ts";
 *
 * assert.equal(judgeVersion("tmux 3.6", "/usr/bin/tmux", "linux").level, "ok");
 * assert.equal(judgeVersion("tmux 2.9a", "/usr/bin/tmux", "linux").level, "problem");
 * ```
 */
export function judgeVersion(said: string, path: string | undefined, platform: string): Said {
  const what = path === undefined ? said : `${said} at ${path}`;
  // OpenBSD's own counts the releases of OpenBSD, and "master" counts nothing.
  const [, major, minor] = /^tmux (?:next-)?(\d+)\.(\d+)/.exec(said) ?? [];
  if (major === undefined) {
    return ok(`${what}; which release that is cannot be told, 3.3 or later is needed`);
  }
  const version = Number(major) * 1000 + Number(minor);
  if (version < 3003) {
    return problem(`${what} is too old: 3.3 or later is needed`, installation(platform));
  }
  return ok(
    version < 3005 ? `${what} (misses some program ends; iapeer heals that)` : what,
  );
}

async function checkServicesTmux(
  of: Examined,
  mine: string | undefined,
  said: string,
): Promise<Said[]> {
  const service = await of.service();
  if (!service.installed) return [];
  const { path, stated } = servicesPath(service);
  const theirs = await find(of, path);
  if (theirs === undefined) {
    const whose = stated ? "the service's PATH" : "the default PATH of a service";
    return [problem(`${whose} (${path}) leads to none`, of.command("install"))];
  }
  if (mine === undefined || await isSame(of, mine, theirs)) {
    return [ok(`the service finds it as ${theirs}`)];
  }
  const run = await of.ctx.host.tools.run(theirs, ["-V"]);
  if (run.code === 0 && run.stdout.trim() === said) {
    return [ok(`the service finds another of the same version, ${theirs}`)];
  }
  const version = run.code === 0 ? ` (${run.stdout.trim()})` : "";
  return [
    warning(
      `the service starts another tmux than you: ${theirs}${version}, not ${mine}; ` +
        "a client of one version may be refused by a server of another",
      of.command("install"),
    ),
  ];
}

function servicesPath({ manager, settings }: ServiceState): { path: string; stated: boolean } {
  const stated = settings["PATH"];
  return stated === undefined
    ? { path: DEFAULT_PATHS[manager ?? "systemd"], stated: false }
    : { path: stated, stated: true };
}

/** Asked of `test`, as this program may not look outside its root. */
async function find(of: Examined, path: string): Promise<string | undefined> {
  const places = path.split(":").filter((dir) => isAbsolute(dir)).map((dir) => join(dir, "tmux"));
  const found = await Promise.all(
    places.map((place) => isTrue(of, "-f", place, "-a", "-x", place)),
  );
  return places[found.indexOf(true)];
}

function isSame(of: Examined, a: string, b: string): Promise<boolean> {
  return a === b ? Promise.resolve(true) : isTrue(of, a, "-ef", b);
}

async function isTrue(of: Examined, ...expression: string[]): Promise<boolean> {
  const result = await of.ctx.host.tools.run("test", expression);
  if (result.code === 0 || result.code === 1) return result.code === 0;
  throw new Error(failureOf("test", result) ?? "test gave no answer");
}
