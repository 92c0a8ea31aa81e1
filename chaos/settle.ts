/**
 * After the last step: everything is revived, ticks run until nothing changes,
 * and what is left over is looked for.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { argsOf, statOf } from "./observer.ts";
import { environmentOf, within, type World } from "./world.ts";

/** How long a command of the schedule may take to end once everything is revived, in milliseconds. */
const COMMAND_MS = 45_000;
const TICK_MS = 45_000;
const MOST_TICKS = 7;
const AN_HOUR_AGO = new Date(Math.floor(Date.now() / 1000) * 1000 - 3_600_000);
/** How long what has been concluded may take to leave, in milliseconds. */
const TIDY_MS = 15_000;

/** Brings a world to rest. Tells what it had to complain about. */
export async function settle(world: World): Promise<string[]> {
  const complaints: string[] = [];
  world.note("-- revive");
  revive(world);
  for (const { args, pid, ticks, endedAt } of world.commands) {
    if (endedAt === undefined && args[1] === "--interval") world.signal({ pid, ticks }, "SIGTERM");
  }
  for (const command of world.commands) {
    if (await within(command.ended, COMMAND_MS)) continue;
    complaints.push(`"${command.args.join(" ")}" did not end`);
    world.signal(command, "SIGKILL");
    await command.ended;
  }
  for (const { args, code, stderr } of world.commands) {
    if (code === 70) complaints.push(`"${args.join(" ")}" had an internal error: ${stderr}`);
  }
  complaints.push(...await tickUntilCalm(world));
  // A canary may have died while it concluded: it leaves that to the next tick.
  await until(() => untidy(world));
  for (const path of temporaryFiles(world)) Deno.utimeSync(path, AN_HOUR_AGO, AN_HOUR_AGO);
  complaints.push(...await tickUntilCalm(world));
  complaints.push(...temporaryFiles(world).filter(isOld).map((path) => `left: ${path}`));
  complaints.push(...await until(() => untidy(world)));
  const living = world.observer.living(world.root, "server");
  if (living.length > 0) complaints.push(...await checkStatus(world));
  return complaints;
}

function revive(world: World): void {
  // Not asked whether they are stopped: that takes effect some time later.
  for (const held of world.held) world.signal(held, "SIGCONT");
  for (const pid of world.processes()) {
    const stat = statOf(pid);
    if (stat?.state === "T") world.signal({ pid, ticks: stat.ticks }, "SIGCONT");
  }
}

async function tickUntilCalm(world: World): Promise<string[]> {
  let last = "";
  for (let n = 0; n < MOST_TICKS; n++) {
    const { code, stdout, stderr } = await world.run(["supervise", "--once", "--json"], TICK_MS);
    if (code !== 0) return [`a tick failed: ${stdout}${stderr}`];
    world.note(`    ${outcomes(stdout)}`);
    const changed = stdout !== last;
    last = stdout;
    const restless = /"outcome": "(?:restarted|reaped-[a-z]+|skipped-error)"/.test(stdout);
    const ending = world.ownEnds.length > 0 && changed;
    if (!restless && (n > 0 || !ending)) return [];
  }
  return [`the ticks do not come to rest: ${outcomes(last)}`];
}

function outcomes(stdout: string): string {
  return JSON.parse(stdout).map((one: Record<string, string>) =>
    `${one["identity"]} ${one["outcome"]}${one["reason"] ? ` (${one["reason"]})` : ""}`
  ).join(", ");
}

/** Asks until there is nothing to complain about, or for too long. */
async function until(ask: () => string[]): Promise<string[]> {
  const deadline = performance.now() + TIDY_MS;
  while (true) {
    const complaints = ask();
    if (complaints.length === 0 || performance.now() > deadline) return complaints;
    await new Promise((wake) => setTimeout(wake, 30));
  }
}

/** Processes that ought not to be there, and canaries that ought to. */
function untidy(world: World): string[] {
  const { observer, root } = world;
  const servers = observer.living(root, "server");
  const canaries = observer.living(root, "canary");
  const complaints: string[] = [];
  for (const identity of new Set([...servers, ...canaries].map((one) => one.identity))) {
    const count = (some: { identity: string }[]) =>
      some.filter((one) => one.identity === identity).length;
    const [has, watched] = [count(servers), count(canaries)];
    if (has > 1) complaints.push(`${has} servers of ${identity}`);
    if (watched !== has) complaints.push(`${watched} canaries of ${identity}, servers: ${has}`);
  }
  const allowed = new Set([...servers, ...canaries].map(({ pid }) => pid));
  const clients = new Set(observer.living(root, "client").map(({ pid }) => pid));
  if (clients.size > canaries.length) complaints.push(`${clients.size} waiting clients`);
  for (const pid of world.processes()) {
    if (allowed.has(pid) || clients.has(pid) || hasAncestor(pid, allowed)) continue;
    complaints.push(`left running: ${pid} ${argsOf(pid).join(" ").slice(0, 160)}`);
  }
  for (const { pid } of [...servers, ...observer.living(root, "pane")]) {
    const leaked = environmentOf(pid).find((text) => text.startsWith("IAPEER_TEST_FAULT="));
    if (leaked !== undefined) complaints.push(`${leaked} reached ${pid}`);
  }
  return complaints;
}

function hasAncestor(pid: number, among: ReadonlySet<number>): boolean {
  for (let at = statOf(pid)?.ppid; at !== undefined && at > 1; at = statOf(at)?.ppid) {
    if (among.has(at)) return true;
  }
  return false;
}

/** What the program itself says of the sessions that live. */
async function checkStatus(world: World): Promise<string[]> {
  const { stdout, stderr } = await world.run(["status", "--json"], TICK_MS);
  const said: { identity: string; state: string; canary: { state: string; pid?: number } }[] =
    stdout === "" ? [] : JSON.parse(stdout);
  return world.observer.living(world.root, "server").flatMap(({ identity }) => {
    const one = said.find((other) => other.identity === identity);
    const pid = world.observer.living(world.root, "canary", identity)[0]?.pid;
    const good = one?.state === "alive" && one.canary.state === "armed" && one.canary.pid === pid;
    return good ? [] : [`status of ${identity}, canary ${pid}: ${JSON.stringify(one)} ${stderr}`];
  });
}

/** Stops every session; nothing may be left running then. */
export async function stopAll(world: World): Promise<string[]> {
  world.note("-- stop all");
  const { code, stderr } = await world.run(["stop", "--all"], TICK_MS);
  const complaints = code === 0 ? [] : [`stop --all failed: ${stderr}`];
  const left = await until(() =>
    world.processes().map((pid) => `left running: ${pid} ${argsOf(pid).join(" ").slice(0, 160)}`)
  );
  return [...complaints, ...left];
}

/** State files that are not as they ought to be. */
export function inconsistent(world: World): string[] {
  const { paths } = world;
  const complaints: string[] = [];
  for (const dir of [paths.sessions, paths.claims, paths.deaths]) {
    for (const name of namesIn(dir)) {
      if (name.endsWith(".tmp")) continue;
      try {
        const value = JSON.parse(Deno.readTextFileSync(join(dir, name)));
        if (!name.endsWith(".json")) complaints.push(`what is ${dir}/${name}?`);
        if (dir === paths.deaths) complaints.push(...aboutEntry(value));
        if (dir === paths.sessions && (value.state === "starting" || value.server !== undefined)) {
          complaints.push(`${name} still says ${value.state}, server ${value.server?.pid}`);
        }
      } catch (error) {
        complaints.push(`${dir}/${name} is not whole: ${error}`);
      }
    }
  }
  const entries = namesIn(paths.deaths);
  for (const name of namesIn(paths.locks)) {
    const id = /^(.*)\.death$/.exec(name)?.[1];
    if (id !== undefined && !entries.includes(`${id}.json`)) {
      complaints.push(`the lock of an entry that was never made is left: ${name}`);
    }
  }
  for (const name of namesIn(paths.run)) {
    // tmux leaves its own lock file when it dies while it starts.
    if (!name.endsWith(".lock")) complaints.push(`a socket is left: ${name}`);
  }
  return complaints;
}

function aboutEntry(death: { id: string; step: string; forensics?: string }): string[] {
  if (death.step !== "closed") return [`the entry of ${death.id} is at step ${death.step}`];
  try {
    if (death.forensics !== undefined && Deno.statSync(death.forensics).isFile) return [];
  } catch {
    // Said below.
  }
  return [`the entry of ${death.id} is closed without a snapshot`];
}

function namesIn(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map(({ name }) => name);
  } catch {
    return [];
  }
}

/** What writers that were killed have left half written. */
function temporaryFiles({ paths }: World): string[] {
  const { sessions, claims, deaths, locks, requests, serverDeaths } = paths;
  return [dirname(sessions), sessions, claims, deaths, locks, requests, serverDeaths].flatMap((
    dir,
  ) =>
    namesIn(dir).filter((name) =>
      dir === requests || name.endsWith(".tmp") || name.startsWith("rehearsal-")
    )
      .map((name) => join(dir, name))
  );
}

function isOld(path: string): boolean {
  try {
    return Deno.statSync(path).mtime! <= AN_HOUR_AGO;
  } catch {
    return false;
  }
}

/** The fault points at which a process has died. */
export function faultsHit(world: World): string[] {
  try {
    return Deno.readTextFileSync(world.faults).split("\n").filter((line) => line !== "")
      .map((line) => line.split(" ")[0]!);
  } catch {
    return [];
  }
}
