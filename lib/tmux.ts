/**
 * The only file that builds tmux arguments: commands, escaping, the exit hook,
 * and what tmux's own messages mean.
 *
 * @module
 */

import type { Incarnation } from "./host.ts";
import type { RunOptions, ToolResult, Tools } from "./process.ts";

/**
 * Name of the channel on which a canary in attach mode waits.
 *
 * @param identity Which session.
 * @returns `iap-canary-` and the identity.
 */
export function canaryChannel(identity: string): string {
  return `iap-canary-${identity}`;
}

/**
 * Writes an argument so that tmux hands it on unchanged: a `;` at the end of
 * an argument would separate commands, `\;` is one that does not.
 *
 * @param arg Any string without NUL.
 * @returns What to put into tmux's argv.
 *
 * @example A lone semicolon
 * ```ts
 * import assert from "node:assert/strict";
 * import { escapeArg } from "./tmux.ts";
 *
 * assert.equal(escapeArg(";"), "\\;");
 * assert.equal(escapeArg("a;b"), "a;b");
 * ```
 */
export function escapeArg(arg: string): string {
  return arg.endsWith(";") ? `${arg.slice(0, -1)}\\;` : arg;
}

/**
 * Writes text so that tmux's format expansion gives it back.
 *
 * `##` is `#`, but hashes before a `[` are left alone by tmux, however many
 * (they begin a style) [tmux, format.c].
 *
 * @param text Any text.
 * @returns The format.
 */
export function escapeFormat(text: string): string {
  return text.replace(
    /(#+)(\[?)/g,
    (run, hashes: string, bracket: string) => bracket === "" ? hashes + hashes : run,
  );
}

/**
 * Quotes text as one word, for `sh` and for tmux's command parser alike.
 *
 * @param text Any text without NUL.
 * @returns The word.
 */
export function quoteWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** What a failed client says about its server. */
export type ClientFailure =
  /** Nobody listens on the socket. */
  | "no-server"
  /** There is no socket. */
  | "no-socket"
  /** The server went away, or sent the client away, while it was talking. */
  | "lost"
  /** It lives, but this tmux is too new for it. */
  | "version"
  /** It did not answer in time. */
  | "timeout"
  /** The server answered, and refused. */
  | "refused";

/**
 * Reads from a client's result what is the matter with the server.
 *
 * @param result How the client ended.
 * @returns `undefined` if it did what it should.
 */
export function clientFailure(result: ToolResult): ClientFailure | undefined {
  if (result.timedOut || result.failure !== undefined || result.signal !== undefined) {
    return "timeout";
  }
  if (result.code === 0) return undefined;
  const said = result.stderr;
  if (/^no server running on /m.test(said)) return "no-server";
  if (/^error connecting to .*\(No such file or directory\)/m.test(said)) return "no-socket";
  if (/^error connecting to .*\(Connection refused\)/m.test(said)) return "no-server";
  if (/^(?:server exited|lost server|\[?server exited)/m.test(said)) return "lost";
  if (/server version is too old|protocol version mismatch|open terminal failed/.test(said)) {
    return "version";
  }
  return "refused";
}

/** What {@linkcode newSessionArgs} needs to know. */
export interface NewSession {
  /** Which session. */
  readonly identity: string;
  /** The program and its arguments. */
  readonly argv: readonly string[];
  /** Working directory. */
  readonly cwd: string;
  /** Columns and rows, as `220x50`. */
  readonly size: string;
  /** Variables that the server itself cannot carry. */
  readonly env: Readonly<Record<string, string>>;
  /** File to which the pane's output is appended. */
  readonly paneLog: string;
  /** Path of `nice`: the session's own PATH need not lead there. */
  readonly nice: string;
  /** The `pane-died` hook, from {@linkcode exitHook}. */
  readonly hook: string;
}

/** What {@linkcode parseNewSession} read. */
export interface NewSessionReply {
  /** Process id of the server. */
  readonly serverPid: number;
  /** Process id of the program. */
  readonly panePid: number;
}

/**
 * Arguments of the server: in the foreground, so that its parent learns how it
 * ends.
 *
 * @param sock The socket.
 * @param conf Configuration in place of the user's own.
 * @returns Arguments for `tmux`.
 */
export function serverArgs(sock: string, conf: string | undefined): string[] {
  return ["-D", "-S", sock, ...(conf === undefined ? [] : ["-f", conf])];
}

/**
 * Arguments of the client that creates a session, with everything that belongs
 * to it, in one command list: the server carries it out in one go, so that a
 * program which ends at once ends with its hook and its log in place.
 *
 * `-N` keeps a client that comes too early from starting a second server on
 * the same socket. The program is started through `nice -n 0`: a single
 * argument would otherwise go through a shell, and one that cannot be executed
 * would end without a word.
 *
 * @param sock The socket.
 * @param session What to create.
 * @returns Arguments for `tmux`; it prints what {@linkcode parseNewSession} reads.
 */
export function newSessionArgs(sock: string, session: NewSession): string[] {
  const [columns, rows] = session.size.split("x") as [string, string];
  const target = `=${session.identity}:`;
  const lists: string[][] = [
    [
      "new-session",
      "-d",
      "-E",
      "-P",
      "-F",
      "#{pid} #{pane_pid}",
      "-s",
      session.identity,
      "-x",
      columns,
      "-y",
      rows,
      "-c",
      escapeFormat(session.cwd),
      ...Object.entries(session.env).flatMap(([key, value]) => ["-e", `${key}=${value}`]),
      "--",
      session.nice,
      "-n",
      "0",
      "--",
      ...session.argv,
    ],
    // A server in the foreground outlives its last session unless told.
    ["set-option", "-s", "exit-empty", "on"],
    // The user's configuration may ask for these; nobody is attached yet.
    ["set-option", "-s", "exit-unattached", "off"],
    ["set-option", "-t", target, "destroy-unattached", "off"],
    ["set-option", "-p", "-t", target, "remain-on-exit", "on"],
    ["set-hook", "-p", "-t", target, "pane-died", session.hook],
    pipePane(target, session.paneLog),
  ];
  const commands = lists.flatMap((list, n) => [...(n === 0 ? [] : [";"]), ...list.map(escapeArg)]);
  return ["-u", "-N", "-S", sock, ...commands];
}

/** The server has the session's PATH, which need not lead to anything. */
const STANDARD_PATH = "PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH";

function pipePane(target: string, paneLog: string): string[] {
  const command = `${STANDARD_PATH}; umask 077; exec cat >>${quoteWord(paneLog)}`;
  // This one goes through strftime as well.
  return ["pipe-pane", "-t", target, escapeFormat(command).replaceAll("%", "%%")];
}

/**
 * Reads what the creating client printed.
 *
 * @param stdout Its output.
 * @returns The pids, or `undefined`.
 */
export function parseNewSession(stdout: string): NewSessionReply | undefined {
  const match = /^(\d+) (\d+)$/m.exec(stdout);
  return match === null ? undefined : { serverPid: Number(match[1]), panePid: Number(match[2]) };
}

/**
 * The hook that runs when the session's program has ended: it appends the
 * `session-exit` record, writes the claim for the server's own exit, and ends
 * the session. A few lines of sh inside the server, because it has to work
 * when this program has been moved by an upgrade.
 *
 * A program that was SIGKILLed may have been the victim of the OOM killer: the
 * kernel's line, if it can be read and is not older than ten seconds (a pid
 * comes again), goes into the record as `oom=`.
 *
 * The claim carries the boot's uptime like every other, or a clock that is set
 * between hook and death would make it void, or keep it alive. On Linux it is
 * taken from the start of a process, which is counted by the clock that
 * `Deno.osUptime()` asks; `/proc/uptime` would not do, lxcfs gives containers
 * one of their own there [lxcfs issue 200]. macOS moves its boot time along when
 * the clock is set [xnu, clock.c]. Where neither can be had, the wall clock has
 * to do.
 *
 * @param identity Which session.
 * @param exitsLog The file of records.
 * @param claim The claim file.
 * @param server The incarnation that the claim names; unless told, the hook
 * asks tmux.
 * @returns A tmux command list.
 */
export function exitHook(
  identity: string,
  exitsLog: string,
  claim: string,
  server?: Incarnation,
): string {
  const temporary = claim.replace(/[^/]*$/, (name) => `.${name}.hook.tmp`);
  const [log, draft, final] = [exitsLog, temporary, claim].map(quoteWord);
  // What the formats give is digits (or, in later versions of tmux, a signal's
  // name), so it needs no quoting.
  const facts = "s=#{pane_dead_status} g=#{pane_dead_signal} d=#{pane_dead_time} " +
    "p=#{pane_pid} server=#{pid} " +
    // What tmux takes for its start can be seconds after that of its process.
    `start=${server?.startedAt ?? "#{start_time}"}`;
  const ticks = server?.startTicks === undefined ? "" : `,\\"startTicks\\":${server.startTicks}`;
  const script = [
    "",
    STANDARD_PATH,
    "umask 077",
    "e= o= t= a=$(date +%s)",
    // When this very process began, in clock ticks since boot.
    "u=$(cut -d ' ' -f 22 /proc/self/stat 2>/dev/null)",
    'case $u in ""|*[!0-9]*)',
    "  b=$(sysctl -n kern.boottime 2>/dev/null) b=${b#*sec = } b=${b%%,*}",
    '  case $b in ""|*[!0-9]*) u= ;; *) u=$((a - b)) ;; esac ;;',
    "*) u=$((u / 100 + 1)) ;;",
    "esac",
    '[ -z "$u" ] || t="\\"uptime\\":$u,"',
    '[ -z "$s" ] || e="\\"status\\":\\"$s\\""',
    '[ -z "$g" ] || e="\\"signal\\":\\"$g\\""',
    "case $g in 9|*KILL)",
    '  l=$(dmesg 2>/dev/null | grep -F "Killed process $p (" | tail -n 1 | tr -d "\\"\\\\\\\\")',
    "  k=${l%%.*} k=${k##*[!0-9]}",
    '  [ -n "$k" ] && [ -n "$u" ] && [ $((u - k)) -le 10 ] && o=" oom=\\"${l##*\\] }\\""',
    "esac",
    `echo "ts=$(date -u +%Y-%m-%dT%H:%M:%SZ) ev=session-exit identity=${identity} ` +
    `dead_status=$s dead_signal=$g dead_time=$d$o" >>${log}`,
    `echo "{\\"v\\":1,\\"identity\\":\\"${identity}\\",\\"who\\":\\"exit-hook\\",` +
    `\\"why\\":\\"session ended\\",\\"at\\":\${a}000,$t` +
    `\\"server\\":{\\"pid\\":$server,\\"startedAt\\":$start${ticks}},\\"exit\\":{$e}}" >${draft}`,
    `mv -f ${draft} ${final}`,
    "exit 0",
  ].join("\n");
  return `run-shell ${quoteWord(facts + escapeFormat(script))} ; kill-session -t =${identity}`;
}

/** A tmux server as one talks to it. Every call has a time limit. */
export class Server {
  readonly #tools: Tools;
  /** Path of its socket. */
  readonly sock: string;

  /**
   * Talks to the server on a socket, whether or not there is one.
   *
   * @param tools Runs the clients.
   * @param sock The server's socket.
   */
  constructor(tools: Tools, sock: string) {
    this.#tools = tools;
    this.sock = sock;
  }

  #client(args: readonly string[], options?: RunOptions): Promise<ToolResult> {
    return this.#tools.run("tmux", ["-u", "-N", "-S", this.sock, ...args], options);
  }

  /** Creates the session, once. */
  newSession(session: NewSession): Promise<ToolResult> {
    return this.#tools.run("tmux", newSessionArgs(this.sock, session), { timeoutMs: 10_000 });
  }

  /** Asks for the server's pid; `undefined` with the reason when it does not tell. */
  async pid(): Promise<{ pid: number } | { failure: ClientFailure; said: string }> {
    const result = await this.#client(["display-message", "-p", "#{pid}"]);
    const failure = clientFailure(result);
    const pid = Number(result.stdout.trim());
    if (failure === undefined && Number.isSafeInteger(pid) && pid > 0) return { pid };
    return { failure: failure ?? "refused", said: result.stderr.trim() };
  }

  /** Whether the session is there: `false` only when the server says so. */
  async hasSession(identity: string): Promise<boolean | ClientFailure> {
    const result = await this.#client(["has-session", "-t", `=${identity}`]);
    const failure = clientFailure(result);
    if (failure === undefined) return true;
    return failure === "refused" ? false : failure;
  }

  /** Pid of the program in the session's active pane. */
  async panePid(identity: string): Promise<number | undefined> {
    const result = await this.#client([
      "display-message",
      "-p",
      "-t",
      `=${identity}:`,
      "#{pane_pid}",
    ]);
    const pid = Number(result.stdout.trim());
    return result.code === 0 && Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  }

  /** Ends the session; the server ends with its last one. */
  killSession(identity: string): Promise<ToolResult> {
    return this.#client(["kill-session", "-t", `=${identity}`]);
  }

  /** Ends the server, as a user would by hand. */
  killServer(): Promise<ToolResult> {
    return this.#client(["kill-server"]);
  }

  /** Wakes the canary that waits on the session's channel. */
  signalCanary(identity: string): Promise<ToolResult> {
    return this.#client(["wait-for", "-S", canaryChannel(identity)]);
  }

  /** Begins the pane's log anew, after its file was moved away. */
  repipe(identity: string, paneLog: string): Promise<ToolResult> {
    return this.#client(pipePane(`=${identity}:`, paneLog).map(escapeArg));
  }
}

/**
 * Arguments of the client that blocks until the channel is signalled or the
 * server is gone.
 *
 * @param sock The socket.
 * @param identity Which session.
 * @returns Arguments for `tmux`.
 */
export function waitArgs(sock: string, identity: string): string[] {
  return ["-N", "-S", sock, "wait-for", canaryChannel(identity)];
}

/**
 * Arguments of the client that shows a session to the user.
 *
 * @param sock The socket.
 * @param identity Which session.
 * @returns Arguments for `tmux`.
 */
export function attachArgs(sock: string, identity: string): string[] {
  return ["-N", "-S", sock, "attach-session", "-t", `=${identity}`];
}
