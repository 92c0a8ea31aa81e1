/**
 * The lower part of the decision table: no evidence names a cause, and what was
 * observed must speak for itself.
 *
 * @module
 */

import { crashRemark, searched } from "./reasons.ts";
import { how, type Row } from "./row.ts";

/** Decisions where little but the observation is left to go by, in this order. */
export const OBSERVATION_ROWS: readonly Row[] = [
  {
    name: "oom-counter",
    verdict: "oom-kill",
    confidence: "likely",
    fates: ["killed", "vanished"],
    when: ({ counter, counterExplained }) =>
      counter === undefined || counterExplained
        ? undefined
        : `the ${counter.of}'s OOM counter rose from ${counter.from} to ${counter.to} during the watch, and no line names another victim`,
  },
  {
    name: "oom-counter-unobserved",
    verdict: "oom-kill",
    confidence: "possible",
    fates: ["unseen"],
    when: ({ counter, counterExplained }) =>
      counter?.of !== "cgroup" || counterExplained
        ? undefined
        : `the OOM counter of the server's cgroup rose from ${counter.from} to ${counter.to}, and nobody saw how the server ended`,
  },
  {
    name: "crash-signal",
    verdict: "crash",
    confidence: "likely",
    fates: ["crashed"],
    when: (view) => `${how(view)}; ${crashRemark(view)}`,
  },
  {
    name: "asked-by-signal",
    verdict: "shutdown-request",
    confidence: "likely",
    fates: ["asked"],
    when: (view) => `${how(view)}, which nobody has claimed`,
  },
  {
    // With its last session a server leaves too, in the same good order.
    name: "orderly-after-pane-oom",
    verdict: "shutdown-request",
    confidence: "possible",
    fates: ["orderly"],
    when: (view) =>
      view.paneOom.length > 0
        ? `${how(view)}, as after kill-server or a TERM, or because its last session ended`
        : undefined,
  },
  {
    name: "orderly",
    verdict: "shutdown-request",
    confidence: "likely",
    fates: ["orderly"],
    when: (view) => `${how(view)}, as after kill-server, TERM or INT, which nobody has claimed`,
  },
  {
    name: "failed",
    verdict: "crash",
    confidence: "possible",
    fates: ["failed"],
    when: (view) => `${how(view)}, as tmux does on a fatal error of its own; ${searched(view)}`,
  },
  {
    name: "other-signal",
    verdict: "killed",
    confidence: "likely",
    fates: ["signalled"],
    when: (view) => `${how(view)}; ${searched(view)}`,
  },
  {
    name: "killed",
    verdict: "killed",
    confidence: "likely",
    fates: ["killed"],
    when: (view) => view.oomSeen ? `${how(view)}; ${searched(view)}` : undefined,
  },
  {
    name: "killed-in-the-dark",
    verdict: "killed",
    confidence: "possible",
    fates: ["killed"],
    when: (view) => `${how(view)}; ${searched(view)}`,
  },
  {
    name: "vanished",
    verdict: "killed",
    confidence: "possible",
    fates: ["vanished"],
    when: (view) =>
      view.crashSeen ? `${how(view)} (SIGKILL or a crash); ${searched(view)}` : undefined,
  },
  {
    name: "vanished-in-the-dark",
    verdict: "unknown",
    confidence: "possible",
    fates: ["vanished"],
    when: (view) => `${how(view)} (SIGKILL or a crash); ${searched(view)}`,
  },
  {
    name: "unobserved",
    verdict: "unknown",
    confidence: "possible",
    when: (view) => `nobody saw how the server ended; ${searched(view)}`,
  },
];
