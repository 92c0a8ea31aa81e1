/**
 * The service: there, at work on this root, of this version, and set so that
 * the sessions outlive it.
 *
 * @module
 */

import type { PsRow } from "../ps_table.ts";
import type { ServiceState } from "../service.ts";
import { type Examined, ok, problem, type Said, type Supervisor, warning, word } from "./check.ts";

const MANAGERS = "neither launchd nor systemd is at work here";

/**
 * Looks whether a service keeps a supervisor at work on this root.
 *
 * @param of What is looked at.
 * @returns What {@linkcode judgeService} says, and whether a signal holds the
 * supervisor up.
 */
export async function checkService(of: Examined): Promise<Said[]> {
  const [service, supervisor] = await Promise.all([of.service(), of.supervisor()]);
  const rows = supervisor === undefined ? [] : await of.processes();
  const outside = supervisor !== undefined && service.running === true &&
    !descends(rows, supervisor.pid, service.pid);
  return [
    ...judgeService(service, supervisor, outside, of.command),
    ...rows.filter(({ pid, stat }) => pid === supervisor?.pid && stat.startsWith("T"))
      .map(({ pid }) => problem(`supervisor ${pid} is held up by a signal`, `kill -CONT ${pid}`)),
  ];
}

/** Unknown pids count as related: nothing is to be claimed about them. */
function descends(rows: readonly PsRow[], pid: number | undefined, from: number | undefined) {
  if (pid === undefined || from === undefined) return true;
  return ancestorsOf(rows, pid).includes(from);
}

/**
 * A process and those that it descends from.
 *
 * @param rows The process table.
 * @param pid Whose.
 * @returns Pids, its own first.
 */
export function ancestorsOf(rows: readonly PsRow[], pid: number): number[] {
  const parents = new Map(rows.map((row) => [row.pid, row.ppid]));
  const line: number[] = [];
  for (let at: number | undefined = pid; at !== undefined && at > 0; at = parents.get(at)) {
    if (line.includes(at)) break;
    line.push(at);
  }
  return line;
}

/**
 * Judges the service.
 *
 * @param service How it is.
 * @param supervisor Who holds the root's lock, if anybody does.
 * @param outside That one is none of the service's.
 * @param command Makes a command line for this root.
 * @returns One line, or two if a supervisor is at work beside the service.
 */
export function judgeService(
  service: ServiceState,
  supervisor: Supervisor | undefined,
  outside: boolean,
  command: (args: string) => string,
): Said[] {
  const install = command("install");
  const who = supervisor?.pid === undefined ? "a supervisor" : `supervisor ${supervisor.pid}`;
  if (service.manager === undefined) {
    if (service.trouble !== undefined) {
      return [warning(`could not look: ${service.trouble}`, command("doctor"))];
    }
    return [
      supervisor === undefined
        ? warning(
          `${MANAGERS}, and no supervisor runs: canaries are not re-armed`,
          command("supervise"),
        )
        : ok(`${MANAGERS}; ${who} is at work`),
    ];
  }
  if (!service.installed) {
    return [
      warning(
        supervisor === undefined
          ? "not installed, and no supervisor runs: nobody re-arms canaries or restarts sessions"
          : `not installed: ${who} was started by hand and will not come back after a reboot`,
        install,
      ),
    ];
  }
  const { manager, loaded, running } = service;
  if (loaded === undefined || running === undefined) {
    return [warning(`could not look: ${service.trouble ?? `${manager} does not tell`}`, install)];
  }
  const besides = supervisor === undefined ? [] : [
    warning(
      `${who} is at work outside the service: it ends with the terminal it was started from`,
      supervisor.pid === undefined ? install : `kill ${supervisor.pid} && ${install}`,
    ),
  ];
  const why = service.trouble === undefined ? "" : `: ${service.trouble}`;
  if (!loaded) {
    return [problem(`installed, but ${manager} has not loaded it${why}`, install), ...besides];
  }
  if (!running) {
    return [problem(`installed and loaded, but it does not run${why}`, install), ...besides];
  }
  const runs = `runs under ${manager}${service.pid === undefined ? "" : `, pid ${service.pid}`}`;
  if (outside) return [ok(runs), ...besides];
  if (supervisor === undefined) {
    return [warning(`${runs}, but is not at work on this root`, install)];
  }
  return [ok(runs)];
}

/**
 * Looks whether supervisor and service are of this version.
 *
 * @param of What is looked at.
 * @returns A line for the one that runs, and one for the program of the next
 * start, where it may be asked.
 */
export async function checkVersion(of: Examined): Promise<Said[]> {
  const [service, supervisor] = await Promise.all([of.service(), of.supervisor()]);
  const install = of.command("install");
  const said: Said[] = [];
  if (supervisor !== undefined) {
    const theirs = supervisor.version;
    said.push(
      theirs === of.version ? ok(`this program and the supervisor: ${theirs}`) : warning(
        `the supervisor is of version ${theirs ?? "unknown"}, this program of ${of.version}`,
        install,
      ),
    );
  }
  if (service.installed && service.program !== undefined) {
    said.push(...await checkProgram(of, service.program, said.length > 0));
  }
  return said.length > 0 ? said : [ok(`this program: ${of.version}; no supervisor runs`)];
}

async function checkProgram(of: Examined, program: string, known: boolean): Promise<Said[]> {
  const { tools } = of.ctx.host;
  const install = of.command("install");
  if ((await tools.run("test", ["-x", program])).code === 1) {
    return [problem(`the service's program is gone: ${program}`, install)];
  }
  const { code, stdout } = await tools.run(program, ["--version"]);
  const version = stdout.trim();
  // It may be Deno, which has a version of its own to tell.
  if (code !== 0 || !/^\d+\.\d+\.\d+\S*$/.test(version)) {
    return known ? [] : [
      warning(`could not look: ${program} may not be run from here`, `${word(program)} --version`),
    ];
  }
  if (version === of.version) return [];
  return [
    warning(`the service's program is of version ${version}, this one of ${of.version}`, install),
  ];
}

/** One setting of a service that the sessions depend on. */
interface Setting {
  readonly name: string;
  readonly wanted: string;
  readonly says: typeof warning;
  readonly else: string;
  readonly remedy?: string;
}

const SETTINGS: Readonly<Record<NonNullable<ServiceState["manager"]>, readonly Setting[]>> = {
  systemd: [
    {
      name: "KillMode",
      wanted: "process",
      says: problem,
      else: "every session dies when the service stops or restarts",
    },
    {
      name: "OOMPolicy",
      wanted: "continue",
      says: warning,
      else: "the service stops when the kernel kills one of its processes",
    },
    {
      name: "Delegate",
      wanted: "yes",
      says: warning,
      else: "systemd may rearrange the cgroups below the service",
    },
    {
      name: "UnitFileState",
      wanted: "enabled",
      says: warning,
      else: "it does not start again after a reboot",
    },
    {
      name: "Linger",
      wanted: "yes",
      says: warning,
      else: "service and sessions end when you log out",
      remedy: "loginctl enable-linger",
    },
  ],
  launchd: [
    {
      name: "AbandonProcessGroup",
      wanted: "yes",
      says: warning,
      else: "launchd kills what the service started when it exits",
    },
  ],
};

const YES = /^(?:yes|true|1|on)$/i;

/**
 * Looks at the settings of the service that its sessions depend on.
 *
 * @param of What is looked at.
 * @returns One line if all are as they should be, else one for each that is not.
 */
export async function checkSettings(of: Examined): Promise<Said[]> {
  const service = await of.service();
  return service.installed ? judgeSettings(service, of.command("install")) : [];
}

/**
 * Judges the settings of a service. systemd tells its defaults, too; what is
 * not in a property list is unset, unless there was trouble in reading it.
 *
 * @param service How it is.
 * @param install The command line that writes them anew.
 * @returns One line if all are as they should be, else one for each that is not.
 */
export function judgeSettings(service: ServiceState, install: string): Said[] {
  const { manager, settings, trouble } = service;
  if (manager === undefined) return [];
  const said: Said[] = [];
  const unseen: string[] = [];
  for (const { name, wanted, says, else: otherwise, remedy } of SETTINGS[manager]) {
    const value = settings[name];
    if (value === undefined && (trouble !== undefined || manager === "systemd")) unseen.push(name);
    else if (value === undefined || (wanted === "yes" ? !YES.test(value) : value !== wanted)) {
      const is = value === undefined || value === "" ? "not set" : value;
      said.push(says(`${name} is ${is}, not ${wanted}: ${otherwise}`, remedy ?? install));
    }
  }
  if (unseen.length > 0) {
    const why = trouble ?? `${manager} does not tell`;
    said.push(warning(`could not look at ${unseen.join(", ")}: ${why}`, install));
  }
  if (said.length > 0) return said;
  return [ok(SETTINGS[manager].map(({ name, wanted }) => `${name}=${wanted}`).join(", "))];
}
