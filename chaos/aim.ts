/**
 * Steps that lead to one fault point: without them most points would hardly
 * ever be hit.
 *
 * @module
 */

import type { Random } from "./random.ts";
import type { Deed, Fault } from "./schedule.ts";

/** Deeds with a pause before each; one without is left to chance. */
type Aimed = readonly (readonly [deed: Deed, after?: number])[];

/**
 * Deeds that bring a process to a fault point.
 *
 * @param random Chooses where there is a choice.
 * @param point The fault point.
 * @param who Which session.
 * @returns Deeds in their order.
 */
export function aim(random: Random, point: string, who: string): Aimed {
  return new Aim(random, point, who).steps();
}

class Aim {
  readonly #random: Random;
  readonly #point: string;
  readonly #who: string;

  constructor(random: Random, point: string, who: string) {
    this.#random = random;
    this.#point = point;
    this.#who = who;
  }

  steps(): Aimed {
    const [place, what] = this.#point.split(":") as [string, string];
    switch (place) {
      case "record":
      case "conclude":
        return this.#random.chance(0.6) ? this.#atDeath() : this.#atLateDeath();
      case "canary":
        return what === "claim-spent" ? this.#atClaimedEnd() : this.#atDeath();
      case "claim":
        if (what === "voided") return this.#atVoidClaim();
        return what === "before" || what === "written" ? this.#atTeardown() : this.#atClaimedEnd();
      case "kill":
      case "stop":
        return this.#atTeardown();
      case "settle":
        if (what.startsWith("death") || this.#random.chance(0.3)) return this.#atLateDeath();
        return this.#atTeardown();
      case "launch":
        if (what === "failed") return this.#atFailedLaunch();
        return this.#random.chance(0.4)
          ? this.#byDaemon("supervise", this.#launch())
          : [this.#launch("launch")];
      case "own":
        if (what === "abandoned") return this.#atFailedLaunch();
        return this.#random.chance(0.3)
          ? this.#byDaemon("canary", this.#launch())
          : [this.#launch("canary")];
      case "serve":
        return this.#byDaemon("supervise", this.#anyRequest());
      case "request":
        return this.#atRequest(what);
      case "ensure":
        return [...this.#unwatched(), [this.#tick("supervise"), 0]];
      case "attach":
        return [...this.#unwatched(), [this.#tick("canary"), 0]];
      case "resolve":
        return this.#atInterruptedLaunch(what);
      case "tick":
        if (what === "crash-loop") return this.#atCrashLoop();
        return this.#atLateDeath("always");
      default:
        return this.#random.pick([
          () => this.#atDeath(),
          () => this.#atLateDeath(),
          () => this.#atTeardown(),
        ])();
    }
  }

  #fault(command: Fault["command"]): { fault: Fault } {
    const n = this.#point.startsWith("store:") ? this.#random.whole(1, 6) : 1;
    return { fault: { command, point: this.#point, n } };
  }

  #launch(
    command?: "launch" | "canary",
    more: Partial<Extract<Deed, { do: "launch" }>> = {},
  ): readonly [Deed, number] {
    return [{
      do: "launch",
      who: this.#who,
      program: "waits",
      restart: this.#random.pick(["never", "always"]),
      replace: false,
      wait: true,
      ...(command === undefined ? {} : this.#fault(command)),
      ...more,
    }, 0];
  }

  /** A daemon that is at work, and dies or has its first canary die; then what it is asked for. */
  #byDaemon(command: "supervise" | "canary" | undefined, ...asks: Aimed): Aimed {
    const fault = command === undefined ? {} : this.#fault(command);
    return [[{ do: "daemon", wait: true, ...fault }, 0], ...asks];
  }

  /** Something that is handed over. */
  #anyRequest(): readonly [Deed, number] {
    return this.#random.chance(0.7) ? this.#launch() : [this.#tick(), 0];
  }

  #atRequest(what: string): Aimed {
    switch (what) {
      case "answered":
        return this.#byDaemon("supervise", this.#anyRequest());
      case "withdrawn":
        // The daemon wakes up only when the request has been withdrawn.
        return this.#byDaemon(
          undefined,
          [this.#signal("daemon", "SIGSTOP"), 0],
          this.#launch("launch"),
          [this.#tick(), 600],
        );
      case "dismissed": {
        const point = this.#random.pick(["serve:taken", "launch:reported", "serve:done"]);
        const fault = { command: "supervise", point, n: 1 } as const;
        return [[{ do: "daemon", wait: true, fault }, 0], this.#launch("launch")];
      }
      default:
        return this.#byDaemon(
          undefined,
          this.#random.pick<readonly [Deed, number]>([
            this.#launch("launch"),
            [this.#tick("supervise"), 0],
          ]),
        );
    }
  }

  #tick(command?: "supervise" | "canary"): Deed {
    return { do: "tick", wait: true, ...(command === undefined ? {} : this.#fault(command)) };
  }

  #signal(
    target: Extract<Deed, { do: "signal" }>["target"],
    signal: Extract<Deed, { do: "signal" }>["signal"] = "SIGKILL",
  ): Deed {
    return { do: "signal", who: this.#who, target, signal };
  }

  /** A session without a canary. */
  #unwatched(): Aimed {
    return [this.#launch(), [this.#signal("canary")]];
  }

  /** The canary, of either mode, sees its server die. */
  #atDeath(): Aimed {
    const kill = this.#random.chance(0.3)
      ? { do: "kill-server", who: this.#who } as const
      : this.#signal("server", this.#random.pick(["SIGKILL", "SIGTERM"]));
    return this.#random.chance(0.6)
      ? [this.#launch("canary"), [kill]]
      : [...this.#unwatched(), [this.#tick("canary"), 0], [kill]];
  }

  /** Somebody finds a server dead that nobody watched. */
  #atLateDeath(restart: "never" | "always" = "never"): Aimed {
    const finder: Deed = this.#random.pick(["tick", "stop", "launch"]) === "tick" ||
        this.#point.startsWith("tick:") || this.#point.startsWith("conclude:")
      ? this.#tick("supervise")
      : this.#random.chance(0.5)
      ? { do: "stop", who: this.#who, wait: true, ...this.#fault("stop") }
      : this.#launch("launch")[0];
    return [
      this.#launch(undefined, { restart }),
      [this.#signal("canary")],
      [this.#signal("server"), this.#random.whole(0, 20)],
      [finder, this.#random.whole(0, 30)],
    ];
  }

  /** A session is stopped or replaced, now and then one whose server is held up. */
  #atTeardown(): Aimed {
    const held = this.#point === "kill:server-killed" || this.#random.chance(0.15);
    const ender: Deed = this.#random.chance(0.6) || this.#point.startsWith("stop:")
      ? { do: "stop", who: this.#who, wait: true, ...this.#fault("stop") }
      : this.#launch("launch", { replace: true })[0];
    return [
      this.#launch(),
      ...(held ? [[this.#signal("server", "SIGSTOP")] as const] : []),
      [ender],
    ];
  }

  /** The canary sees a wanted end. */
  #atClaimedEnd(): Aimed {
    const end: Deed = this.#random.chance(0.5)
      ? { do: "stop", who: this.#who, wait: true }
      : { do: "end", who: this.#who, how: this.#random.pick(["exit 0", "exit 3", "SIGKILL"]) };
    return [this.#launch("canary"), [end]];
  }

  /** A stop that died after its claim, and whose server lived on. */
  #atVoidClaim(): Aimed {
    const fault = { command: "stop", point: "claim:written", n: 1 } as const;
    return [
      this.#launch(),
      [{ do: "stop", who: this.#who, wait: true, fault }],
      [{ do: "age-claim", who: this.#who }, 700],
      [this.#tick("supervise"), 0],
    ];
  }

  #atFailedLaunch(): Aimed {
    return [this.#launch(this.#point.startsWith("own:") ? "canary" : "launch", {
      program: "broken",
    })];
  }

  /** A launch dies, and its canary perhaps too; somebody else comes by. */
  #atInterruptedLaunch(what: string): Aimed {
    const whole = what === "whole" || what === "kept";
    const fault = { command: "launch", point: "launch:reported", n: 1 } as const;
    const point = this.#random.pick([
      "own:locked",
      "own:server-started",
      "own:server-known",
      "own:session-made",
    ]);
    const canaryFault = whole ? {} : { canaryFault: { command: "canary", point, n: 1 } as const };
    return [
      this.#launch(undefined, { fault, ...canaryFault }),
      [
        this.#random.chance(0.6)
          ? this.#tick("supervise")
          : { do: "stop", who: this.#who, wait: true, ...this.#fault("stop") },
        0,
      ],
    ];
  }

  /** A session that ends again and again. */
  #atCrashLoop(): Aimed {
    const tick = this.#tick();
    return [
      this.#launch(undefined, { program: "ends-3", restart: "always" }),
      [tick, 150],
      [tick, 150],
      [this.#tick("supervise"), 150],
      [this.#tick("supervise"), 150],
    ];
  }
}
