/**
 * Whether the places that tell why a server died can be looked at. Asked of the
 * very collectors that gather the evidence about a death.
 *
 * @module
 */

import type { DeathFacts, Finding as Source } from "../evidence.ts";
import { collectEvidence } from "../evidence/collect.ts";
import { denoFiles } from "../evidence/context.ts";
import { LINUX } from "../evidence/linux.ts";
import { MACOS } from "../evidence/macos.ts";
import { type Examined, ok, type Said, warning } from "./check.ts";

/** Looks at some of the sources, as if this process had just died. */
async function look(of: Examined, names: readonly string[]): Promise<Source[]> {
  const { host } = of.ctx;
  const now = host.now();
  const death: DeathFacts = {
    identity: "iapeer-doctor",
    server: { pid: Deno.pid, startedAt: now / 1000 },
    cause: "orderly",
    observedAt: now,
    bootChanged: false,
    panePids: [],
    peersLost: 0,
  };
  const all = host.platform === "darwin" ? MACOS : LINUX;
  return await collectEvidence({
    tools: host.tools,
    files: denoFiles,
    death,
    platform: host.platform,
    bootTime: now / 1000 - host.uptime(),
    home: host.home,
    sleep: host.sleep,
  }, { collectors: Object.fromEntries(names.map((name) => [name, all[name]!])) });
}

/** What to do about a kernel log that cannot be read; the first that fits. */
const KERNEL_LOG_REMEDIES: readonly (readonly [RegExp, string])[] = [
  [/container/, "docker run --pid=host --cap-add=SYSLOG …"],
  [/dmesg: not found/, "sudo apt-get install util-linux"],
  [
    /not permitted/,
    "sudo sysctl -w kernel.dmesg_restrict=0\n" +
    "echo kernel.dmesg_restrict=0 | sudo tee /etc/sysctl.d/60-iapeer.conf",
  ],
  [/(?:)/, "sudo dmesg | tail"],
];
const NO_JOURNAL = /^No journal files|journalctl: not found/;

/**
 * Looks at the kernel's log: Linux's, by itself or as the journal keeps it, or
 * macOS's unified log.
 *
 * @param of What is looked at.
 * @returns One line.
 */
export async function checkKernelLog(of: Examined): Promise<Said[]> {
  return of.ctx.host.platform === "darwin"
    ? [judgeUnifiedLog(await look(of, ["log show"]))]
    : [judgeKernelLog(await look(of, ["dmesg", "journalctl -k"]))];
}

/**
 * Judges the kernel's log on Linux: one of its two ways will do.
 *
 * @param sources What the collectors said.
 * @returns One line.
 */
export function judgeKernelLog(sources: readonly Source[]): Said {
  const seen = sources.filter(({ state }) => state !== "unseen").map(({ source }) => source);
  const unseen = sources.filter(({ state }) => state === "unseen");
  if (seen.length > 0) return ok(`${seen.join(" and ")} can be read`);
  const why = reasonsOf(unseen);
  const [, remedy] = KERNEL_LOG_REMEDIES.find(([pattern]) => pattern.test(why))!;
  return warning(`${why}; an OOM kill is told by counters only`, remedy);
}

function judgeUnifiedLog(sources: readonly Source[]): Said {
  const unseen = sources.filter(({ state }) => state === "unseen");
  if (unseen.length === 0) return ok("log show can be read");
  return warning(reasonsOf(unseen), 'sudo dseditgroup -o edit -a "$USER" -t user admin');
}

function reasonsOf(sources: readonly Source[]): string {
  return sources.map(({ source, why = "" }) =>
    why.startsWith(source.split(" ")[0]!) ? why : `${source}: ${why}`
  ).join("; ");
}

/**
 * Looks at what systemd, logind and the user-space OOM killers write.
 *
 * @param of What is looked at.
 * @returns One line; none on macOS.
 */
export async function checkJournal(of: Examined): Promise<Said[]> {
  if (of.ctx.host.platform === "darwin") return [];
  const [[source], service] = await Promise.all([look(of, ["journalctl"]), of.service()]);
  return [judgeJournal(source!, service.manager === "systemd")];
}

/**
 * Judges the journal.
 *
 * @param source What the collector said.
 * @param systemd Whether systemd runs this host: without it there is none.
 * @returns One line.
 */
export function judgeJournal(source: Source, systemd: boolean): Said {
  if (source.state !== "unseen") return ok("journalctl can be read");
  const why = source.why ?? "";
  if (NO_JOURNAL.test(why)) {
    if (!systemd) return ok("there is none: systemd does not run this host");
    return warning(
      why,
      "sudo mkdir -p /var/log/journal && sudo systemctl restart systemd-journald",
    );
  }
  return warning(
    `${why}; logouts and kills by systemd stay unseen`,
    'sudo usermod -aG systemd-journal "$USER"  # then log in anew',
  );
}

/**
 * Looks at crash reports and core dumps.
 *
 * @param of What is looked at.
 * @returns One line.
 */
export async function checkCrashReports(of: Examined): Promise<Said[]> {
  const { tools, platform } = of.ctx.host;
  if (platform === "darwin") {
    return [judgeReports(await look(of, ["DiagnosticReports", "JetsamEvent"]))];
  }
  const pattern = await tools.run("cat", ["/proc/sys/kernel/core_pattern"]);
  const text = pattern.stdout.trim();
  if (text.includes("systemd-coredump")) {
    const [source] = await look(of, ["coredumpctl"]);
    return [judgeCores(source!)];
  }
  if (text.includes("apport")) return [await checkApport()];
  return [
    ok(
      `no core dumps are kept (core_pattern is ${
        text === "" ? "hidden" : text
      }); the signal tells of a crash`,
    ),
  ];
}

/**
 * Judges the reports of macOS.
 *
 * @param sources What the collectors said.
 * @returns One line.
 */
export function judgeReports(sources: readonly Source[]): Said {
  const unseen = sources.filter(({ state }) => state === "unseen");
  if (unseen.length === 0) return ok("crash and jetsam reports can be read");
  return warning(
    `${reasonsOf(unseen)}; such a death is told by its signal only`,
    "open 'x-apple.systempreferences:com.apple.preference.security?Privacy_AllFiles'  # add iapeer and the terminal",
  );
}

/**
 * Judges the core dumps that systemd keeps.
 *
 * @param source What the collector said.
 * @returns One line.
 */
export function judgeCores(source: Source): Said {
  if (source.state !== "unseen") return ok("core dumps: coredumpctl can be read");
  const why = source.why ?? "";
  return warning(
    `systemd keeps the core dumps, and they cannot be looked at: ${why}`,
    why.endsWith(": not found")
      ? "sudo apt-get install systemd-coredump"
      : 'sudo usermod -aG systemd-journal "$USER"  # then log in anew',
  );
}

async function checkApport(): Promise<Said> {
  try {
    await denoFiles.list("/var/crash");
    return ok("crash reports in /var/crash can be read");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return warning(
      `the reports in /var/crash cannot be looked at: ${why}`,
      "sudo chmod o+rx /var/crash",
    );
  }
}
