/**
 * The watchers that are compared: each is set up on a fresh server, its server
 * is killed, and what became of that is measured.
 *
 * @module
 */

import { checkWall, middleOf, wallOrigin } from "./clock.ts";
import type { Death } from "../lib/deaths.ts";
import { canaryChannel } from "../lib/tmux.ts";
import { LogWatch } from "./watch_log.ts";
import { pause, type Talker, within, type World } from "./world.ts";

/** Figure by name, in milliseconds or bytes. */
export type Measured = Readonly<Record<string, number>>;

/** What all rounds share. */
export interface Bench {
  readonly world: World;
  /** The log of the root, and that of the sh canary. */
  readonly exits: LogWatch;
  readonly shLog: LogWatch;
  /** Whether verdicts are waited for; nobody does so twice in vain. */
  verdicts: boolean;
  /** Why no server can be OOM-killed here; why the kernel's log cannot tell when, `""` if it can. */
  readonly oom: { cannot?: string; trouble?: string };
}

/** How long a watcher is left alone before its server is killed, in milliseconds. */
export const SETTLE_MS = 500;
const RECORD_MS = 20_000;
/** How long a verdict may take, in milliseconds. */
export const VERDICT_MS = 16_000;
/** What runs in every session. */
const PROGRAM = ["sleep", "86400"];
const CONF = "/dev/null";

/** A server that is watched. */
export interface Watched {
  readonly identity: string;
  readonly serverPid: number;
  /** How long it took until it was, in milliseconds, by name of the figure. */
  readonly start: Measured;
}

/** Opens what all rounds share. */
export function openBench(world: World): Bench {
  Deno.mkdirSync(world.path("sh"));
  Deno.mkdirSync(world.paths.logs, { recursive: true });
  for (const dir of [world.paths.root, `${world.paths.root}/logs`, world.paths.logs]) {
    Deno.chmodSync(dir, 0o700);
  }
  return {
    world,
    exits: new LogWatch(world.paths.logs, "exits.log"),
    shLog: new LogWatch(world.path("sh"), "exits.log"),
    verdicts: true,
    oom: {},
  };
}

/** Launches a session as users do. */
export async function launchOwn(
  { world }: Bench,
  identity: string,
  program: readonly string[] = PROGRAM,
): Promise<Watched> {
  const start = performance.now();
  const args = ["--identity", identity, "--tmux-conf", CONF, "--", ...program];
  const cli = world.iapeer("launch", args);
  const line = await cli.line();
  const ms = performance.now() - start;
  const pid = /^READY .*server_pid=(\d+)/.exec(line ?? "")?.[1];
  if (await cli.ended !== 0 || pid === undefined) throw new Error("Cannot measure: launch failed");
  return { identity, serverPid: Number(pid), start: { start: ms } };
}

/** Starts a server without anything else, as `tmux new-session` does. */
async function plainServer(
  { world }: Bench,
  sock: string,
  program: readonly string[] = PROGRAM,
): Promise<Watched> {
  const start = performance.now();
  const made = await world.run("tmux", [
    ...["-S", sock, "-f", CONF, "new-session", "-d", "-P", "-F", "#{pid}"],
    ...program,
  ]);
  const ms = performance.now() - start;
  if (made.code !== 0) throw new Error(`Cannot measure: tmux failed`);
  return { identity: "", serverPid: Number(made.text), start: { start: ms } };
}

/** Starts a server and lets iapeer adopt it. */
export async function adoptPlain(
  bench: Bench,
  identity: string,
  program: readonly string[] = PROGRAM,
): Promise<Watched> {
  const sock = bench.world.path(`${identity}.sock`);
  const { serverPid } = await plainServer(bench, sock, program);
  const start = performance.now();
  const cli = bench.world.iapeer("adopt", ["--identity", identity, "--sock", sock]);
  const line = await cli.line();
  const ms = performance.now() - start;
  if (await cli.ended !== 0 || !line?.startsWith("ADOPTED ")) {
    throw new Error("Cannot measure: adopt failed");
  }
  return { identity, serverPid, start: { start: ms } };
}

/** The sh canary on a server of its own. */
export async function startSh(
  bench: Bench,
  identity: string,
): Promise<Watched & { canary: Talker; snapshot: string }> {
  const { world } = bench;
  const sock = world.path(`${identity}.sock`);
  const plain = await plainServer(bench, sock);
  const script = new URL("./sh_canary.sh", import.meta.url).pathname;
  const snapshot = world.path(`sh/${identity}.txt`);
  const args = [script, sock, canaryChannel(identity), snapshot, world.path("sh/exits.log")];
  return { ...plain, identity, canary: world.start("sh", args), snapshot };
}

/** A kill, and the axis on which its consequences are placed. */
interface Kill {
  /** Of `performance.now()`. */
  readonly at: number;
  /** Milliseconds from the kill to a stamp of another process. */
  since(epochMs: number): number;
  /** Throws if the wall clock was set since the kill. */
  check(): void;
}

function killNow(pid: number): Kill {
  const origin = wallOrigin();
  // The origin is found as a millisecond begins. Others' stamps are whole ones:
  // kills that all fell on the same fraction would all be off by the same amount.
  const fraction = Math.random();
  const from = performance.now();
  while (performance.now() - from < fraction);
  const at = performance.now();
  Deno.kill(pid, "SIGKILL");
  return {
    at,
    since: (epochMs) => epochMs - (origin + at),
    check: () => checkWall(origin),
  };
}

/** Own mode: the canary is the server's parent. */
export async function roundOwn(bench: Bench, n: number): Promise<Measured> {
  return await roundIapeer(bench, await launchOwn(bench, `own-r${n}`));
}

/** Attach mode: the canary is a client of the server. */
export async function roundAttach(bench: Bench, n: number): Promise<Measured> {
  return await roundIapeer(bench, await adoptPlain(bench, `attach-r${n}`));
}

async function roundIapeer(bench: Bench, watched: Watched): Promise<Measured> {
  const { identity, serverPid, start } = watched;
  await pause(SETTLE_MS);
  const kill = killNow(serverPid);
  const line = await bench.exits.line({ ev: "server-exit", identity }, RECORD_MS);
  if (line === undefined) throw new Error(`Cannot measure: no record of ${identity} came`);
  const verdict = bench.verdicts
    ? await bench.exits.line({ ev: "server-verdict", identity }, VERDICT_MS)
    : undefined;
  if (verdict === undefined) bench.verdicts = false;
  const death = await closedDeath(bench, line.fields.get("death") ?? "");
  kill.check();
  return {
    ...start,
    noticed: kill.since(middleOf(death.observedAt)),
    seen: line.at - kill.at,
    ...(death.recordedAt === undefined ? {} : { durable: kill.since(middleOf(death.recordedAt)) }),
    ...(death.snapshotAt === undefined ? {} : { snapshot: kill.since(middleOf(death.snapshotAt)) }),
    ...(verdict === undefined ? {} : { verdict: verdict.at - kill.at }),
    ...(death.forensics === undefined ? {} : { bytes: Deno.statSync(death.forensics).size }),
  };
}

/** The journal's entry once its canary is through with it. */
export async function closedDeath({ world }: Bench, id: string): Promise<Death> {
  const deadline = performance.now() + RECORD_MS;
  while (performance.now() < deadline) {
    const death: Death = JSON.parse(Deno.readTextFileSync(world.paths.death(id)));
    if (death.step === "closed") return death;
    await pause(50);
  }
  throw new Error(`Cannot measure: the entry of ${id} stays open`);
}

/** The baseline. */
export async function roundSh(bench: Bench, n: number): Promise<Measured> {
  const { identity, serverPid, start, canary, snapshot } = await startSh(bench, `sh-r${n}`);
  await pause(SETTLE_MS);
  const kill = killNow(serverPid);
  const channel = canaryChannel(identity);
  const line = await bench.shLog.line({ ev: "server-exit", channel }, RECORD_MS);
  if (line === undefined) throw new Error("Cannot measure: the sh canary wrote nothing");
  await within(canary.ended, "the sh canary does not end");
  const snapshotAt = bench.shLog.changed(snapshot);
  return {
    ...start,
    seen: line.at - kill.at,
    durable: line.at - kill.at,
    ...(snapshotAt === undefined ? {} : { snapshot: snapshotAt - kill.at }),
    bytes: Deno.statSync(snapshot).size,
  };
}

/** A parent in Deno that does nothing but wait. */
export async function roundBareDeno(bench: Bench, n: number): Promise<Measured> {
  return await roundBare(await startBareDeno(bench, `deno-r${n}`));
}

/** A parent that blocks in waitpid(2). */
export async function roundBarePython(bench: Bench, n: number): Promise<Measured> {
  const script = new URL("./bare_parent.py", import.meta.url).pathname;
  return await roundBare(await startBare(bench, "python3", [script], `python-r${n}`));
}

/** A parent that waits, and its server. */
interface Bare {
  readonly parent: Talker;
  readonly serverPid: number;
}

/** Starts the parent in Deno. */
export function startBareDeno(bench: Bench, name: string): Promise<Bare> {
  const script = new URL("./bare_parent.ts", import.meta.url).pathname;
  const args = ["run", "--quiet", "--allow-run=tmux", script];
  return startBare(bench, Deno.execPath(), args, name);
}

async function startBare(
  { world }: Bench,
  program: string,
  args: readonly string[],
  name: string,
): Promise<Bare> {
  const sock = world.path(`${name}.sock`);
  const parent = world.start(program, [...args, sock]);
  const serverPid = Number(await parent.line());
  const session = ["-N", "-S", sock, "new-session", "-d", ...PROGRAM];
  while ((await world.run("sh", ["-c", 'exec tmux "$@" 2>/dev/null', "tmux", ...session])).code) {
    await pause(10);
  }
  return { parent, serverPid };
}

async function roundBare({ parent, serverPid }: Bare): Promise<Measured> {
  await pause(SETTLE_MS);
  const kill = killNow(serverPid);
  const noticed = kill.since(Number(await parent.line()));
  await within(parent.ended, "the bare parent does not end");
  kill.check();
  return { noticed };
}
