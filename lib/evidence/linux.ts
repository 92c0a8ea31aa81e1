/**
 * Where evidence lies on Linux: one small collector per place. Each has its own
 * time limit and tells "nothing there" from "could not look".
 *
 * @module
 */

import type { Fact, Finding, Span } from "../evidence.ts";
import { oomKillIn } from "./cgroup.ts";
import { failureOf } from "../process.ts";
import { ask, type CollectContext, type Collector, looked, unseen, why } from "./context.ts";
import { parseCoredumps } from "./journal.ts";
import { dmesg, hiddenJournal, journal, kernelJournal, timely } from "./linux_logs.ts";
import { parseLast, parseWhoBoot } from "./logins.ts";

/**
 * The host's count of OOM kills, against the one at arming.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export async function vmstat(ctx: CollectContext): Promise<Finding> {
  const source = "/proc/vmstat";
  const from = ctx.death.oomKillAtArming;
  if (from === undefined) {
    return unseen(source, "its count at arming is not known");
  }
  return await risen(ctx, source, "host", source, from);
}

/**
 * The count of OOM kills of the server's own cgroup.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export async function cgroupCounter(ctx: CollectContext): Promise<Finding> {
  const source = "memory cgroup";
  const { counterFile, oomKill } = ctx.cgroup ?? {};
  if (counterFile === undefined || oomKill === undefined) {
    return unseen(source, "its count at arming is not known");
  }
  return await risen(ctx, source, "cgroup", counterFile, oomKill);
}

async function risen(
  ctx: CollectContext,
  source: string,
  of: "host" | "cgroup",
  file: string,
  from: number,
): Promise<Finding> {
  const result = await ask(ctx, "cat", [file], { maxBytes: 262_144 });
  const trouble = failureOf("cat", result);
  if (trouble?.endsWith("No such file or directory")) return unseen(source, `${file} is gone`);
  if (trouble !== undefined) return unseen(source, trouble);
  const to = oomKillIn(result.stdout);
  if (to === undefined) return unseen(source, "it counts no OOM kills");
  return looked(
    source,
    to > from ? [{ kind: "oom-counter", of, from, to }] : [],
    ctx.death,
  );
}

/**
 * Core dumps that systemd keeps.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export async function coredumps(ctx: CollectContext): Promise<Finding> {
  const source = "coredumpctl";
  const { pid } = ctx.death.server;
  const listed = (deaths: readonly Span[]) => {
    // Several pids are alternatives: dumps of any of them are listed.
    const pids = deaths.map(({ server }) => String(server.pid));
    return ask(ctx, source, ["--no-pager", "list", ...pids, "--json=short"]);
  };
  const { together = [ctx.death] } = ctx;
  let result = await listed(together);
  if (together.length > 1 && (result.truncated || result.timedOut)) {
    result = await listed([ctx.death]);
  }
  const facts = parseCoredumps(result.stdout, pid);
  if (facts !== undefined) return timely(source, facts, ctx.death);
  const said = hiddenJournal(result.stderr);
  if (said !== undefined) return unseen(source, said);
  if (result.stderr.includes("No coredumps found")) {
    return looked(source, [], ctx.death);
  }
  return unseen(
    source,
    failureOf(source, result) ?? "its answer is not a list",
  );
}

/**
 * How much work was held up for want of a resource.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export async function pressure(ctx: CollectContext): Promise<Finding> {
  const facts: Fact[] = [];
  let trouble = "";
  for (const resource of ["memory", "cpu", "io"]) {
    try {
      const value = (await ctx.files.readText(`/proc/pressure/${resource}`, 4096)).trim();
      facts.push({ kind: "reading", name: `${resource} pressure`, value });
    } catch (error) {
      trouble = why(error);
    }
  }
  return facts.length > 0
    ? looked("/proc/pressure", facts, ctx.death)
    : unseen("/proc/pressure", trouble);
}

/**
 * Which boot the host runs now.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export async function bootId(ctx: CollectContext): Promise<Finding> {
  const result = await ask(ctx, "sysctl", ["-n", "kernel.random.boot_id"], {
    maxBytes: 4096,
  });
  const trouble = failureOf("sysctl", result);
  if (trouble !== undefined) return unseen("boot id", trouble);
  const value = result.stdout.trim();
  return looked(
    "boot id",
    [{ kind: "reading", name: "boot id", value }],
    ctx.death,
  );
}

/**
 * Shutdowns and logouts in the system's own book.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export async function lastMarks(ctx: CollectContext): Promise<Finding> {
  const result = await ask(ctx, "last", ["-x", "-F", "-n", "20"]);
  const trouble = failureOf("last", result);
  if (trouble !== undefined) return unseen("last", trouble);
  const facts = parseLast(result.stdout);
  if (facts === undefined) {
    return unseen("last", "it has no entries: nobody keeps them here");
  }
  return timely("last", facts, ctx.death);
}

/**
 * When the host came up, by the same book.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export async function bootMark(ctx: CollectContext): Promise<Finding> {
  const result = await ask(ctx, "who", ["-b"]);
  const trouble = failureOf("who", result);
  if (trouble !== undefined) return unseen("who -b", trouble);
  const at = parseWhoBoot(result.stdout);
  if (at === undefined) {
    return unseen("who -b", "it has no entry: nobody keeps them here");
  }
  const value = new Date(at * 1000).toISOString();
  return looked(
    "who -b",
    [{ kind: "reading", name: "system boot", value }],
    ctx.death,
  );
}

/**
 * The unit or login session the server lived in.
 *
 * @param ctx The death.
 * @returns The finding.
 */
export function unitOf(ctx: CollectContext): Promise<Finding> {
  if (ctx.cgroup === undefined) {
    return Promise.resolve(
      unseen("cgroup", "it was not recorded while the server lived"),
    );
  }
  const { units, path } = ctx.cgroup;
  const fact: Fact = {
    kind: "unit",
    pid: ctx.death.server.pid,
    units,
    cgroup: path,
  };
  return Promise.resolve(looked("cgroup", [fact], ctx.death));
}

/** All of them, by the source their finding names. */
export const LINUX: Readonly<Record<string, Collector>> = {
  "dmesg": dmesg,
  "journalctl -k": kernelJournal,
  "journalctl": journal,
  "/proc/vmstat": vmstat,
  "memory cgroup": cgroupCounter,
  "coredumpctl": coredumps,
  "last": lastMarks,
  "who -b": bootMark,
  "cgroup": unitOf,
  "boot id": bootId,
  "/proc/pressure": pressure,
};
