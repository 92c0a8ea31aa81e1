/**
 * The sessions: how they are, and whether each has its canary.
 *
 * @module
 */

import {
  count,
  type Examined,
  type Known,
  ok,
  problem,
  type Said,
  type Sessions,
  some,
  warning,
  word,
} from "./check.ts";

/**
 * Looks how the sessions are.
 *
 * @param of What is looked at.
 * @returns One line for each thing that is the matter, or one that says how many run.
 */
export async function checkSessions(of: Examined): Promise<Said[]> {
  return judgeSessions(await of.sessions(), of);
}

/**
 * Judges the sessions.
 *
 * @param sessions The sessions.
 * @param of Root, and how its command lines are made.
 * @returns One line for each thing that is the matter, or one that says how many run.
 */
export function judgeSessions(
  { known, damaged }: Sessions,
  { ctx, command }: Pick<Examined, "ctx" | "command">,
): Said[] {
  const said = damaged.map(({ identity, trouble: { kind, why } }) => {
    switch (kind) {
      case "corrupt":
        return problem(
          `${identity}: its record is damaged (${why}); a tick sets it aside`,
          command("supervise --once"),
        );
      case "newer":
        return problem(
          `${identity}: a newer iapeer has written its record (${why}); run that one`,
          command("install"),
        );
      case "closed":
        return problem(
          `${identity}: its record may not be read (${why})`,
          `chmod 600 ${word(ctx.paths.session(identity))}`,
        );
    }
  });
  const settled = known.filter(({ busy }) => !busy);
  const gone = namesOf(settled, "gone");
  if (gone.length > 0) {
    said.push(
      warning(`gone, and not looked after yet: ${some(gone)}`, command("supervise --once")),
    );
  }
  for (const identity of namesOf(settled, "crash-loop")) {
    said.push(warning(
      `${identity} is left alone after several deaths in a row`,
      `${command(`deaths ${identity}`)}\n${command(`start ${identity}`)}`,
    ));
  }
  for (const { record } of settled.filter(({ status }) => status.state === "unreachable")) {
    said.push(warning(
      `${record.identity} does not answer: its server is busy, or held up by a signal`,
      record.server === undefined
        ? command(`status ${record.identity}`)
        : `kill -CONT ${record.server.pid}\n${command(`status ${record.identity}`)}`,
    ));
  }
  if (said.length > 0) return said;
  if (known.length === 0) return [ok("none yet")];
  const alive = namesOf(known, "alive").length;
  return [ok(`${count(known.length, "session")}, ${alive} at work`)];
}

function namesOf(known: readonly Known[], state: string): string[] {
  return known.filter(({ status }) => status.state === state).map(({ record }) => record.identity);
}

/**
 * Looks whether every server that lives has its canary.
 *
 * @param of What is looked at.
 * @returns One line, or one for each kind of trouble.
 */
export async function checkCanaries(of: Examined): Promise<Said[]> {
  return judgeCanaries((await of.sessions()).known, of);
}

/**
 * Judges the canaries.
 *
 * @param known The sessions.
 * @param of Root, and how its command lines are made.
 * @returns One line, or one for each kind of trouble.
 */
export function judgeCanaries(
  known: readonly Known[],
  { ctx, command }: Pick<Examined, "ctx" | "command">,
): Said[] {
  const watched = known.filter(({ status, busy }) =>
    !busy && (status.state === "alive" || status.state === "unreachable")
  );
  const of = (state: string) =>
    watched.filter(({ status }) => status.canary.state === state)
      .map(({ record }) => record.identity);
  const [missing, failed] = [of("missing"), of("failed")];
  const said: Said[] = [];
  if (missing.length > 0) {
    said.push(warning(
      `nobody watches ${some(missing)}; the next tick arms a canary`,
      command("supervise --once"),
    ));
  }
  if (failed.length > 0) {
    said.push(problem(
      `it cannot be told who watches ${some(failed)}: the lock cannot be opened`,
      `chmod 600 ${failed.map((one) => word(ctx.paths.lock(`${one}.canary`))).join(" ")}`,
    ));
  }
  if (said.length > 0) return said;
  if (watched.length === 0) return [ok("nothing to watch")];
  const own = watched.filter(({ status }) => status.canary.mode === "own").length;
  return [ok(`all ${watched.length} armed (${own} own, ${watched.length - own} attach)`)];
}
