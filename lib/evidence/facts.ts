/**
 * The kinds of facts that evidence is made of.
 *
 * @module
 */

/** How a process ended according to a macOS crash report. */
export interface Termination {
  /** Such as `SIGNAL` or `JETSAM`. */
  readonly namespace?: string;
  /** Such as `Abort trap: 6`. */
  readonly indicator?: string;
  /** Name of the process that ended it. */
  readonly byProc?: string;
  /** Its pid; the own one where it ended itself. */
  readonly byPid?: number;
}

/**
 * One thing that a source says. `at` is in epoch seconds; a fact without it is
 * one that the collector vouches for by other means. `line` is one line, with
 * nothing but printable characters.
 */
export type Fact =
  /** A kernel line about a process that the OOM killer chose. */
  | {
    readonly kind: "oom-kill";
    readonly pid: number;
    readonly name: string;
    readonly scope: "memcg" | "global";
    readonly at?: number;
    readonly line: string;
  }
  /** A counter of OOM kills stands higher than when the canary was armed. */
  | {
    readonly kind: "oom-counter";
    readonly of: "host" | "cgroup";
    readonly from: number;
    readonly to: number;
  }
  /** A unit lost processes for want of memory; which ones is not said. */
  | {
    readonly kind: "unit-oom";
    readonly unit: string;
    readonly by: "systemd-oomd" | "kernel";
    readonly at?: number;
    readonly line: string;
  }
  | {
    readonly kind: "earlyoom";
    readonly pid: number;
    readonly name: string;
    readonly signal: string;
    readonly at?: number;
    readonly line: string;
  }
  /** A kernel line about a process that crashed by its own doing. */
  | {
    readonly kind: "kernel-crash";
    readonly pid: number;
    readonly name: string;
    readonly at?: number;
    readonly line: string;
  }
  | {
    readonly kind: "core-dump";
    readonly pid: number;
    readonly signal: string;
    readonly exe: string;
    readonly at: number;
  }
  | {
    readonly kind: "crash-report";
    readonly pid: number;
    readonly name: string;
    readonly exception: string;
    readonly signal: string;
    readonly termination?: Termination;
    readonly path: string;
    readonly at?: number;
  }
  | {
    readonly kind: "jetsam";
    readonly pid: number;
    readonly name: string;
    readonly reason: string;
    readonly bytes?: number;
    readonly at?: number;
    readonly path: string;
  }
  /** A kernel line of macOS about a process killed to free memory. */
  | {
    readonly kind: "memorystatus";
    readonly pid: number;
    readonly name: string;
    readonly at?: number;
    readonly line: string;
  }
  /** macOS ends an app's whole coalition; `pid` where the line names whom. */
  | {
    readonly kind: "coalition-kill";
    readonly pid?: number;
    readonly at?: number;
    readonly line: string;
  }
  | {
    readonly kind: "systemd-kill";
    readonly pid: number;
    readonly name: string;
    readonly signal: string;
    readonly unit: string;
    readonly at?: number;
    readonly line: string;
  }
  /** A login session ended; `unit` where systemd stopped one for it. */
  | {
    readonly kind: "logout";
    readonly unit?: string;
    readonly at?: number;
    readonly line: string;
  }
  /** systemd stops a unit that is no login session. */
  | {
    readonly kind: "unit-stop";
    readonly unit: string;
    readonly at?: number;
    readonly line: string;
  }
  /** The host goes down or came up. */
  | { readonly kind: "shutdown"; readonly at?: number; readonly line: string }
  /** Where the server lived, as recorded when the canary was armed. */
  | {
    readonly kind: "unit";
    readonly pid: number;
    /** From the outermost to the innermost. */
    readonly units: readonly string[];
    readonly cgroup: string;
  }
  /** A figure that stands for itself. */
  | { readonly kind: "reading"; readonly name: string; readonly value: string };
