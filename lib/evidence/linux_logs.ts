/**
 * The logs of Linux: the kernel's ring buffer and systemd's journal.
 *
 * @module
 */

import {
  type DeathFacts,
  earliestDeath,
  type Fact,
  type Finding,
  type Span,
  windowOf,
} from "../evidence.ts";
import type { Tools } from "../process.ts";
import { failureOf } from "../process.ts";
import { ask, type CollectContext, looked, unseen } from "./context.ts";
import { parseSystemdJournal } from "./journal.ts";
import { type KernelFact, parseDmesg, parseKernelJournal } from "./kernel_log.ts";

/** The first pid namespace of a kernel has this number, always. */
const FIRST_PID_NAMESPACE = "pid:[4026531836]";
const OTHER_PIDS = "this is a container: the kernel's log numbers processes otherwise than we do";
/** How long the kernel may take to write a line about somebody already dead. */
const LATE_LINE_MS = 300;

/**
 * Tells whether the kernel's log speaks of the same pids as we do. In a
 * container it does not, and a line with the right number is about a stranger.
 */
async function sharesPids(tools: Tools): Promise<boolean> {
  const listed = await ask({ tools }, "ls", ["-l", "/proc/self/ns/pid"]);
  if (listed.code !== 0 || !listed.stdout.includes("pid:[")) return true;
  return listed.stdout.includes(FIRST_PID_NAMESPACE);
}

/**
 * The finding of a source whose facts have dates: those of the right time.
 *
 * @param source Its name.
 * @param facts What it says, of whatever time.
 * @param death Whose death.
 * @returns The finding; it mentions lines that name the pid and are too old.
 */
export function timely(
  source: string,
  facts: readonly Fact[],
  death: DeathFacts,
): Finding {
  const { from, to } = windowOf(death);
  const dated = facts.map((fact) => ({
    fact,
    at: "at" in fact ? fact.at : undefined,
  }));
  const kept = dated.filter(({ at }) => at !== undefined && at >= from && at <= to);
  const own = dated.filter(({ fact }) => isOwn(fact, death));
  const undated = own.filter(({ at }) => at === undefined).length;
  if (undated > 0 && kept.length === 0) {
    return unseen(
      source,
      `${undated} line(s) name the pid but cannot be dated`,
    );
  }
  const finding = looked(source, kept.map(({ fact }) => fact), death);
  const older = own.filter(({ at }) => at !== undefined && at < from).length;
  if (older === 0) return finding;
  return {
    ...finding,
    why: `${older} line(s) name the pid but are older than its watch`,
  };
}

function isOwn(fact: Fact, death: DeathFacts): boolean {
  return "pid" in fact && fact.pid === death.server.pid;
}

/**
 * Reads the kernel's ring buffer; a second time when nothing is found, as the
 * line may come after the death.
 *
 * @param ctx The death.
 * @returns OOM kills and crashes in its time.
 */
export async function dmesg(ctx: CollectContext): Promise<Finding> {
  const same = sharesPids(ctx.tools);
  const sudden = ctx.death.signal === "SIGKILL" ||
    ctx.death.cause === "vanished";
  let finding = await readDmesg(ctx);
  const named = finding.facts.some((fact) => isOwn(fact, ctx.death));
  if (sudden && finding.state !== "unseen" && !named && await same) {
    await ctx.sleep(LATE_LINE_MS);
    finding = await readDmesg(ctx);
  }
  return await same || finding.state === "unseen" ? finding : unseen("dmesg", OTHER_PIDS);
}

async function readDmesg(ctx: CollectContext): Promise<Finding> {
  const result = await ask(ctx, "dmesg", []);
  const trouble = failureOf("dmesg", result);
  if (trouble !== undefined) return unseen("dmesg", trouble);
  if (result.stdout.trim() === "") {
    return unseen(
      "dmesg",
      "the kernel log is empty: cleared, or hidden from here",
    );
  }
  const { facts, oldest } = parseDmesg(result.stdout, ctx.bootTime);
  const finding = timely("dmesg", facts, ctx.death);
  // What the ring buffer has forgotten was not looked at.
  if (
    finding.state === "nothing" && oldest !== undefined &&
    oldest > earliestDeath(ctx.death)
  ) {
    const reach = new Date(oldest * 1000).toISOString();
    return unseen("dmesg", `the kernel log reaches back to ${reach} only`);
  }
  return finding;
}

/** What of the journal is about one death, in whole epoch seconds. */
function journalSpan(death: Span): readonly [from: number, to: number] {
  const { from, to } = windowOf(death);
  return [Math.floor(from), Math.ceil(to)];
}

/**
 * Runs `journalctl`, over the time of all deaths that are concluded together.
 * What is too much for one answer each death asks for by itself. Never with
 * `-o json`: that leaves with 0 and without a word where there is no journal
 * [measured, systemd 252].
 */
async function readJournal<F extends Fact & { readonly at?: number }>(
  ctx: CollectContext,
  source: string,
  args: readonly string[],
  parse: (text: string) => F[],
): Promise<Finding> {
  const over = (deaths: readonly Span[]) => {
    const spans = deaths.map(journalSpan);
    const from = Math.min(...spans.map(([start]) => start));
    const to = Math.max(...spans.map(([, end]) => end));
    const span = [`--since=@${from}`, `--until=@${to}`];
    return ask(ctx, "journalctl", ["--no-pager", "-o", "short-unix", ...span, ...args]);
  };
  const { together = [ctx.death] } = ctx;
  let result = await over(together);
  if (together.length > 1 && (result.truncated || result.timedOut)) {
    result = await over([ctx.death]);
  }
  const [from, to] = journalSpan(ctx.death);
  const facts = parse(result.stdout).filter(({ at = from }) => at >= from && at <= to);
  const finding = timely(source, facts, ctx.death);
  const trouble = failureOf("journalctl", result) ??
    hiddenJournal(result.stderr);
  if (trouble === undefined) return finding;
  return finding.state === "found" ? { ...finding, why: trouble } : unseen(source, trouble);
}

/**
 * Finds the words of journalctl and its kin for a journal that is not there or
 * may not be read: they leave with 0 then.
 *
 * @param stderr What was said.
 * @returns The line that says so, or `undefined`.
 */
export function hiddenJournal(stderr: string): string | undefined {
  return stderr.slice(0, 10_000).split("\n").find((line) =>
    /^No journal files were|not seeing messages from other users|insufficient permissions/
      .test(line)
  );
}

/**
 * Reads the kernel's log as the journal keeps it.
 *
 * @param ctx The death.
 * @returns OOM kills and crashes in its time.
 */
export async function kernelJournal(ctx: CollectContext): Promise<Finding> {
  const [same, finding] = await Promise.all([
    sharesPids(ctx.tools),
    readJournal<KernelFact>(ctx, "journalctl -k", ["-k"], parseKernelJournal),
  ]);
  return same || finding.state === "unseen" ? finding : unseen("journalctl -k", OTHER_PIDS);
}

/**
 * Reads what systemd, logind and the user-space OOM killers say. journald has
 * `_COMM` from the kernel: a program cannot merely claim to be one of them.
 *
 * @param ctx The death.
 * @returns Kills and stops in its time.
 */
export function journal(ctx: CollectContext): Promise<Finding> {
  const senders = ["systemd", "systemd-logind", "systemd-oomd", "earlyoom"];
  const matches = senders.flatMap((name, index) =>
    index === 0 ? [`_COMM=${name}`] : ["+", `_COMM=${name}`]
  );
  return readJournal(ctx, "journalctl", matches, parseSystemdJournal);
}
