/**
 * The words of a verdict's reason: quotes of the evidence, and what was looked
 * at in vain.
 *
 * @module
 */

import { type Finding, oneLine, ROLES } from "../evidence.ts";
import type { Victim, View } from "./view.ts";

/** Signals about which the kernel writes a line when a process earns them itself. */
const LOGGED_SIGNALS = ["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP"];

/**
 * Tells whether the kernel writes a line when a process brings this signal on
 * itself. It writes none for `abort()`, and none for a signal that was sent.
 *
 * @param signal Such as `SIGSEGV`.
 * @returns `true` if it does.
 */
export function leavesKernelLine(signal: string | undefined): boolean {
  return signal !== undefined && LOGGED_SIGNALS.includes(signal);
}

/**
 * Quotes a line.
 *
 * @param line A line of evidence.
 * @returns It, cut to a length that reads well in a record.
 */
export function quote(line: string): string {
  return oneLine(line, 200);
}

/**
 * Says why a source could not be looked at, or what limits what was seen.
 *
 * @param finding What it gave.
 * @returns In one line, without the name of the source, with which a tool's
 * complaint begins; `undefined` if there is nothing to say.
 */
export function whyOf({ source, why }: Finding): string | undefined {
  if (why === undefined) return undefined;
  const name = `${source.split(" ")[0]}: `;
  return oneLine(why.startsWith(name) ? why.slice(name.length) : why, 100);
}

function listed(findings: readonly Finding[]): string {
  return findings.map((finding) => {
    const why = whyOf(finding);
    return why === undefined ? finding.source : `${finding.source} (${why})`;
  }).join(", ");
}

/**
 * Says what was looked at without finding anything about the server's end, and
 * what could not be looked at.
 *
 * @param view The evidence.
 * @returns Both lists.
 */
export function searched(view: View): string {
  const telling = view.findings.filter(({ source }) => ROLES[source] !== undefined);
  const inVain = telling.filter(({ state }) => state !== "unseen");
  const hidden = telling.filter(({ state }) => state === "unseen");
  const parts = [];
  if (inVain.length > 0) {
    parts.push(
      `nothing about it in ${inVain.map(({ source }) => source).join(", ")}`,
    );
  }
  if (hidden.length > 0) parts.push(`could not look at ${listed(hidden)}`);
  return parts.length > 0 ? parts.join("; ") : "nothing was looked at";
}

/**
 * Says why a crash signal is no proof of a crash.
 *
 * @param view The evidence of a death by such a signal.
 * @returns The remark.
 */
export function crashRemark(view: View): string {
  const hidden = view.findings.filter(({ source, state }) =>
    ROLES[source]?.kernel === true && state === "unseen"
  );
  if (view.kernelLog === "unseen") {
    return `whether it was sent cannot be told: could not look at ${listed(hidden)}`;
  }
  if (view.kernelLog === "absent") {
    return "whether it was sent cannot be told: no crash report names the server so far";
  }
  return leavesKernelLine(view.death.signal ?? view.core?.signal)
    ? "no kernel line exists for it: a signal that somebody sent leaves none"
    : "whether it was sent cannot be told: the kernel writes no line for this signal";
}

function whom(victim: Victim, view: View): string {
  const known = view.death.children?.find(({ pid }) => pid === victim.pid)
    ?.name;
  const name = victim.name !== "" ? victim.name : known ?? "";
  return name === "" ? String(victim.pid) : `${victim.pid} (${oneLine(name, 40)})`;
}

/**
 * What a reader should know besides, whatever the verdict: who else was killed
 * for want of memory, what was stopped and how many servers went at the time.
 *
 * @param view The evidence.
 * @param matter The reason so far; what it quotes is not said twice.
 * @returns Remarks, possibly none.
 */
export function besides(view: View, matter: string): string[] {
  const remarks = view.paneOom.slice(0, 3).map((victim) =>
    `its process ${whom(victim, view)} was killed for want of memory: ${quote(victim.line)}`
  );
  const { counter, otherOom } = view;
  if (counter !== undefined && view.oom === undefined && !matter.includes("OOM counter")) {
    const rise = `the ${counter.of}'s OOM counter rose from ${counter.from} to ${counter.to}`;
    const other = otherOom === undefined
      ? ""
      : `; the kernel names another: ${quote(otherOom.line)}`;
    remarks.push(rise + other);
  }
  const stop = view.logoutNear ?? view.unitStop ?? view.coalitionOwn ?? view.coalitionNear;
  if (stop !== undefined && !matter.includes(quote(stop.line))) {
    remarks.push(`at the same time: ${quote(stop.line)}`);
  }
  const { peersLost } = view.death;
  if (peersLost > 0) {
    const servers = peersLost === 1 ? "1 other server" : `${peersLost} other servers`;
    remarks.push(`${servers} of this root went at the same time, which points at a common cause`);
  }
  return remarks;
}
