/**
 * Carrying out a schedule.
 *
 * @module
 */

import { type Deed, describe, type Schedule, type Target } from "./schedule.ts";
import { type Command, within, type World } from "./world.ts";

/** How long a command that is waited for holds up the schedule, in milliseconds. */
const WAIT_MS = 2000;
/** How long a look for a target that does not run yet may take, in milliseconds. */
const TARGET_MS = 120;
/** A client that a command has left behind has been heard by then, in milliseconds. */
const CALM_MS = 500;

const SCRIPT = "trap 'exit 0' USR1; trap 'exit 3' USR2; while :; do read x || exit 9; done";

/**
 * Does what a schedule says.
 *
 * @param world Where.
 * @param schedule What.
 */
export async function perform(world: World, schedule: Schedule): Promise<void> {
  for (const step of schedule.steps) {
    await sleep(step.after);
    world.note(describe(step));
    world.deeds.push({ deed: step, at: performance.now() });
    const command = await act(world, step);
    if (command !== undefined && "wait" in step && step.wait) await within(command.ended, WAIT_MS);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}

async function act(world: World, deed: Deed): Promise<Command | undefined> {
  switch (deed.do) {
    case "launch":
      return launch(world, deed);
    case "stop":
    case "start":
      return world.start([deed.do, deed.who], deed);
    case "tick":
      return world.start(["supervise", "--once", "--json"], deed);
    case "daemon":
      return await daemon(world, deed);
    case "end":
      return end(world, deed);
    case "signal":
      return await signal(world, deed);
    case "kill-server":
      return killServer(world, deed.who);
    case "age-claim":
      return ageClaim(world, deed.who);
  }
}

/** A daemon is not waited for as others are: it does not end. */
async function daemon(world: World, deed: Extract<Deed, { do: "daemon" }>): Promise<undefined> {
  const command = world.start(["supervise", "--interval", "1"], deed);
  for (let n = 0; deed.wait && n < WAIT_MS / 5; n++) {
    if (command.endedAt !== undefined || command.stdout.includes("SUPERVISING ")) return;
    await sleep(5);
  }
}

function launch(world: World, deed: Extract<Deed, { do: "launch" }>): Command {
  const { who, program, restart, replace, direct } = deed;
  const script = program === "ends-0" ? "exit 0" : program === "ends-3" ? "exit 3" : SCRIPT;
  const conf = `${world.base}/broken.conf`;
  if (program === "broken") Deno.writeTextFileSync(conf, `new-session -d -s ${who} sleep 1000\n`);
  const args = [
    "launch",
    "--identity",
    who,
    "--restart",
    restart,
    "--cwd",
    "/",
    ...(replace ? ["--replace"] : []),
    ...(direct ? ["--direct"] : []),
    ...(program === "broken" ? ["--tmux-conf", conf] : []),
    "--",
    "sh",
    "-c",
    script,
    "chaos-session",
    world.root,
    who,
  ];
  return world.start(args, deed);
}

function end(world: World, deed: Extract<Deed, { do: "end" }>): undefined {
  const pane = world.youngest("pane", deed.who);
  if (pane === undefined) return;
  const server = world.observer.living(world.root, "server", deed.who)
    .find(({ pid }) => pid === pane.ppid);
  const signal = ({ "exit 0": "SIGUSR1", "exit 3": "SIGUSR2" } as const)[deed.how as string] ??
    deed.how as Deno.Signal;
  world.ownEnds.push({ server, at: performance.now() });
  world.note(`    ${signal} to the pane ${pane.pid}`);
  world.signal(pane, signal);
}

async function signal(
  world: World,
  deed: Extract<Deed, { do: "signal" }>,
): Promise<undefined> {
  const find = () => targetOf(world, deed.who, deed.target);
  let target = find();
  for (let n = 0; target === undefined && n < TARGET_MS / 5; n++) {
    await sleep(5);
    target = find();
  }
  if (target === undefined) return;
  const fatal = deed.signal === "SIGKILL" || deed.signal === "SIGTERM";
  if (deed.target === "server" && fatal) {
    const server = world.observer.living(world.root, "server", deed.who)
      .find(({ pid, ticks }) => pid === target.pid && ticks === target.ticks);
    if (server === undefined) return;
    world.blows.push({ server, at: performance.now(), what: deed.signal });
  }
  if (deed.signal === "SIGSTOP") {
    world.held.push({ pid: target.pid, ticks: target.ticks, at: performance.now() });
  }
  const sent = world.signal(target, deed.signal);
  if (deed.target === "server" && fatal && !sent) world.blows.pop();
  world.note(`    ${sent ? "sent to" : "too late for"} ${target.pid}`);
}

function targetOf(
  world: World,
  who: string,
  target: Target,
): { pid: number; ticks: number | undefined } | undefined {
  if (target === "server" || target === "canary" || target === "client") {
    return world.youngest(target, who);
  }
  const name = target === "tick" ? "supervise" : target;
  return world.commands.findLast(({ args, endedAt }) =>
    endedAt === undefined &&
    (target === "daemon"
      ? args[0] === "supervise" && args[1] === "--interval"
      : args[0] === name && args[1] !== "--interval")
  );
}

/** As a user would by hand. */
function killServer(world: World, who: string): undefined {
  const server = world.youngest("server", who);
  if (server === undefined) return;
  world.blows.push({ server, at: performance.now(), what: "kill-server" });
  world.note(`    kill-server to ${server.pid}`);
  const child = new Deno.Command("timeout", {
    args: ["5", "tmux", "-N", "-S", world.paths.sock(who), "kill-server"],
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  void child.status;
}

/**
 * Half a minute passes for a claim: its time is moved back, on both clocks. Not
 * while a teardown may be under way, which never takes so long.
 */
function ageClaim(world: World, who: string): undefined {
  const path = world.paths.claim(who);
  const calmSince = performance.now() - CALM_MS;
  if (world.commands.some(({ endedAt }) => endedAt === undefined || endedAt > calmSince)) return;
  try {
    const claim = JSON.parse(Deno.readTextFileSync(path));
    if (claim.spent === true || claim.who === "exit-hook") return;
    claim.at -= 31_000;
    if (claim.uptime !== undefined) claim.uptime -= 31;
    const temporary = `${path}.aged`;
    Deno.writeTextFileSync(temporary, JSON.stringify(claim) + "\n");
    Deno.renameSync(temporary, path);
    world.note(`    the claim of ${claim.who} on ${claim.server.pid}`);
  } catch {
    // There is no claim: nothing can age.
  }
}
