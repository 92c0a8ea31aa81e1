/**
 * Concludes from evidence why a server died: a table of decisions, read from
 * the top, of which the first row that fits decides.
 *
 * @module
 */

import { type Evidence, oneLine } from "./evidence.ts";
import { besides } from "./evidence/reasons.ts";
import type { Confidence, Row, Verdict, VerdictName } from "./evidence/row.ts";
import { EVIDENCE_ROWS } from "./evidence/rows_evidence.ts";
import { OBSERVATION_ROWS } from "./evidence/rows_observed.ts";
import { viewOf } from "./evidence/view.ts";

export type { Confidence, Row, Verdict, VerdictName };

/** The decisions, strongest evidence first. */
export const TABLE: readonly Row[] = [...EVIDENCE_ROWS, ...OBSERVATION_ROWS];

/**
 * Concludes why a server died. Pure: the same evidence gives the same verdict.
 *
 * Only facts count that are about this pid, or a unit the server lived in, and
 * that date from the time of its watch.
 *
 * @param evidence What was observed and what was found.
 * @returns The verdict, with a reason that quotes the evidence.
 *
 * @example A kernel line that names the server
 * ```ts
 * import assert from "node:assert/strict";
 * import { decide } from "./verdict.ts";
 *
 * const line = "Memory cgroup out of memory: Killed process 42 (tmux: server) total-vm:69672kB";
 * const { verdict, confidence } = decide({
 *   death: {
 *     identity: "claude-bob",
 *     server: { pid: 42, startedAt: 1000 },
 *     cause: "signal",
 *     signal: "SIGKILL",
 *     observedAt: 2_000_000,
 *     bootChanged: false,
 *     panePids: [],
 *     peersLost: 0,
 *   },
 *   findings: [{
 *     source: "dmesg",
 *     state: "found",
 *     facts: [{ kind: "oom-kill", pid: 42, name: "tmux: server", scope: "memcg", at: 2000, line }],
 *   }],
 * });
 * assert.equal(verdict, "oom-kill");
 * assert.equal(confidence, "certain");
 * ```
 */
export function decide(evidence: Evidence): Verdict {
  return explain(evidence).verdict;
}

/**
 * Like {@linkcode decide}, and says by which row.
 *
 * @param evidence What was observed and what was found.
 * @param table The decisions; {@linkcode TABLE} unless told.
 * @returns The verdict and the name of the row, `none` if no row fits.
 */
export function explain(
  evidence: Evidence,
  table: readonly Row[] = TABLE,
): { row: string; verdict: Verdict } {
  const view = viewOf(evidence);
  for (const { name, verdict, confidence, fates, when } of table) {
    if (fates !== undefined && !fates.includes(view.fate)) continue;
    const matter = when(view);
    if (matter === undefined) continue;
    const remarks = besides(view, matter);
    const reason = oneLine([matter, ...remarks].join("; "), 1500);
    return { row: name, verdict: { verdict, confidence, reason } };
  }
  return {
    row: "none",
    verdict: {
      verdict: "unknown",
      confidence: "possible",
      reason: "no rule fits the evidence",
    },
  };
}
