/**
 * Reads the process table of `ps`, on Linux (procps) and macOS.
 *
 * @module
 */

/** One row of the process table. */
export interface PsRow {
  /** Process id. */
  readonly pid: number;
  /** Process id of the parent. */
  readonly ppid: number;
  /** Process group. */
  readonly pgid: number;
  /** User id. */
  readonly uid: number;
  /** Resident memory in KiB. */
  readonly rssKiB: number;
  /** Virtual memory in KiB. */
  readonly vszKiB: number;
  /** Seconds since it started, if known. */
  readonly elapsedSecs: number | undefined;
  /** When it started, in epoch seconds, if known. */
  readonly startedAt: number | undefined;
  /** State, for example `Ss`; `Z` comes first for a zombie. */
  readonly stat: string;
  /** Terminal, `?` or `??` for none. */
  readonly tty: string;
  /** Name of the process as the kernel holds it, cut at 15 (Linux) or 16 (macOS) bytes. */
  readonly ucomm: string;
  /** The whole command line. */
  readonly command: string;
}

const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";
const LSTART =
  /^[A-Z][a-z]{2} {1,4}([A-Z][a-z]{2}) {1,4}(\d{1,2}) {1,4}(\d\d):(\d\d):(\d\d) {1,4}(\d{4}) {0,32}$/;

/**
 * Reads the `lstart` of `ps` in the C locale.
 *
 * @param text For example `Sun Nov 22 06:28:14 2026`, in local time. In the
 * hour that a clock change repeats, the earlier one is meant.
 * @returns Epoch seconds, or `undefined` when it is not such a time.
 *
 * @example Usage
 * ```ts
 * import { parseLstart } from "./ps_table.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(
 *   parseLstart("Sun Nov 22 06:28:14 2026"),
 *   new Date(2026, 10, 22, 6, 28, 14).getTime() / 1000,
 * );
 * ```
 */
export function parseLstart(text: string): number | undefined {
  const match = LSTART.exec(text);
  if (match === null) return undefined;
  const month = MONTHS.indexOf(match[1]!) / 3;
  const [day, hour, minute, second, year] = match.slice(2).map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(year, month, day, hour, minute, second);
  // Date rolls over what is out of range, and takes the year 26 for 1926.
  const asWritten = date.getFullYear() === year && date.getMonth() === month &&
    date.getDate() === day && hour < 24 && minute < 60 && second <= 60;
  return asWritten ? Math.floor(date.getTime() / 1000) : undefined;
}

/**
 * Reads the `etime` of `ps`.
 *
 * @param text For example `16:31`, `03:04:05` or `2-03:04:05`.
 * @returns Seconds, or `undefined` when it is none of these.
 *
 * @example Two days and a bit
 * ```ts
 * import { parseEtime } from "./ps_table.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(parseEtime("2-03:04:05"), 183845);
 * assert.equal(parseEtime("-"), undefined);
 * ```
 */
export function parseEtime(text: string): number | undefined {
  const match = /^ {0,32}(?:(?:(\d{1,7})-)?(\d{1,3}):)?(\d{1,2}):(\d{2}) {0,32}$/.exec(
    text,
  );
  if (match === null) return undefined;
  const [days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
  ];
  return ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
}

// Every gap is bounded, for a regular expression cannot take millions of
// characters in one bite.
const HEADER = new RegExp(
  "^( *PID +PPID +PGID +UID +RSS +VSZ +ELAPSED +STARTED +STAT +)(TTY?) +(UCOMM|COMM|COMMAND) +(?:COMMAND|CMD|ARGS) *$"
    .replace(/ ([*+])/g, (_, many) => many === "+" ? " {1,32}" : " {0,32}"),
  "m",
);
const NUMBER = "(-?\\d{1,15}) {1,32}";
const WORD = "(\\S{1,64})";
const TIME = "(-|\\S{3} {1,4}\\S{3} {1,4}\\d{1,2} {1,4}[\\d:]{8} {1,4}\\d{4})";
const ROW = new RegExp(
  `^ {0,32}${NUMBER.repeat(6)}${WORD} {1,32}${TIME} {1,32}${WORD} {1,32}${WORD}`,
);

/** Where the header says the last columns are. */
interface Columns {
  readonly tty: number;
  readonly ucomm: number;
  readonly command: number;
  /** procps: later columns make up for an earlier value that was too wide. */
  readonly elastic: boolean;
}

/**
 * Reads `LC_ALL=C ps -axww -o
 * pid,ppid,pgid,uid,rss,vsz,etime,lstart,stat,tty,ucomm,command` of procps and
 * macOS, header included.
 *
 * Both `ucomm` and `command` may hold blanks, so words do not tell them apart:
 * the columns of the header do. Where a value is wider than its column, procps
 * takes the room from the padding of later columns; macOS shifts the rest of
 * the row, and pads `ucomm` by bytes. The header tells which of the two it is,
 * as only macOS heads the column `UCOMM`.
 *
 * @param text The output.
 * @returns The rows in the order of the text; none without the header.
 *
 * @example A name with a blank
 * ```ts
 * import { parsePsTable } from "./ps_table.ts";
 * import assert from "node:assert/strict";
 *
 * const [row] = parsePsTable(
 *   "  PID  PPID  PGID   UID   RSS    VSZ     ELAPSED                  STARTED STAT TT       COMMAND         COMMAND\n" +
 *     " 2117     1  2117  1000  4236   5128       15:59 Sun Nov 22 06:19:34 2026 Ss   ?        tmux: server    tmux -D -S a\n",
 * );
 * assert.equal(row?.ucomm, "tmux: server");
 * assert.equal(row.command, "tmux -D -S a");
 * ```
 */
export function parsePsTable(text: string): PsRow[] {
  const header = HEADER.exec(text);
  if (header === null) return [];
  const columns: Columns = {
    tty: header[1]!.length,
    ucomm: header[0].lastIndexOf(
      header[3]!,
      header[0].trimEnd().lastIndexOf(" ") - 1,
    ),
    command: header[0].trimEnd().lastIndexOf(" ") + 1,
    elastic: header[3] !== "UCOMM",
  };
  const rows: PsRow[] = [];
  for (const line of text.slice(header.index + header[0].length).split("\n")) {
    const match = ROW.exec(line);
    if (match === null) continue;
    const [pid, ppid, pgid, uid, rssKiB, vszKiB] = match.slice(1, 7).map(
      Number,
    ) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const [etime = "", lstart = "", stat = "", tty = ""] = match.slice(7);
    rows.push({
      pid,
      ppid,
      pgid,
      uid,
      rssKiB,
      vszKiB,
      elapsedSecs: parseEtime(etime),
      startedAt: parseLstart(lstart),
      stat,
      tty,
      ...namesOf(line, match[0].length, tty, columns),
    });
  }
  return rows;
}

function namesOf(line: string, ttyEnd: number, tty: string, columns: Columns) {
  const shifted = ttyEnd - tty.length + columns.ucomm - columns.tty;
  const start = Math.max(columns.elastic ? columns.ucomm : shifted, ttyEnd + 1);
  let end = start;
  if (columns.elastic) {
    end = Math.max(columns.command - 1, start);
  } else {
    const width = columns.command - columns.ucomm - 1;
    for (let bytes = 0; bytes < width && end < line.length; end++) {
      bytes += utf8Length(line, end);
    }
  }
  // A name that was pushed to the right reaches beyond its column.
  while (end < line.length && line[end] !== " ") end++;
  return {
    ucomm: line.slice(start, end).trimEnd(),
    command: line.slice(end + 1).trimEnd(),
  };
}

/** Bytes of one UTF-16 unit in UTF-8; each half of a surrogate pair counts two. */
function utf8Length(text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code < 0x80) return 1;
  return code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3;
}
