/**
 * Whether the system would take servers along when a terminal is closed or
 * somebody logs out.
 *
 * @module
 */

import { parseCgroup } from "../evidence/cgroup.ts";
import { count, type Examined, ok, type Said, some, warning } from "./check.ts";
import { ancestorsOf } from "./service.ts";

/** What is known about where a server lives. */
export interface Home {
  /** A supervisor was asked to launch it. */
  readonly handedOver: boolean;
  /** The server and those that it descends from. */
  readonly ancestors: readonly number[];
  /** systemd units, from the outermost to the innermost. */
  readonly units?: readonly string[];
}

/** The service, as far as that matters here. */
export interface Keeper {
  /** Its process. */
  readonly pid?: number;
  /** Its unit's name. */
  readonly unit?: string;
}

/**
 * With whom a server goes down: with the service, with a login session, with
 * nobody, or that cannot be told.
 *
 * On macOS a server belongs to the coalition of the application it was started
 * from, whatever its parent is now; only one that descends from the service, or
 * was handed over to it, is known to be safe. Written to what is documented of
 * macOS, and not run there.
 *
 * @param platform As `Deno.build.os` names it.
 * @param home The server.
 * @param service The service, if it runs.
 * @returns Who takes it along.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { keeperOf } from "./terminal.ts";
 *
 * const home = { handedOver: false, ancestors: [42, 1], units: ["session-3.scope"] };
 * assert.equal(keeperOf("linux", home, undefined), "login");
 * assert.equal(keeperOf("darwin", { ...home, ancestors: [42, 40, 7, 1] }, { pid: 7 }), "service");
 * ```
 */
export function keeperOf(
  platform: string,
  home: Home,
  service: Keeper | undefined,
): "service" | "login" | "nobody" | "unknown" {
  if (service?.pid !== undefined && home.ancestors.includes(service.pid)) return "service";
  if (platform === "darwin") {
    return home.handedOver && service !== undefined ? "service" : "unknown";
  }
  const { units } = home;
  if (units === undefined) return "unknown";
  if (service?.unit !== undefined && units.includes(service.unit)) return "service";
  return units.some((unit) => /^session-[^/]*\.scope$/.test(unit)) ? "login" : "nobody";
}

/**
 * Looks whether servers would go down with the terminal or login session that
 * they were started from.
 *
 * @param of What is looked at.
 * @returns One line, or none where nothing runs.
 */
export async function checkTerminal(of: Examined): Promise<Said[]> {
  const alive = (await of.sessions()).known.filter(({ record, status, busy }) =>
    !busy && !record.external && record.server !== undefined && status.state === "alive"
  );
  if (alive.length === 0) return [];
  const { platform } = of.ctx.host;
  const [rows, service, units] = await Promise.all([
    of.processes(),
    of.service(),
    platform === "linux" ? unitsOf(of, alive.map(({ record }) => record.server!.pid)) : new Map(),
  ]);
  const unit = service.file?.split("/").at(-1);
  const keeper = service.running
    ? {
      ...(service.pid === undefined ? {} : { pid: service.pid }),
      ...(unit === undefined ? {} : { unit }),
    }
    : undefined;
  const kept = Map.groupBy(alive, ({ record }) => {
    const { pid } = record.server!;
    const handedOver = record.request !== undefined;
    const home = { handedOver, ancestors: ancestorsOf(rows, pid) };
    const at = units.get(pid);
    return keeperOf(platform, at === undefined ? home : { ...home, units: at }, keeper);
  });
  const names = (who: ReturnType<typeof keeperOf>) =>
    (kept.get(who) ?? []).map(({ record }) => record.identity);
  const kills = names("login").length > 0 ? await killsAtLogout(of) : undefined;
  return judgeTerminal(platform, {
    login: names("login"),
    unknown: names("unknown"),
    all: alive.length,
    kills,
    // Without a service there is nobody to hand a launch to.
    install: service.running === true ? undefined : of.command("install"),
    anew: (names) =>
      `${of.command(`stop ${names.join(" ")}`)} && ${of.command(`start ${names.join(" ")}`)}`,
  });
}

/** Units of several processes: one spawn; each one's own stat line tells whose lines follow. */
async function unitsOf(
  of: Examined,
  pids: readonly number[],
): Promise<Map<number, readonly string[]>> {
  const { stdout } = await of.ctx.host.tools.run(
    "cat",
    pids.flatMap((pid) => [`/proc/${pid}/stat`, `/proc/${pid}/cgroup`]),
  );
  return parseUnits(stdout);
}

/**
 * Reads `cat /proc/PID/stat /proc/PID/cgroup …` of several processes.
 *
 * @param text Its output; of a process that is gone there is nothing.
 * @returns The systemd units of each.
 */
export function parseUnits(text: string): Map<number, readonly string[]> {
  const lines = new Map<number, string[]>();
  let own: string[] = [];
  for (const line of text.split("\n")) {
    const pid = /^(\d+) \(/.exec(line)?.[1];
    if (pid !== undefined) lines.set(Number(pid), own = []);
    else own.push(line);
  }
  const units = new Map<number, readonly string[]>();
  for (const [pid, cgroup] of lines) {
    const place = parseCgroup(cgroup.join("\n"));
    if (place !== undefined) units.set(pid, place.units);
  }
  return units;
}

/** What logind does with the processes of a session when it ends; `undefined` if it does not tell. */
async function killsAtLogout(of: Examined): Promise<boolean | undefined> {
  const { stdout } = await of.ctx.host.tools.run("loginctl", [
    "show-session",
    "--property=KillUserProcesses",
  ]);
  const value = /^KillUserProcesses=(yes|no)$/m.exec(stdout)?.[1];
  return value === undefined ? undefined : value === "yes";
}

/** What {@linkcode judgeTerminal} judges. */
export interface Kept {
  /** Sessions that live in a login session. */
  readonly login: readonly string[];
  /** Sessions of which it cannot be told. */
  readonly unknown: readonly string[];
  /** How many sessions run. */
  readonly all: number;
  /** Whether logind kills what is left of a login session. */
  readonly kills: boolean | undefined;
  /** What to run first, where no service runs. */
  readonly install: string | undefined;
  /** The command line that starts sessions anew, by way of the service. */
  anew(identities: readonly string[]): string;
}

/**
 * Judges where the servers live.
 *
 * @param platform As `Deno.build.os` names it.
 * @param kept What is known.
 * @returns One line.
 */
export function judgeTerminal(platform: string, kept: Kept): Said[] {
  const { login, unknown, all, kills, install } = kept;
  const remedy = [...(install === undefined ? [] : [install]), kept.anew([...login, ...unknown])]
    .join("\n");
  if (platform === "darwin" && unknown.length > 0) {
    return [
      warning(
        `could not tell whether ${some(unknown)} belong to the service or to the terminal that ` +
          "launched them: macOS ends those when the terminal application quits",
        remedy,
      ),
    ];
  }
  if (login.length === 0 && unknown.length > 0) {
    return [
      warning(
        `could not tell in which cgroup they are: ${some(unknown)}`,
        "ps -axww -o pid,cgroup,command | grep tmux",
      ),
    ];
  }
  if (login.length === 0) {
    const where = platform === "darwin" ? "launched by the service" : "none in a login session";
    return [ok(`${count(all, "server")}, ${where}`)];
  }
  const said = `in a login session: ${some(login)}; logind`;
  if (kills === false) return [ok(`${said} leaves what runs there alone at logout`)];
  return [
    warning(
      kills
        ? `${said} kills what runs there at logout`
        : `${said} does not tell whether it kills what runs there at logout`,
      remedy,
    ),
  ];
}
