/**
 * Looks at every place that can hold evidence about a death.
 *
 * @module
 */

import type { Finding } from "../evidence.ts";
import { type CollectContext, type Collector, unseen, why } from "./context.ts";
import { LINUX } from "./linux.ts";
import { MACOS } from "./macos.ts";

/** Options of {@linkcode collectEvidence}. */
export interface CollectOptions {
  /** What is not back by then is given up; 12 000 ms unless told. */
  readonly deadlineMs?: number;
  /** The places to look at, by name; those of the platform unless told. */
  readonly collectors?: Readonly<Record<string, Collector>>;
}

/**
 * Gathers the evidence about a death, from all places side by side.
 *
 * It never rejects and never takes longer than the deadline: a place that does
 * not answer is one that could not be looked at.
 *
 * @param ctx The death, and the means to look.
 * @param options Deadline and places.
 * @returns One finding for each place, in a fixed order.
 *
 * @example A machine without any of the tools
 * ```ts
 * import assert from "node:assert/strict";
 * import { collectEvidence } from "./collect.ts";
 *
 * const findings = await collectEvidence({
 *   tools: {
 *     run: () => Promise.reject(new Error("not installed")),
 *   },
 *   files: {
 *     list: () => Promise.reject(new Error("no such folder")),
 *     readText: () => Promise.reject(new Error("no such file")),
 *   },
 *   death: {
 *     identity: "claude-bob",
 *     server: { pid: 42, startedAt: 1000 },
 *     cause: "vanished",
 *     observedAt: 2_000_000,
 *     bootChanged: false,
 *     panePids: [],
 *     peersLost: 0,
 *   },
 *   platform: "linux",
 *   sleep: () => Promise.resolve(),
 * });
 * assert(findings.length > 0 && findings.every(({ state }) => state === "unseen"));
 * ```
 */
export async function collectEvidence(
  ctx: CollectContext,
  options: CollectOptions = {},
): Promise<Finding[]> {
  const { deadlineMs = 12_000 } = options;
  const collectors = options.collectors ?? collectorsOf(ctx.platform);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), deadlineMs);
  });
  try {
    return await Promise.all(
      Object.entries(collectors).map(async ([source, collect]) => {
        const finding = await Promise.race([
          look(source, collect, ctx),
          deadline,
        ]);
        return finding ?? unseen(source, "timed out");
      }),
    );
  } finally {
    clearTimeout(timer);
  }
}

function collectorsOf(platform: string): Readonly<Record<string, Collector>> {
  if (platform === "linux") return LINUX;
  return platform === "darwin" ? MACOS : {};
}

async function look(
  source: string,
  collect: Collector,
  ctx: CollectContext,
): Promise<Finding> {
  try {
    return await collect(ctx);
  } catch (error) {
    return unseen(source, why(error));
  }
}
