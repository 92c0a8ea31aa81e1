/**
 * What every collector of evidence gets, and how it says what it saw.
 *
 * @module
 */

import { type DeathFacts, type Fact, type Finding, oneLine, type Span } from "../evidence.ts";
import type { RunOptions, ToolResult, Tools } from "../process.ts";
import type { CgroupPlace } from "./cgroup.ts";

/** Reads the few places that hold evidence in files. Its functions may throw. */
export interface FileReader {
  /** Names in a folder, at most {@linkcode MAX_NAMES} of them. */
  list(dir: string): Promise<string[]>;
  /** The first `maxBytes` of a regular file, decoded as UTF-8. */
  readText(path: string, maxBytes: number): Promise<string>;
}

/** Given to every collector. */
export interface CollectContext {
  /** Runs outside programs. */
  readonly tools: Tools;
  /** Reads files. */
  readonly files: FileReader;
  /** Whose evidence is looked for. */
  readonly death: DeathFacts;
  /** All that are concluded in one go, it among them: what can be asked for all at once is. */
  readonly together?: readonly Span[] | undefined;
  /** As `Deno.build.os` names it. */
  readonly platform: string;
  /** When this boot began, in epoch seconds: kernel stamps count from there. */
  readonly bootTime?: number | undefined;
  /** Home folder of the user. */
  readonly home?: string | undefined;
  /** Where the server lived, as `cgroupOf` gave it when the canary was armed. */
  readonly cgroup?: CgroupPlace | undefined;
  /** Waits; a test need not. */
  sleep(ms: number): Promise<void>;
}

/** Looks at one source. Never rejects. */
export type Collector = (ctx: CollectContext) => Promise<Finding>;

/** More names than this in one folder are not looked at. */
export const MAX_NAMES = 20_000;
/** More facts than this are not kept of one source. */
export const MAX_FACTS = 50;

/** {@linkcode FileReader} on the machine's own files. */
export const denoFiles: FileReader = {
  async list(dir) {
    const names: string[] = [];
    for await (const entry of Deno.readDir(dir)) {
      names.push(entry.name);
      if (names.length >= MAX_NAMES) break;
    }
    return names;
  },
  async readText(path, maxBytes) {
    // A pipe with nobody at its other end would be waited for without end.
    if (!(await Deno.lstat(path)).isFile) {
      throw new TypeError(`Cannot read "${path}": not a regular file`);
    }
    using file = await Deno.open(path);
    // Files of /proc say that they are empty: what comes is what counts.
    const chunks: Uint8Array[] = [];
    for (let left = maxBytes; left > 0;) {
      const chunk = new Uint8Array(Math.min(left, 65_536));
      const count = await file.read(chunk);
      if (count === null) break;
      chunks.push(chunk.subarray(0, count));
      left -= count;
    }
    return await new Blob(chunks as BlobPart[]).text();
  },
};

/**
 * The finding of a source that was looked at.
 *
 * @param source Its name.
 * @param facts What it says; beyond {@linkcode MAX_FACTS} those about the server
 * and the newest are kept.
 * @param death Whose death.
 * @returns `found`, or `nothing` where there are no facts.
 */
export function looked(
  source: string,
  facts: readonly Fact[],
  death: DeathFacts,
): Finding {
  let kept = facts;
  if (facts.length > MAX_FACTS) {
    const own = (fact: Fact) => "pid" in fact && fact.pid === death.server.pid;
    const first = facts.filter(own).slice(-MAX_FACTS);
    const rest = facts.filter((fact) => !own(fact));
    // slice(-0) would be all of them.
    kept = [...rest.slice(rest.length - (MAX_FACTS - first.length)), ...first];
  }
  return { source, state: kept.length > 0 ? "found" : "nothing", facts: kept };
}

/**
 * The finding of a source that could not be looked at.
 *
 * @param source Its name.
 * @param why Why not.
 * @returns `unseen`.
 */
export function unseen(source: string, why: string): Finding {
  return { source, state: "unseen", why: oneLine(why, 200), facts: [] };
}

/**
 * Runs a tool as a collector may: its own time limit, bounded output, never a
 * rejection.
 *
 * @param ctx What the collector was given.
 * @param tool Name of the tool.
 * @param args Its arguments.
 * @param options Other limits than 2.5 s and the last 1 MiB.
 * @returns What it gave.
 */
export async function ask(
  ctx: { readonly tools: Tools },
  tool: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ToolResult> {
  try {
    return await ctx.tools.run(tool, args, {
      timeoutMs: 2500,
      maxBytes: 1 << 20,
      keepTail: true,
      ...options,
    });
  } catch (error) {
    return {
      code: undefined,
      signal: undefined,
      stdout: "",
      stderr: "",
      timedOut: false,
      failure: why(error),
      truncated: false,
    };
  }
}

/**
 * What was thrown, in one line.
 *
 * @param error What was caught.
 * @returns Its message.
 */
export function why(error: unknown): string {
  return oneLine(error instanceof Error ? error.message : String(error), 200);
}

/**
 * Lines of a tool's output, each cut to a length that patterns can be tried on.
 *
 * @param text The output.
 * @returns Its lines that are not empty.
 */
export function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "").map((line) => line.slice(0, 2000));
}
