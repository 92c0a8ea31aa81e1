/**
 * When the kernel killed a process, from its log.
 *
 * The log's stamps are of a clock that no program can ask. Lines of our own in
 * it tell where that clock stands: they are stamped while they are written.
 *
 * @module
 */

const KERNEL_LOG = "/dev/kmsg";
/** At the level of debugging, so that no console prints it: that would take its time. */
const LEVEL = "<7>";
/** How far two marks may be apart, in milliseconds: more, and a clock has jumped. */
const JUMP_MS = 1;

/** A line of our own in the kernel's log. */
export interface Mark {
  readonly text: string;
  /** When it was written, on the axis of `performance.now()`. */
  readonly at: number;
  /** How long that took, in milliseconds. */
  readonly width: number;
}

interface KernelLine {
  /** In milliseconds, on the log's own axis. */
  readonly stamp: number;
  readonly text: string;
}

/** Writes a line into the kernel's log; root may do so. */
export function writeMark(): Mark {
  const text = `iapeer-bench: mark ${crypto.randomUUID()}`;
  const bytes = new TextEncoder().encode(`${LEVEL}${text}\n`);
  using log = Deno.openSync(KERNEL_LOG, { write: true });
  const from = performance.now();
  log.writeSync(bytes);
  const width = performance.now() - from;
  return { text, at: from + width / 2, width };
}

/**
 * Tells why the kernel's log cannot be used here.
 *
 * @returns `undefined` if it can be.
 */
export function kernelLogTrouble(): string | undefined {
  let mark: Mark;
  try {
    mark = writeMark();
  } catch {
    return `${KERNEL_LOG} cannot be written here`;
  }
  try {
    const found = readKernelLog().some(({ text }) => text === mark.text);
    return found ? undefined : `what is written to ${KERNEL_LOG} does not appear in dmesg`;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * When the kernel's OOM killer killed a process.
 *
 * @param pid Which one.
 * @param before A mark that was written before.
 * @param after A mark that was written after.
 * @returns When, on the axis of `performance.now()`.
 * @throws {Error} If the log does not tell, or a clock was moved in between.
 */
export function oomKillAt(pid: number, before: Mark, after: Mark): number {
  const lines = readKernelLog();
  const placeOf = (mark: Mark) => {
    const place = lines.findIndex(({ text }) => text === mark.text);
    if (place < 0) throw new Error("Cannot measure: a mark is missing in the kernel's log");
    return place;
  };
  const [from, to] = [placeOf(before), placeOf(after)];
  const [early, late] = [before.at - lines[from]!.stamp, after.at - lines[to]!.stamp];
  if (Math.abs(late - early) > JUMP_MS + (before.width + after.width) / 2) {
    throw new Error("Cannot measure: the clock of the kernel's log has jumped");
  }
  const killed = lines.slice(from, to).find(({ text }) => text.includes(`Killed process ${pid} (`));
  if (killed === undefined) {
    throw new Error(`Cannot measure: the kernel's log does not tell that it killed ${pid}`);
  }
  // A writer may be interrupted: the mark that took less time is the better one.
  return killed.stamp + (before.width < after.width ? early : late);
}

function readKernelLog(): KernelLine[] {
  const { success, stdout, stderr } = new Deno.Command("dmesg", { env: { LC_ALL: "C" } })
    .outputSync();
  const decoder = new TextDecoder();
  if (!success) throw new Error(decoder.decode(stderr).trim() || "dmesg fails");
  return [...decoder.decode(stdout).matchAll(/^\[ *(\d+\.\d+)\] (.*)$/gm)]
    .map(([, stamp, text]) => ({ stamp: Number(stamp) * 1000, text: text! }));
}
