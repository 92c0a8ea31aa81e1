/**
 * The upper part of the decision table: evidence that names the server, its
 * unit or its time.
 *
 * @module
 */

import { crashRemark, leavesKernelLine, quote } from "./reasons.ts";
import { cite, CRASH, how, KILL, NOT_BY_ITSELF, type Row, STOPPED } from "./row.ts";
import type { View } from "./view.ts";

const reported = ({ report }: View): string | undefined => {
  if (report === undefined) return undefined;
  const { indicator, namespace } = report.termination ?? {};
  const parts = [report.exception, report.signal, namespace, indicator].filter(
    Boolean,
  ).join(", ");
  return `crash report ${report.path}: ${parts}`;
};

/** Whoever sent the signal, if the report says that it was another process. */
const sender = ({ report }: View): string | undefined => {
  const { namespace, byProc, byPid } = report?.termination ?? {};
  if (namespace !== "SIGNAL" || byPid === undefined || byPid === report?.pid) {
    return undefined;
  }
  return `${byProc ?? "process"} (${byPid})`;
};

const cored = ({ core }: View): string | undefined =>
  core && `core dump of pid ${core.pid} by ${core.signal} (${core.exe})`;

/** Decisions that rest on evidence, strongest first. */
export const EVIDENCE_ROWS: readonly Row[] = [
  {
    name: "boot-changed",
    verdict: "host-reboot",
    confidence: "certain",
    when: ({ death }) =>
      death.bootChanged
        ? "the host was restarted: its boot id is not the one that the server was started under"
        : undefined,
  },
  {
    name: "kernel-oom-line",
    verdict: "oom-kill",
    confidence: "certain",
    fates: KILL,
    when: ({ oom }) => cite("kernel log", oom),
  },
  {
    // It sends TERM first, and tmux then leaves with 0.
    name: "earlyoom",
    verdict: "oom-kill",
    confidence: "certain",
    fates: NOT_BY_ITSELF,
    when: ({ earlyoom }) => cite("earlyoom", earlyoom),
  },
  {
    name: "jetsam-event",
    verdict: "jetsam",
    confidence: "certain",
    fates: KILL,
    when({ jetsam }) {
      if (jetsam === undefined) return undefined;
      const size = jetsam.bytes === undefined ? "" : `, ${jetsam.bytes} bytes`;
      return `${jetsam.path}: pid ${jetsam.pid} ${jetsam.name}, ${jetsam.reason}${size}`;
    },
  },
  {
    name: "memorystatus-line",
    verdict: "jetsam",
    confidence: "certain",
    fates: KILL,
    when: ({ memorystatus }) => cite("kernel log", memorystatus),
  },
  {
    name: "report-of-jetsam",
    verdict: "jetsam",
    confidence: "certain",
    fates: KILL,
    when: (view) => view.report?.termination?.namespace === "JETSAM" ? reported(view) : undefined,
  },
  {
    name: "report-of-sent-signal",
    verdict: "killed",
    confidence: "certain",
    fates: [...CRASH, "killed", "signalled"],
    when: (view) => {
      const by = sender(view);
      return by && `${reported(view)}, sent by ${by}`;
    },
  },
  {
    // Killed counts too: macOS kills a program whose signature does not fit, and reports it.
    name: "crash-report",
    verdict: "crash",
    confidence: "certain",
    fates: [...CRASH, "killed"],
    when: reported,
  },
  {
    name: "kernel-crash-line",
    verdict: "crash",
    confidence: "certain",
    fates: CRASH,
    when: ({ kernelCrash }) => cite("kernel log", kernelCrash),
  },
  {
    // A signal that was sent dumps core just the same.
    name: "core-dump-without-line",
    verdict: "crash",
    confidence: "likely",
    fates: CRASH,
    when(view) {
      const silent = view.kernelLog === "seen" &&
        leavesKernelLine(view.core?.signal);
      return silent ? `${cored(view)}; ${crashRemark(view)}` : undefined;
    },
  },
  {
    name: "core-dump",
    verdict: "crash",
    confidence: "certain",
    fates: CRASH,
    when: cored,
  },
  {
    name: "systemd-oomd",
    verdict: "oom-kill",
    confidence: "likely",
    fates: NOT_BY_ITSELF,
    when: ({ oomd }) => cite("journal", oomd),
  },
  {
    name: "systemd-kill-at-shutdown",
    verdict: "host-reboot",
    confidence: "certain",
    fates: NOT_BY_ITSELF,
    when: ({ systemdKill, shutdown }) =>
      shutdown && systemdKill &&
      `${cite("journal", systemdKill)}; ${quote(shutdown.line)}`,
  },
  {
    name: "systemd-kill-at-logout",
    verdict: "logout",
    confidence: "certain",
    fates: NOT_BY_ITSELF,
    when: ({ systemdKill, logoutEarlier }) =>
      logoutEarlier && systemdKill &&
      `${cite("journal", systemdKill)}; ${quote(logoutEarlier.line)}`,
  },
  {
    name: "systemd-kill",
    verdict: "killed",
    confidence: "certain",
    fates: NOT_BY_ITSELF,
    when: ({ systemdKill, unitOom }) =>
      systemdKill &&
      `${cite("journal", systemdKill)}${unitOom ? `; ${quote(unitOom.line)}` : ""}`,
  },
  {
    name: "oom-in-unit",
    verdict: "oom-kill",
    confidence: "likely",
    fates: ["killed", "vanished"],
    when: ({ unitOom, paneOom, otherOom }) =>
      paneOom.length === 0 && otherOom === undefined ? cite("journal", unitOom) : undefined,
  },
  {
    name: "coalition-named-server",
    verdict: "logout",
    confidence: "certain",
    fates: NOT_BY_ITSELF,
    when: ({ coalitionOwn }) => cite("macOS ended the terminal app's coalition", coalitionOwn),
  },
  {
    name: "coalition-and-peers",
    verdict: "logout",
    confidence: "likely",
    fates: NOT_BY_ITSELF,
    when: ({ coalitionNear, death }) =>
      death.peersLost > 0 ? cite("macOS ended an app's coalition", coalitionNear) : undefined,
  },
  {
    name: "shutdown-mark",
    verdict: "host-reboot",
    confidence: "likely",
    fates: NOT_BY_ITSELF,
    when: (view) =>
      view.shutdown &&
      `${how(view)} while the host went down: ${quote(view.shutdown.line)}`,
  },
  {
    name: "logout-of-its-session",
    verdict: "logout",
    confidence: "likely",
    fates: STOPPED,
    when: (view) =>
      view.logoutNear &&
      `${how(view)} at a logout: ${quote(view.logoutNear.line)}`,
  },
  {
    name: "unit-stopped",
    verdict: "shutdown-request",
    confidence: "likely",
    fates: STOPPED,
    when: (view) =>
      view.unitStop &&
      `${how(view)} with its unit: ${quote(view.unitStop.line)}`,
  },
  {
    name: "logout-of-somebody",
    verdict: "logout",
    confidence: "possible",
    fates: ["asked", "orderly"],
    when: (view) =>
      view.logoutLoose &&
      `${how(view)} at a logout, whether its own is not known: ${quote(view.logoutLoose.line)}`,
  },
];
