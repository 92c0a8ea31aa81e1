/**
 * Stopping a session for good.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { EXIT, IapeerError } from "./errors.ts";
import { faultPoint } from "./fault.ts";
import { livenessOf } from "./host.ts";
import { resolveStarting } from "./interrupted.ts";
import type { Recorded } from "./record.ts";
import { decided, lockSession, needSession, writeSession } from "./sessions.ts";
import { killSession, settle } from "./teardown.ts";

/** How long a stop waits for another operation on the session, in milliseconds. */
const BUSY_MS = 20_000;

/** There is nothing running that could be stopped. */
export class NotRunningError extends IapeerError {
  /** Name of the class. */
  override readonly name: string = "NotRunningError";
  /** The exit code this error turns into. */
  override readonly exitCode: number = EXIT.notRunning;
}

/**
 * Stops a session for good: it stays stopped until it is started or launched.
 *
 * @param ctx The root.
 * @param identity Which session.
 * @returns Evidence on its way, if its server turned out to have died before.
 * @throws {NotRunningError} If it does not run.
 * @throws {IapeerError} If it is not known, not ours to stop, or does not end.
 */
export async function stop(ctx: Context, identity: string): Promise<Recorded | undefined> {
  using lock = await lockSession(ctx, identity, BUSY_MS);
  if (lock === undefined) {
    throw new IapeerError(
      `Cannot stop "${identity}": another operation on it has been under way for too long; see: iapeer status ${identity}`,
    );
  }
  faultPoint("stop:locked");
  let record = needSession(ctx, identity);
  if (record.external) {
    throw new IapeerError(
      `Cannot stop "${identity}": it is adopted, so it is watched only; end it where it was started`,
    );
  }
  if (record.state === "starting") record = await resolveStarting(ctx, record, true);
  const lives = record.server !== undefined &&
    await livenessOf(ctx.host, record.server) !== "gone";
  if (lives) await killSession(ctx, record, "stop", "iapeer stop");
  faultPoint("stop:killed");
  const settled = record.server === undefined ? undefined : await settle(ctx, record);
  faultPoint("stop:settled");
  writeSession(ctx, { ...decided(settled?.record ?? record), state: "stopped" });
  faultPoint("stop:written");
  if (!lives) {
    throw new NotRunningError(
      `"${identity}" was not running; it stays stopped until: iapeer start ${identity}`,
    );
  }
  return settled?.recorded;
}
