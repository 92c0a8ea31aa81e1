/**
 * The supervisor as a unit of the user's systemd.
 *
 * @module
 */

import { join } from "node:path";
import type { Context } from "./context.ts";
import { IapeerError } from "./errors.ts";
import { failureOf, type ToolResult } from "./process.ts";
import type { Service, ServiceState, Setup } from "./service.ts";
import { expressible, fileText } from "./service_file.ts";

/** What a look asks for, beside the state. */
const SETTINGS = ["KillMode", "OOMPolicy", "Delegate", "Restart", "UnitFileState"] as const;
/** Runs its arguments; see {@linkcode execLine}. */
const EXEC = ["/bin/sh", "-c", 'exec "$0" "$@"'];

/**
 * The service of a root under systemd.
 *
 * @param ctx The root.
 * @param dir Where the user's units lie.
 * @param suffix See {@linkcode serviceSuffix}.
 * @param uid The user.
 * @returns The service.
 */
export function systemd(ctx: Context, dir: string, suffix: string, uid: number): Service {
  const { paths: { root }, host: { tools } } = ctx;
  const unit = suffix === "" ? "iapeer.service" : `iapeer-${suffix}.service`;
  const file = join(dir, unit);
  const see = `journalctl --user -u ${unit}`;
  const systemctl = (...args: string[]) => ["--user", ...args];

  function demand(what: string, result: ToolResult): void {
    const why = failureOf("systemctl", result);
    if (why === undefined) return;
    throw new IapeerError(
      `Cannot ${what} the service ${unit}: ${why}; see: ${see} (and log in as this user itself: with su or sudo there is no user manager)`,
    );
  }

  return {
    manager: "systemd",
    name: unit,
    file,
    see,
    text: (setup) => unitText(root, setup),
    starts: (text, program) => parseUnit(text).program === program,
    isOurs: (name) => /^iapeer(?:-[0-9a-f]{12})?\.service$/.test(name),
    async state(): Promise<ServiceState> {
      const { text, trouble } = await fileText(ctx, file);
      const properties = ["LoadState", "SubState", "MainPID", ...SETTINGS].join(",");
      const [shown, user] = await Promise.all([
        tools.run("systemctl", systemctl("show", unit, `--property=${properties}`)),
        tools.run("loginctl", ["show-user", String(uid), "--property=Linger"]),
      ]);
      const why = trouble ?? failureOf("systemctl", shown);
      const answers = parseProperties(shown.stdout);
      const asked = failureOf("systemctl", shown) === undefined;
      const pid = Number(answers.get("MainPID") ?? 0);
      const { program, path } = text === undefined ? {} : parseUnit(text);
      const linger = parseProperties(user.stdout).get("Linger") ??
        // It tells only of users who are logged in or linger.
        (/not logged in or lingering/.test(user.stderr) ? "no" : undefined);
      return {
        manager: "systemd",
        file,
        installed: text !== undefined,
        ...(asked
          ? {
            loaded: answers.get("LoadState") === "loaded",
            running: answers.get("SubState") === "running",
          }
          : {}),
        ...(pid > 0 ? { pid } : {}),
        ...(program === undefined ? {} : { program }),
        settings: {
          ...Object.fromEntries(SETTINGS.flatMap((name) => {
            const value = answers.get(name);
            return value === undefined || value === "" ? [] : [[name, value]];
          })),
          ...(path === undefined ? {} : { PATH: path }),
          ...(linger === undefined ? {} : { Linger: linger }),
        },
        ...(why === undefined ? {} : { trouble: why }),
      };
    },
    async load(steps) {
      demand("load", await steps.run("systemctl", systemctl("daemon-reload")));
      demand("enable", await steps.run("systemctl", systemctl("enable", unit)));
      // Starts it, too, if it does not run.
      demand("start", await steps.run("systemctl", systemctl("restart", unit)));
    },
    async unload(steps) {
      demand("end", await steps.run("systemctl", systemctl("disable", "--now", unit)));
    },
    async forget(steps) {
      demand("forget", await steps.run("systemctl", systemctl("daemon-reload")));
      // A failure of long ago would keep the name listed; without one this fails.
      await steps.run("systemctl", systemctl("reset-failed", unit));
    },
  };
}

/**
 * The unit of a root.
 *
 * @param root The root.
 * @param setup What it runs.
 * @returns The unit file.
 * @throws {UsageError} If a value holds control characters.
 */
export function unitText(root: string, { program, path }: Setup): string {
  return `[Unit]
Description=iapeer: looks after the sessions in ${
    expressible("the root", root).replaceAll("%", "%%")
  } (iapeer supervise)
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=${execLine([program, "supervise", "--root", root])}
Environment=${quoteWord(`PATH=${expressible("PATH", path)}`)}
Restart=always
RestartSec=10
TimeoutStopSec=20
# The tmux servers and their canaries outlive the supervisor.
KillMode=process
# The end of one session for want of memory is not the end of the service.
OOMPolicy=continue
Delegate=yes
UMask=0077

[Install]
WantedBy=default.target
`;
}

/**
 * A command line for `ExecStart=`.
 *
 * systemd refuses quotes and backslashes in the path of the program, however
 * escaped, and takes a dollar there as it is, where an argument needs two
 * [measured, 252]. Such a path goes as an argument of sh, which is replaced by
 * the program.
 *
 * @param words Absolute path of the program, and its arguments.
 * @returns What stands behind `ExecStart=`.
 * @throws {UsageError} If a word holds control characters.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { execLine } from "./systemd.ts";
 *
 * assert.equal(execLine(["/home/bob/100%/iapeer", "a $b"]), '"/home/bob/100%%/iapeer" "a $$b"');
 * ```
 */
export function execLine(words: readonly [string, ...string[]]): string {
  const [program, ...args] = words.map((word) => expressible("the argument", word));
  const quoted = (word: string) => quoteWord(word).replaceAll("$", "$$$$");
  if (/['"\\]/.test(program!)) return [...EXEC, program!, ...args].map(quoted).join(" ");
  return [quoteWord(program!), ...args.map(quoted)].join(" ");
}

/** A word for settings that are split into words, have specifiers, and know C's escapes. */
function quoteWord(word: string): string {
  if (/^[\w./:=-]+$/.test(word)) return word;
  const escaped = word.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%");
  return `"${escaped}"`;
}

/** The words of a line that {@linkcode quoteWord} has quoted. */
function splitWords(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) =>
    (plain ?? quoted!.replace(/\\(.)/g, "$1")).replaceAll("%%", "%")
  );
}

/** Program and PATH out of a unit that {@linkcode unitText} has written. */
function parseUnit(text: string): { readonly program?: string; readonly path?: string } {
  const line = (key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1];
  const words = splitWords(line("ExecStart") ?? "");
  const wrapped = words[0] === EXEC[0];
  const program = wrapped ? words[EXEC.length]?.replaceAll("$$", "$") : words[0];
  const environment = splitWords(line("Environment") ?? "")[0];
  return {
    ...(program === undefined ? {} : { program }),
    ...(environment?.startsWith("PATH=") ? { path: environment.slice("PATH=".length) } : {}),
  };
}

/** Lines of `NAME=VALUE`, as `systemctl show` and `loginctl show-user` print them. */
function parseProperties(text: string): Map<string, string> {
  return new Map(
    text.split("\n").filter((line) => line.includes("=")).map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}
