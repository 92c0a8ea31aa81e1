/**
 * Beginnings of schedules that are known to be nasty: several parts die or
 * hang within milliseconds of one another.
 *
 * @module
 */

import type { Random } from "./random.ts";
import type { Deed, Sent, Target } from "./schedule.ts";

/** A deed and the pause before it, in milliseconds. */
type Timed = readonly [deed: Deed, after: number];

/**
 * The beginning of a schedule.
 *
 * @param random Decides everything.
 * @param who The two sessions.
 * @returns Deeds in their order.
 */
export function scenario(random: Random, [who, other]: readonly [string, string]): Timed[] {
  return new Scenario(random, who, other).any();
}

class Scenario {
  readonly #random: Random;
  readonly #who: string;
  readonly #other: string;

  constructor(random: Random, who: string, other: string) {
    this.#random = random;
    this.#who = who;
    this.#other = other;
  }

  any(): Timed[] {
    return this.#random.pick([
      () => this.#heldCanary(),
      () => this.#tornLaunch(),
      () => this.#waitingClient(),
      () => this.#underDaemon(),
      () => this.#handedOver(),
      () => this.#massacre(),
    ])();
  }

  #soon(most = 60): number {
    return this.#random.whole(0, most);
  }

  #launch(wait: boolean, who = this.#who): Deed {
    const restart = this.#random.pick(["never", "always"] as const);
    const replace = this.#random.chance(0.2);
    return { do: "launch", who, program: "waits", restart, replace, wait };
  }

  #signal(target: Target, signal: Sent, who = this.#who): Deed {
    return { do: "signal", who, target, signal };
  }

  /** Something that ends the server, wanted or not. */
  #end(): Deed {
    return this.#random.pick<Deed>([
      this.#signal("server", "SIGKILL"),
      this.#signal("server", "SIGKILL"),
      this.#signal("server", "SIGTERM"),
      { do: "kill-server", who: this.#who },
      { do: "stop", who: this.#who, wait: this.#random.chance(0.5) },
      { do: "end", who: this.#who, how: "exit 3" },
    ]);
  }

  /** Somebody who finds out. */
  #finder(): Deed {
    const wait = this.#random.chance(0.7);
    return this.#random.pick<Deed>([
      this.#launch(wait),
      this.#launch(wait),
      { do: "tick", wait },
      { do: "stop", who: this.#who, wait },
    ]);
  }

  /** The canary hangs while its server ends, and wakes up some time later. */
  #heldCanary(): Timed[] {
    const attach: Timed[] = this.#random.chance(0.4)
      ? [[this.#signal("canary", "SIGKILL"), 0], [{ do: "tick", wait: true }, 20]]
      : [];
    const wakes: Timed[] = this.#random.chance(0.5)
      ? [[this.#signal("canary", "SIGCONT"), this.#soon(300)]]
      : [];
    return [
      [this.#launch(true), 0],
      ...attach,
      [this.#signal("canary", "SIGSTOP"), this.#soon()],
      [this.#end(), this.#soon()],
      [this.#finder(), this.#soon(200)],
      ...wakes,
      [this.#signal("server", "SIGKILL"), this.#soon(500)],
    ];
  }

  /** A launch of which several parts are hit. */
  #tornLaunch(): Timed[] {
    const parts: Target[] = ["launch", "canary", "server"];
    const hits = Array.from({ length: this.#random.whole(1, 3) }, (_, n): Timed => [
      this.#signal(this.#random.pick(parts), this.#random.pick(["SIGKILL", "SIGKILL", "SIGSTOP"])),
      n === 0 ? this.#soon(500) : this.#soon(80),
    ]);
    return [[this.#launch(false), 0], ...hits, [this.#finder(), this.#soon(300)]];
  }

  /** A canary that watches as a client, and everything that can befall the two. */
  #waitingClient(): Timed[] {
    const hits = Array.from({ length: this.#random.whole(1, 4) }, (): Timed => [
      this.#signal(
        this.#random.pick(["client", "canary", "server"]),
        this.#random.pick(["SIGKILL", "SIGTERM", "SIGSTOP", "SIGCONT"]),
      ),
      this.#soon(120),
    ]);
    return [
      [this.#launch(true), 0],
      [this.#signal("canary", "SIGKILL"), 0],
      [{ do: "tick", wait: true }, 20],
      ...hits,
      [this.#end(), this.#soon()],
      [this.#finder(), this.#soon()],
    ];
  }

  /** A daemon looks after a session that dies again and again, and dies itself. */
  #underDaemon(): Timed[] {
    const hits = Array.from({ length: this.#random.whole(2, 5) }, (): Timed => [
      this.#signal(
        this.#random.pick(["server", "server", "canary", "daemon"]),
        this.#random.pick(["SIGKILL", "SIGKILL", "SIGSTOP", "SIGCONT"]),
      ),
      this.#soon(400),
    ]);
    return [
      [{ do: "daemon", wait: false }, 0],
      [this.#launch(true), this.#soon(200)],
      ...hits,
      [{ do: "daemon", wait: false }, this.#soon(100)],
      [this.#finder(), this.#soon()],
    ];
  }

  /** A daemon does what it is asked for, and one of those who take part is hit meanwhile. */
  #handedOver(): Timed[] {
    const hits = Array.from({ length: this.#random.whole(1, 3) }, (): Timed => [
      this.#signal(
        this.#random.pick(["daemon", "daemon", "launch", "canary"]),
        this.#random.pick(["SIGKILL", "SIGKILL", "SIGSTOP", "SIGCONT", "SIGTERM"]),
      ),
      this.#soon(250),
    ]);
    const again: Timed[] = [
      [{ do: "stop", who: this.#who, wait: true }, this.#soon(400)],
      [{ do: "start", who: this.#who, wait: this.#random.chance(0.5) }, 0],
    ];
    return [
      [{ do: "daemon", wait: true }, 0],
      [this.#launch(false, this.#random.pick([this.#who, this.#other])), 0],
      [this.#launch(false), this.#soon(20)],
      ...hits,
      [{ do: "daemon", wait: this.#random.chance(0.5) }, this.#soon(100)],
      [this.#finder(), this.#soon()],
      ...(this.#random.chance(0.5) ? again : []),
      [this.#signal("daemon", this.#random.pick(["SIGKILL", "SIGSTOP"])), this.#soon(150)],
      [this.#finder(), this.#soon()],
    ];
  }

  /** Both sessions lose servers and canaries at once. */
  #massacre(): Timed[] {
    const all: Timed[] = (["server", "canary"] as const).flatMap((target) =>
      [this.#who, this.#other].map((who): Timed => [
        this.#signal(target, "SIGKILL", who),
        this.#soon(15),
      ])
    );
    const order = all.map((one) => [this.#random.next(), one] as const)
      .sort(([a], [b]) => a - b).map(([, one]) => one);
    return [
      [this.#launch(false, this.#other), 0],
      [this.#launch(true), 0],
      [{ do: "tick", wait: this.#random.chance(0.5) }, this.#soon(400)],
      ...order,
      [this.#finder(), this.#soon()],
    ];
  }
}
