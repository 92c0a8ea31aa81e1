/**
 * What really runs: processes seen in `/proc`, by pid and start time, without
 * a look into any file of the program under test.
 *
 * @module
 */

/** What a process is to a schedule. */
export type Role = "server" | "canary" | "client" | "pane";

/** One incarnation of a process. */
export interface Seen {
  readonly pid: number;
  /** Start in clock ticks since boot: with the pid, an identity. */
  readonly ticks: number;
  readonly ppid: number;
  readonly role: Role;
  readonly root: string;
  readonly identity: string;
  /** Milliseconds of the monotonic clock. */
  readonly firstAt: number;
  /** When it was gone, or a zombie. */
  goneAt: number | undefined;
  stopped: boolean;
}

/** What `/proc/PID/stat` says. */
export interface Stat {
  readonly state: string;
  readonly ppid: number;
  readonly ticks: number;
}

/** Pause between two looks, in milliseconds. */
const LOOK_MS = 6;
/** A process may change its command line (fork, then exec) as long as it is so young. */
const YOUNG_MS = 400;
const YOUNG_LOOKS = 30;

/** Reads `/proc/PID/stat`; `undefined` for a process that is not there. */
export function statOf(pid: number): Stat | undefined {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0]!, ppid: Number(fields[1]), ticks: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

/** The arguments of a process; none for a zombie. */
export function argsOf(pid: number): string[] {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0").slice(0, -1);
  } catch {
    return [];
  }
}

/** The pids of this machine. */
export function allPids(): number[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((pid) => pid > 0);
}

function alive(stat: Stat | undefined): stat is Stat {
  return stat !== undefined && stat.state !== "Z" && stat.state !== "X";
}

/** Watches the processes of all schedules that are under way. */
export class Observer implements Disposable {
  readonly #seen: Seen[] = [];
  readonly #current = new Map<number, Seen>();
  /** How often, and since when, a process has been looked at. */
  readonly #looks = new Map<number, { count: number; readonly since: number }>();
  #over = false;

  constructor() {
    this.#look();
    void this.#watch();
  }

  async #watch(): Promise<void> {
    while (!this.#over) {
      await new Promise((wake) => setTimeout(wake, LOOK_MS));
      this.#look();
    }
  }

  #look(): void {
    const now = performance.now();
    const pids = allPids();
    for (const seen of this.#current.values()) this.#lookAgain(seen, now);
    for (const pid of pids) {
      const looks = this.#looks.get(pid) ?? { count: 0, since: now };
      // On a busy machine little happens between two looks.
      if (looks.count > YOUNG_LOOKS && now - looks.since > YOUNG_MS) continue;
      looks.count++;
      this.#looks.set(pid, looks);
      this.#identify(pid, now);
    }
    const there = new Set(pids);
    for (const pid of this.#looks.keys()) if (!there.has(pid)) this.#looks.delete(pid);
  }

  #lookAgain(seen: Seen, now: number): void {
    const stat = statOf(seen.pid);
    if (alive(stat) && stat.ticks === seen.ticks) {
      seen.stopped = stat.state === "T";
      return;
    }
    seen.goneAt = now;
    this.#current.delete(seen.pid);
    // The pid may have come again already.
    this.#looks.delete(seen.pid);
  }

  #identify(pid: number, now: number): void {
    const args = argsOf(pid);
    // One that is being killed has lost its arguments already, or some of them.
    if (args.length === 0 || args[0] === "") return;
    const what = classify(args);
    const known = this.#current.get(pid);
    if (known?.role === what?.role && known?.identity === what?.identity) return;
    // A server's own children are told by their parent: nothing else follows a server.
    if (known?.role === "server" && what === undefined) return;
    const stat = statOf(pid);
    if (!alive(stat)) return;
    if (known !== undefined) {
      // A child between fork and exec looked like its parent.
      this.#seen.splice(this.#seen.indexOf(known), 1);
      this.#current.delete(pid);
    }
    if (
      what === undefined || this.#current.get(stat.ppid)?.role === "server" && what.role !== "pane"
    ) {
      return;
    }
    const { ticks, ppid } = stat;
    const seen: Seen = {
      pid,
      ticks,
      ppid,
      ...what,
      firstAt: now,
      goneAt: undefined,
      stopped: stat.state === "T",
    };
    this.#seen.push(seen);
    this.#current.set(pid, seen);
  }

  /** Everything that was ever seen of a root, oldest first. */
  of(root: string, role: Role, identity?: string): Seen[] {
    return this.#seen.filter((seen) =>
      seen.root === root && seen.role === role &&
      (identity === undefined || seen.identity === identity)
    );
  }

  /** What lives of a root, looked at now. */
  living(root: string, role: Role, identity?: string): Seen[] {
    this.#look();
    return this.of(root, role, identity).filter(({ goneAt }) => goneAt === undefined);
  }

  /** Forgets a root, whose schedule is over. */
  forget(root: string): void {
    for (let n = this.#seen.length - 1; n >= 0; n--) {
      const seen = this.#seen[n]!;
      if (seen.root !== root) continue;
      this.#seen.splice(n, 1);
      if (this.#current.get(seen.pid) === seen) this.#current.delete(seen.pid);
    }
  }

  [Symbol.dispose](): void {
    this.#over = true;
  }
}

/** Tells from its arguments what a process is. */
function classify(
  args: readonly string[],
): { role: Role; root: string; identity: string } | undefined {
  const [program = ""] = args;
  if (/(?:^|\/)tmux$/.test(program)) {
    const sock = args[args.indexOf("-S") + 1] ?? "";
    const [, root, identity] = /^(.*)\/run\/([^/]+)\.sock$/.exec(sock) ?? [];
    if (root === undefined || identity === undefined) return undefined;
    if (args[1] === "-D") return { role: "server", root, identity };
    return args.includes("wait-for") && !args.includes("-S", args.indexOf("wait-for"))
      ? { role: "client", root, identity }
      : undefined;
  }
  const pane = args.indexOf("chaos-session");
  if (pane > 0) return { role: "pane", root: args[pane + 1]!, identity: args[pane + 2]! };
  const main = args.findIndex((arg) => arg.endsWith("/main.ts"));
  if (main === -1 || args[main + 1] !== "canary") return undefined;
  const value = (flag: string) => args[args.indexOf(flag) + 1]!;
  return { role: "canary", root: value("--root"), identity: value("--identity") };
}
