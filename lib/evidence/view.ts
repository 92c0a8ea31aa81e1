/**
 * What the evidence says about one server: the facts that are about it and of
 * its time, and which kinds of evidence could be seen at all.
 *
 * @module
 */

import {
  type DeathFacts,
  earliestDeath,
  type Evidence,
  type Fact,
  type Finding,
  LATE_REPORT,
  ROLES,
  windowOf,
} from "../evidence.ts";

/** How the server ended, as far as that was seen. */
export type Fate =
  | "killed"
  | "crashed"
  | "asked"
  | "signalled"
  | "orderly"
  | "failed"
  | "vanished"
  | "unseen";

/** The facts of one kind. */
export type Of<K extends Fact["kind"]> = Extract<Fact, { kind: K }>;

/** The evidence as the decision table asks for it. */
export interface View {
  /** What was observed. */
  readonly death: DeathFacts;
  /** What was found. */
  readonly findings: readonly Finding[];
  /** How the server ended. */
  readonly fate: Fate;
  /** The kernel OOM-killed the server. */
  readonly oom: Of<"oom-kill"> | undefined;
  /** earlyoom signalled the server. */
  readonly earlyoom: Of<"earlyoom"> | undefined;
  /** A jetsam report names the server. */
  readonly jetsam: Of<"jetsam"> | undefined;
  /** A kernel line of macOS names the server. */
  readonly memorystatus: Of<"memorystatus"> | undefined;
  /** A crash report names the server. */
  readonly report: Of<"crash-report"> | undefined;
  /** A kernel line says that the server crashed. */
  readonly kernelCrash: Of<"kernel-crash"> | undefined;
  /** The server dumped core. */
  readonly core: Of<"core-dump"> | undefined;
  /** systemd killed the server. */
  readonly systemdKill: Of<"systemd-kill"> | undefined;
  /** macOS ended the coalition, naming the server. */
  readonly coalitionOwn: Of<"coalition-kill"> | undefined;
  /** macOS ended some coalition at that time. */
  readonly coalitionNear: Of<"coalition-kill"> | undefined;
  /** systemd-oomd emptied a unit that the server lived in. */
  readonly oomd: Of<"unit-oom"> | undefined;
  /** The kernel's OOM killer struck in the server's own unit. */
  readonly unitOom: Of<"unit-oom"> | undefined;
  /** A login session of the server was being stopped just then. */
  readonly logoutNear: Of<"logout"> | undefined;
  /** The same, so long before that systemd has lost patience. */
  readonly logoutEarlier: Of<"logout"> | undefined;
  /** A unit of the server was being stopped just then. */
  readonly unitStop: Of<"unit-stop"> | undefined;
  /** A logout, where it is not known whether it concerns the server. */
  readonly logoutLoose: Of<"logout"> | undefined;
  /** The host was going down. */
  readonly shutdown: Of<"shutdown"> | undefined;
  /** A counter rose. */
  readonly counter: Of<"oom-counter"> | undefined;
  /** The kernel named others who account for the rise. */
  readonly counterExplained: boolean;
  /** A process of the server's panes that was killed for want of memory. */
  readonly paneOom: readonly Victim[];
  /** A process that was OOM-killed and is none of the server's. */
  readonly otherOom: Of<"oom-kill"> | undefined;
  /** A place that would show an OOM kill could be looked at. */
  readonly oomSeen: boolean;
  /** A place that would show a crash could be looked at. */
  readonly crashSeen: boolean;
  /** Whether the kernel's log could be read, or none was there to read. */
  readonly kernelLog: "seen" | "unseen" | "absent";
}

/** A process killed for want of memory. */
export interface Victim {
  /** Who. */
  readonly pid: number;
  /** Its name, or empty. */
  readonly name: string;
  /** The line that says so. */
  readonly line: string;
}

/** Signals that a process gets by its own doing, as a rule. */
const CRASH_SIGNALS = "SIGSEGV SIGABRT SIGIOT SIGBUS SIGILL SIGFPE SIGTRAP SIGSYS".split(" ");
const POLITE_SIGNALS = ["SIGTERM", "SIGHUP", "SIGINT"];

/** A unit's stop ends a server within this many seconds, if it sends it TERM. */
const STOP_REACH = 15;
/** Time in which systemd loses patience and kills: 90 s by default. */
const KILL_REACH = 120;

/**
 * Sorts what was observed.
 *
 * @param death The death.
 * @returns How the server ended.
 */
export function fateOf(death: DeathFacts): Fate {
  const { cause, signal, code } = death;
  if (cause === "vanished" || cause === "orderly") return cause;
  if (cause === "exit-code") {
    return code === undefined ? "unseen" : code === 0 ? "orderly" : "failed";
  }
  if (cause !== "signal" || signal === undefined) return "unseen";
  if (signal === "SIGKILL") return "killed";
  if (CRASH_SIGNALS.includes(signal)) return "crashed";
  return POLITE_SIGNALS.includes(signal) ? "asked" : "signalled";
}

/**
 * Tells whom a fact says was killed for want of memory.
 *
 * @param fact A fact of any kind.
 * @returns The victim, or `undefined` if the fact is about other things.
 */
export function victimOf(fact: Fact): Victim | undefined {
  if (
    fact.kind === "oom-kill" || fact.kind === "earlyoom" ||
    fact.kind === "memorystatus"
  ) {
    return { pid: fact.pid, name: fact.name, line: fact.line };
  }
  if (fact.kind !== "jetsam") return undefined;
  return { pid: fact.pid, name: fact.name, line: `jetsam: ${fact.reason}` };
}

/**
 * Looks at the evidence from the server's point of view.
 *
 * @param evidence What was observed and found.
 * @returns What of it concerns the server.
 */
export function viewOf(evidence: Evidence): View {
  const { death, findings } = evidence;
  const fate = fateOf(death);
  const { from, to } = windowOf(death);
  const { pid, name } = death.server;
  const facts = findings.flatMap((finding) => finding.facts).filter((fact) => {
    const at = "at" in fact ? fact.at : undefined;
    const late = fact.kind === "jetsam" || fact.kind === "crash-report" ? LATE_REPORT : 0;
    return at === undefined || (at >= from && at <= to + late);
  });
  const all = <K extends Fact["kind"]>(kind: K) =>
    facts.filter((fact): fact is Of<K> => fact.kind === kind);
  // Nobody saw when it died: another process may have had the pid since, but not the name.
  const named = (theirs: string) =>
    fate !== "unseen" || theirs === "" ||
    (name === undefined ? theirs.includes("tmux") : theirs.slice(0, 15) === name.slice(0, 15));
  const own = <K extends Fact["kind"]>(kind: K) =>
    all(kind).findLast((fact) =>
      "pid" in fact && fact.pid === pid &&
      (!("name" in fact) || named(fact.name))
    );
  const near = <F extends Fact & { readonly at?: number }>(
    list: F[],
    reach: number,
  ) => list.findLast(({ at }) => at !== undefined && at >= earliestDeath(death) - reach);

  const home = all("unit").find((fact) => fact.pid === pid)?.units;
  const innermost = home?.findLast((unit) => !unit.endsWith(".slice"));
  const mine = (fact: { readonly unit?: string }) =>
    fact.unit !== undefined && home?.includes(fact.unit) === true;

  const kills = all("oom-kill");
  const victims = kills.filter((fact) => fact.pid === pid && named(fact.name));
  const others = kills.filter((fact) => fact.pid !== pid);
  const family = new Map(
    (death.children ?? []).map((child) => [child.pid, child.name]),
  );
  for (const pane of death.panePids) {
    if (!family.has(pane)) family.set(pane, "");
  }
  family.delete(pid);

  const risen = all("oom-counter").filter((fact) => fact.to > fact.from);
  const hostRise = risen.find((fact) => fact.of === "host");
  const cgroupRise = risen.find((fact) => fact.of === "cgroup");
  // Which strangers share the server's cgroup is not known: there only its own family counts.
  const counted = hostRise ?? cgroupRise;
  const accountable = new Set(
    others.map((fact) => fact.pid).filter((one) => hostRise !== undefined || family.has(one)),
  );

  return {
    death,
    findings,
    fate,
    // Of the two lines about a kill the one that says that it was done.
    oom: victims.findLast(({ line }) => line.includes("Killed process")) ??
      victims.at(-1),
    earlyoom: own("earlyoom"),
    jetsam: own("jetsam"),
    memorystatus: own("memorystatus"),
    report: own("crash-report"),
    kernelCrash: own("kernel-crash"),
    core: own("core-dump"),
    systemdKill: own("systemd-kill"),
    coalitionOwn: own("coalition-kill"),
    coalitionNear: near(all("coalition-kill"), STOP_REACH),
    oomd: near(
      all("unit-oom").filter((fact) => fact.by === "systemd-oomd" && mine(fact)),
      KILL_REACH,
    ),
    unitOom: near(
      all("unit-oom").filter((fact) => fact.by === "kernel" && fact.unit === innermost),
      KILL_REACH,
    ),
    logoutNear: near(all("logout").filter(mine), STOP_REACH),
    logoutEarlier: near(all("logout").filter(mine), KILL_REACH),
    unitStop: near(all("unit-stop").filter(mine), STOP_REACH),
    logoutLoose: home === undefined ? near(all("logout"), STOP_REACH) : undefined,
    shutdown: near(all("shutdown"), KILL_REACH),
    counter: cgroupRise ?? hostRise,
    counterExplained: counted !== undefined &&
      accountable.size >= counted.to - counted.from,
    paneOom: victimsAmong(facts, family),
    otherOom: others.findLast((fact) => !family.has(fact.pid)),
    ...visibility(findings),
  };
}

function victimsAmong(
  facts: readonly Fact[],
  family: ReadonlyMap<number, string>,
): Victim[] {
  const victims = new Map<number, Victim>();
  for (const fact of facts) {
    const victim = victimOf(fact);
    if (victim === undefined || !family.has(victim.pid)) continue;
    const known = victims.get(victim.pid);
    if (known === undefined || victim.line.includes("Killed process")) {
      victims.set(victim.pid, victim);
    }
  }
  return [...victims.values()];
}

function visibility(
  findings: readonly Finding[],
): Pick<View, "oomSeen" | "crashSeen" | "kernelLog"> {
  const seen = (role: "oom" | "crash" | "kernel") =>
    findings.some(({ source, state }) => state !== "unseen" && ROLES[source]?.[role] === true);
  const kernel = findings.some(({ source }) => ROLES[source]?.kernel === true);
  return {
    oomSeen: seen("oom"),
    crashSeen: seen("crash"),
    kernelLog: seen("kernel") ? "seen" : kernel ? "unseen" : "absent",
  };
}
