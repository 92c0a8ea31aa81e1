/**
 * The one place that starts other programs and reads what they print.
 *
 * @module
 */

/** How one run of an outside program ended. */
export interface ToolResult {
  /** Exit code, or `undefined` when it did not end by itself. */
  readonly code: number | undefined;
  /** The signal that ended it, if one did. */
  readonly signal: string | undefined;
  /** Standard output, decoded as UTF-8 (bad bytes become U+FFFD). */
  readonly stdout: string;
  /** Standard error, decoded likewise. */
  readonly stderr: string;
  /** It ran out of its time limit and was killed. */
  readonly timedOut: boolean;
  /** It could not be started: absent, or not permitted. Says which. */
  readonly failure: string | undefined;
  /** More than `maxBytes` came; the rest was thrown away. */
  readonly truncated: boolean;
}

/** Options of {@linkcode Tools.run}. */
export interface RunOptions {
  /** Time limit in milliseconds; 3000 unless told. */
  readonly timeoutMs?: number;
  /** At most this much of stdout and of stderr is kept; 4 MiB unless told. */
  readonly maxBytes?: number;
  /** Keep the last `maxBytes` of stdout in place of the first. */
  readonly keepTail?: boolean;
  /**
   * Working directory; `/` unless told. From one that was removed, as this
   * process's own may be, nothing can be started [measured, 2.9.6].
   */
  readonly cwd?: string;
}

/** Runs outside programs. Tests pass an object of their own. */
export interface Tools {
  /**
   * Runs `tool` with `args`, without a shell and with `LC_ALL=C`, and waits.
   * Never throws: what went wrong is in the result.
   */
  run(tool: string, args: readonly string[], options?: RunOptions): Promise<ToolResult>;
}

const NOT_STARTED = {
  code: undefined,
  signal: undefined,
  stdout: "",
  stderr: "",
  timedOut: false,
  truncated: false,
} as const;

/**
 * {@linkcode Tools} on this host.
 *
 * Each program gets a session of its own (`detached`): after reaping a plain
 * child Deno sends its pid one more SIGKILL, which by then may be somebody
 * else's [measured with strace, 2.9.6].
 */
export const denoTools: Tools = {
  async run(tool, args, options = {}) {
    const { timeoutMs = 3000, maxBytes = 4 * 1024 * 1024, keepTail = false, cwd = "/" } = options;
    let child: Deno.ChildProcess;
    try {
      child = new Deno.Command(tool, {
        args: [...args],
        // ps cuts its lines at COLUMNS even when piped [measured, procps].
        env: { LC_ALL: "C", COLUMNS: "" },
        cwd,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
        detached: true,
      }).spawn();
    } catch (error) {
      return { ...NOT_STARTED, failure: whyNotStarted(tool, error) };
    }
    let timedOut = false;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      timedOut = true;
      try {
        child.kill("SIGKILL");
      } catch {
        // It ended by itself in this very moment.
      }
      // A grandchild may still hold the pipes open: do not wait for it.
      abort.abort();
    }, timeoutMs);
    try {
      const [out, err, ended] = await Promise.all([
        collect(child.stdout, maxBytes, keepTail, abort.signal),
        collect(child.stderr, maxBytes, false, abort.signal),
        child.status.then(endedOf, endedFromError),
      ]);
      return {
        code: ended.code,
        signal: ended.signal,
        stdout: out.text,
        stderr: err.text,
        timedOut,
        failure: undefined,
        truncated: out.truncated || err.truncated,
      };
    } finally {
      clearTimeout(timer);
    }
  },
};

function whyNotStarted(tool: string, error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return `${tool}: not found`;
  if (error instanceof Deno.errors.NotCapable) return `${tool}: not permitted`;
  return `${tool}: ${error instanceof Error ? error.message : String(error)}`;
}

/** Reads a stream to its end, keeping at most `maxBytes`. */
async function collect(
  stream: ReadableStream<Uint8Array>,
  maxBytes: number,
  keepTail: boolean,
  abort: AbortSignal,
): Promise<{ text: string; truncated: boolean }> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  let truncated = false;
  const reader = stream.getReader();
  const cancel = () => {
    reader.cancel().catch(() => {});
  };
  abort.addEventListener("abort", cancel);
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      if (size >= maxBytes && !keepTail) {
        truncated = true;
        continue;
      }
      chunks.push(value);
      size += value.length;
      while (keepTail && chunks.length > 1 && size - chunks[0]!.length >= maxBytes) {
        size -= chunks.shift()!.length;
        truncated = true;
      }
    }
  } catch {
    // The stream broke: what came so far is what there is.
    truncated = true;
  } finally {
    abort.removeEventListener("abort", cancel);
  }
  let bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  if (size > maxBytes) {
    truncated = true;
    bytes = keepTail ? bytes.subarray(size - maxBytes) : bytes.subarray(0, maxBytes);
  }
  return { text: new TextDecoder().decode(bytes), truncated };
}

/**
 * One line that says why a run gave nothing, or `undefined` if it went well.
 *
 * @param tool Name of the program.
 * @param result How its run ended.
 * @returns For example `dmesg: read kernel buffer failed: Operation not permitted`.
 */
export function failureOf(tool: string, result: ToolResult): string | undefined {
  if (result.failure !== undefined) return result.failure;
  if (result.timedOut) return `${tool}: timed out`;
  if (result.signal !== undefined) return `${tool}: ended by ${result.signal}`;
  if (result.code === 0) return undefined;
  const said = plainly(tool, result.stderr.trim().split("\n")[0] ?? "");
  return said === ""
    ? `${tool}: exit code ${result.code}`
    : said.startsWith(tool)
    ? said
    : `${tool}: ${said}`;
}

/** Deno starts a tool by its path, and some begin their complaints with that. */
function plainly(tool: string, said: string): string {
  const [path = "", ...rest] = said.split(": ");
  return path.startsWith("/") && path.endsWith(`/${tool}`) ? [tool, ...rest].join(": ") : said;
}

/** How a watched child ended, as the kernel tells its parent. */
export type Ended =
  | { readonly signal: string; readonly code?: undefined }
  | { readonly code: number; readonly signal?: undefined };

/** A child that is watched, not awaited for its output. */
export interface Child {
  /** Process id. */
  readonly pid: number;
  /** Settles when it has been reaped. Never rejects. */
  readonly ended: Promise<Ended>;
  /** Lines of its standard output, where it was asked for. */
  readonly stdout: ReadableStream<Uint8Array> | undefined;
  /** Sends it a signal; one that is gone is fine. */
  kill(signal: Deno.Signal): void;
  /** Lets this process end while the child lives on. */
  unref(): void;
}

/** Options of {@linkcode spawnChild}. */
export interface SpawnOptions {
  /** Working directory; that of this process unless told. */
  readonly cwd?: string;
  /** Read its standard output. */
  readonly stdout?: boolean;
  /** Its whole environment; that of this process unless told. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Starts a program in a session of its own and leaves it running.
 *
 * `detached` is setsid: the child survives any end of this process, where a
 * plain one is killed with it on an uncaught error [measured, 2.9.6].
 *
 * @param program Name or path.
 * @param args Its arguments.
 * @param options See {@linkcode SpawnOptions}.
 * @returns The child.
 * @throws {Error} If it cannot be started.
 */
export function spawnChild(
  program: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Child {
  const child = new Deno.Command(program, {
    args: [...args],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { clearEnv: true, env: { ...options.env } }),
    stdin: "null",
    stdout: options.stdout ? "piped" : "null",
    stderr: "null",
    detached: true,
  }).spawn();
  return {
    pid: child.pid,
    ended: child.status.then(endedOf, endedFromError),
    stdout: options.stdout ? child.stdout : undefined,
    kill(signal) {
      try {
        child.kill(signal);
      } catch {
        // It is gone.
      }
    },
    unref: () => child.unref(),
  };
}

function endedOf({ code, signal }: Deno.CommandStatus): Ended {
  return signal === null ? { code } : { signal };
}

/** Deno knows no names for real-time signals and throws in place of a status [measured, 2.9.6]. */
function endedFromError(error: unknown): Ended {
  const number = /Invalid signal: (\d+)/.exec(String(error))?.[1];
  return { signal: number === undefined ? "unknown" : `SIG${number}` };
}

/**
 * Runs a program on the user's terminal and waits for it.
 *
 * @param program Name or path.
 * @param args Its arguments.
 * @returns Its exit code, 128 + n after signal n.
 * @throws {Error} If it cannot be started.
 */
export function runOnTerminal(program: string, args: readonly string[]): number {
  return new Deno.Command(program, {
    args: [...args],
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  }).outputSync().code;
}
