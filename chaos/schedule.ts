/**
 * What a schedule does: steps and pauses, all of it decided by the seed.
 *
 * @module
 */

import { aim } from "./aim.ts";
import { Random } from "./random.ts";
import { scenario } from "./scenarios.ts";

/** "Die right here": see lib/fault.ts. */
export interface Fault {
  /** The command whose process dies. */
  readonly command: "launch" | "start" | "canary" | "supervise" | "stop";
  readonly point: string;
  /** When it comes there for the n-th time. */
  readonly n: number;
}

/** What a session runs. */
export type Program =
  /** Waits until it is told to end. */
  | "waits"
  /** Ends at once, with exit code 0 or 3. */
  | "ends-0"
  | "ends-3"
  /** A configuration of tmux that takes the session's name away: the launch fails. */
  | "broken";

/** How a session is ended from within. */
export type PaneEnd = "exit 0" | "exit 3" | "SIGKILL" | "SIGTERM";

/** What a signal goes to. The last two are commands of the schedule itself. */
export type Target = "server" | "canary" | "client" | "daemon" | "launch" | "tick";

/** Signals that a schedule sends. */
export type Sent = "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGTERM";

/** One thing that is done. */
export type Deed =
  | {
    readonly do: "launch";
    readonly who: string;
    readonly program: Program;
    readonly restart: "never" | "on-failure" | "always";
    readonly replace: boolean;
    /** Without the daemon, though there may be one. */
    readonly direct?: boolean;
    readonly wait: boolean;
    readonly fault?: Fault;
    /** Its canary dies, too. */
    readonly canaryFault?: Fault;
  }
  | {
    readonly do: "stop" | "start";
    readonly who: string;
    readonly wait: boolean;
    readonly fault?: Fault;
  }
  | { readonly do: "tick"; readonly wait: boolean; readonly fault?: Fault }
  /** Waiting for it is waiting until it is at work. */
  | { readonly do: "daemon"; readonly wait: boolean; readonly fault?: Fault }
  | { readonly do: "end"; readonly who: string; readonly how: PaneEnd }
  | {
    readonly do: "signal";
    readonly who: string;
    readonly target: Target;
    readonly signal: Sent;
  }
  | { readonly do: "kill-server"; readonly who: string }
  /** Lets half a minute pass for a claim. */
  | { readonly do: "age-claim"; readonly who: string };

/** A deed and the pause before it. */
export type Step = Deed & { readonly after: number };

/** A whole schedule. */
export interface Schedule {
  readonly seed: number;
  readonly steps: readonly Step[];
}

const WHO = ["chaos-a", "chaos-b"] as const;

/**
 * The schedule of a seed.
 *
 * @param seed Any integer.
 * @param points The fault points that there are.
 * @returns The same for the same arguments.
 */
export function scheduleOf(seed: number, points: readonly string[]): Schedule {
  const random = new Random(seed);
  const steps: Step[] = [];
  const add = (deed: Deed, after = random.pause()) => steps.push({ ...deed, after });
  const who = random.pick(WHO);
  // Seeds that follow one another aim at every point in turn.
  const aimed = seed % 2 === 0 ? points[seed / 2 % points.length] : undefined;
  const kind = random.weigh({ scenario: 70, random: 30 });
  switch (aimed === undefined ? kind : "aimed") {
    case "aimed":
      for (const [deed, after] of aim(random, aimed!, who)) add(deed, after);
      for (let n = random.whole(0, 4); n > 0; n--) add(randomDeed(random, points, who));
      break;
    case "scenario":
      for (const [deed, after] of scenario(random, WHO)) add(deed, after);
      for (let n = random.whole(0, 2); n > 0; n--) add(randomDeed(random, points, who));
      break;
    case "random":
      add(launchDeed(random, points, who));
      for (let n = random.whole(3, 9); n > 0; n--) {
        add(randomDeed(random, points, random.pick(WHO)));
      }
  }
  return { seed, steps };
}

function launchDeed(random: Random, points: readonly string[], who: string): Deed {
  return {
    do: "launch",
    who,
    program: random.weigh({ "waits": 10, "ends-0": 1, "ends-3": 1, "broken": 0.4 }),
    restart: random.weigh({ "never": 3, "on-failure": 1, "always": 2 }),
    replace: random.chance(0.3),
    ...(random.chance(0.15) ? { direct: true } : {}),
    wait: random.chance(0.6),
    ...maybeFault(random, points, ["launch", "canary"]),
  };
}

function randomDeed(random: Random, points: readonly string[], who: string): Deed {
  const wait = random.chance(0.4);
  switch (
    random.weigh({
      launch: 5,
      stop: 2.5,
      start: 1,
      tick: 3,
      daemon: 0.8,
      end: 2,
      signal: 9,
      "kill-server": 1,
      "age-claim": 0.3,
    })
  ) {
    case "launch":
      return launchDeed(random, points, who);
    case "stop":
      return { do: "stop", who, wait, ...maybeFault(random, points, ["stop"]) };
    case "start":
      return { do: "start", who, wait, ...maybeFault(random, points, ["start", "canary"]) };
    case "tick":
      return { do: "tick", wait, ...maybeFault(random, points, ["supervise", "canary"]) };
    case "daemon":
      return { do: "daemon", wait, ...maybeFault(random, points, ["supervise", "canary"]) };
    case "end":
      return { do: "end", who, how: random.pick(["exit 0", "exit 3", "SIGKILL", "SIGTERM"]) };
    case "signal":
      return {
        do: "signal",
        who,
        target: random.weigh({ server: 4, canary: 4, client: 1, daemon: 1, launch: 1.5, tick: 1 }),
        signal: random.weigh({ SIGKILL: 5, SIGSTOP: 2.5, SIGCONT: 1, SIGTERM: 1.5 }),
      };
    case "kill-server":
      return { do: "kill-server", who };
    case "age-claim":
      return { do: "age-claim", who };
  }
}

function maybeFault(
  random: Random,
  points: readonly string[],
  commands: readonly Fault["command"][],
): { fault?: Fault } {
  if (!random.chance(0.3)) return {};
  const fault = { command: random.pick(commands), point: random.pick(points) };
  return { fault: { ...fault, n: random.chance(0.7) ? 1 : random.whole(2, 5) } };
}

/** The faults of a deed. */
export function faultsOf(deed: Deed): Fault[] {
  const fault = "fault" in deed ? deed.fault : undefined;
  const canarys = deed.do === "launch" ? deed.canaryFault : undefined;
  return [fault, canarys].filter((one) => one !== undefined);
}

/**
 * A step, for people.
 *
 * @param deed What is done.
 * @returns One line.
 */
export function describe(deed: Deed): string {
  const words: string[] = [deed.do];
  if ("who" in deed) words.push(deed.who);
  switch (deed.do) {
    case "launch":
      words.push(deed.program, `restart=${deed.restart}`);
      if (deed.replace) words.push("--replace");
      if (deed.direct) words.push("--direct");
      break;
    case "end":
      words.push(deed.how);
      break;
    case "signal":
      words.push(deed.signal, "to", deed.target);
      break;
  }
  for (const { command, point, n } of faultsOf(deed)) {
    words.push(`(${command} dies at ${point}${n === 1 ? "" : `, time ${n}`})`);
  }
  if ("wait" in deed && !deed.wait) words.push("&");
  return words.join(" ");
}
