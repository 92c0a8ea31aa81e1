/**
 * What the program owes its user beside the records: launches that nobody
 * disturbs succeed, sessions are not ended unasked, and those that ended are
 * started again where that is wanted.
 *
 * @module
 */

import { type Books, type Entry, wantedEnd } from "./books.ts";
import type { Command, World } from "./world.ts";

/**
 * Looks for duties that were not done. Called when the world is calm, before
 * everything is stopped.
 *
 * @param world The world.
 * @param books Its books.
 * @returns Complaints.
 */
export function neglected(world: World, books: Books): string[] {
  return [
    ...world.commands.filter((command) => isInnocent(world, command)).map(({ args, stderr }) =>
      `"${args.slice(0, 3).join(" ")}" failed though nobody disturbed it: ${stderr.trim()}`
    ),
    ...books.entries.filter((entry) => entry.armed && endedByNobody(world, entry)).map(
      ({ server }) => `${server.pid} of ${server.identity} was ended, and nobody wanted that`,
    ),
    ...twins(world),
    ...world.commands.filter((command) => tellsOfNothing(world, command)).map(({ stdout }) =>
      `there never was the server of "${stdout.trim()}"`
    ),
    ...books.entries.filter((entry) => owesRestart(world, books, entry)).map(({ server }) =>
      `${server.identity} was not started again after the death of ${server.pid}`
    ),
  ];
}

/** A launch that failed although nothing else was under way and nothing of it ran. */
function isInnocent(world: World, command: Command): boolean {
  const { deed, code, begunAt, endedAt } = command;
  if (deed?.do !== "launch" || deed.program === "broken" || deed.fault !== undefined) return false;
  if (code === 0 || code === undefined || endedAt === undefined) return false;
  const during = (from: number, to: number | undefined) =>
    from < endedAt && (to ?? Infinity) > begunAt;
  // A daemon that nobody touched does what it is asked for; but its ticks get
  // in the way of a session that was there before.
  const calm = (other: Command) =>
    other.deed?.do === "daemon" && other.deed.fault === undefined &&
    !world.deeds.some(({ deed: done }) => done.do === "signal" && done.target === "daemon") &&
    world.commands.find((one) =>
        one.deed !== undefined && "who" in one.deed &&
        one.deed.who === deed.who
      ) === command;
  const disturbed = world.deeds.some(({ at }) => at > begunAt && at < endedAt) ||
    world.commands.some((other) =>
      other !== command && !calm(other) && during(other.begunAt, other.endedAt)
    ) ||
    // What an earlier command has left behind ends within this time.
    world.commands.some((other) => other.code !== 0 && (other.endedAt ?? 0) > begunAt - 1000);
  return !disturbed && !world.observer.of(world.root, "server", deed.who)
    .some(({ firstAt, goneAt }) => firstAt < begunAt && (goneAt ?? Infinity) > begunAt);
}

/** Servers of one session that lived at the same time. */
function twins({ observer, root }: World): string[] {
  const all = observer.of(root, "server");
  return all.flatMap((one, n) =>
    all.slice(n + 1)
      .filter((other) =>
        other.identity === one.identity && other.firstAt < (one.goneAt ?? Infinity)
      )
      .map((other) => `${one.pid} and ${other.pid} of ${one.identity} lived at the same time`)
  );
}

/** A session that was told to be ready, and of which no server was ever seen. */
function tellsOfNothing(world: World, { deed, stdout }: Command): boolean {
  const pid = /^READY .* server_pid=(\d+) /.exec(stdout)?.[1];
  if (pid === undefined || deed?.do !== "launch" || deed.program !== "waits") return false;
  return !world.observer.of(world.root, "server", deed.who).some((one) => one.pid === Number(pid));
}

function endedByNobody(world: World, { server, class: kind }: Entry): boolean {
  if (kind !== "must-not" || wantedEnd(world, server) !== undefined) return false;
  // A launch that failed by itself takes down what it has brought up.
  return !world.commands.some(({ deed, code, begunAt, endedAt }) =>
    (deed?.do === "launch" || deed?.do === "start") && deed.who === server.identity && code !== 0 &&
    begunAt < server.firstAt && (endedAt ?? Infinity) > server.firstAt
  ) && !world.commands.some(({ args, begunAt }) =>
    args[0] === "stop" && args[1] === "--all" && begunAt < server.goneAt!
  );
}

function owesRestart(world: World, books: Books, { server, class: kind }: Entry): boolean {
  const { identity } = server;
  const deeds = world.commands.flatMap(({ deed }) =>
    deed !== undefined && "who" in deed && deed.who === identity ? [deed] : []
  );
  const [launch, ...others] = deeds;
  // Three ends are a crash loop.
  const ended = books.entries.filter((entry) => entry.server.identity === identity);
  return kind === "must" && launch?.do === "launch" && launch.restart !== "never" &&
    launch.program === "waits" && others.length === 0 && ended.length < 3 &&
    ended.every((entry) => entry.server.firstAt <= server.firstAt) &&
    world.observer.living(world.root, "server", identity).length === 0;
}
