/**
 * logfmt, the shape of every line in `exits.log` and `lifecycle.log`.
 *
 * @module
 */

/** A field to write: its key, and its value or `undefined` to leave it out. */
export type LogField = readonly [
  key: string,
  value: string | number | undefined,
];

const NOT_IN_KEY = /[^\w.-]/gu;
/** Bounded, for a regular expression cannot take millions of characters in one bite. */
const KEY = /^[\w.-]{1,4096}$/;
const NEEDS_QUOTES = /[\s"=\\\p{Cc}\p{Cs}]/u;
// U+2028 and U+2029 end a line for many readers, a lone surrogate is no text at all.
const NEEDS_ESCAPE = /["\\\p{Cc}\p{Cs}\u2028\u2029]/gu;

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};
// The second way is an escape torn off: it names no character any more.
const ESCAPE = /\\(?:u([\dA-Fa-f]{4})|u[\dA-Fa-f]{0,3}$|([^]?))/g;
const UNESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * Writes fields as one line of logfmt, without a newline at its end.
 *
 * Whatever the values hold, the result is one line: control characters, line
 * separators and lone surrogates are written as escapes. A value is quoted
 * when it holds whitespace, a quote, `=`, a backslash or a control character.
 * A log line must not fail for its key, so a character other than a letter of
 * ASCII, a digit, `_`, `.` or `-` becomes `_` there.
 *
 * @param fields The fields in the order they shall have; those with an
 * `undefined` value are left out.
 * @returns The line.
 *
 * @example A value with blanks is quoted, an unknown one left out
 * ```ts
 * import { formatLine } from "./logfmt.ts";
 * import assert from "node:assert/strict";
 *
 * const line = formatLine([["ev", "server-exit"], ["code", undefined], ["reason", "it is gone"]]);
 * assert.equal(line, 'ev=server-exit reason="it is gone"');
 * ```
 */
export function formatLine(fields: readonly LogField[]): string {
  const parts: string[] = [];
  for (const [key, value] of fields) {
    if (value === undefined) continue;
    parts.push(
      `${key.replace(NOT_IN_KEY, "_") || "_"}=${formatValue(String(value))}`,
    );
  }
  return parts.join(" ");
}

function formatValue(value: string): string {
  if (!NEEDS_QUOTES.test(value)) return value;
  return `"${value.replace(NEEDS_ESCAPE, escapeCharacter)}"`;
}

function escapeCharacter(character: string): string {
  return ESCAPES[character] ??
    "\\u" + character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
}

/**
 * Reads one line of logfmt, the inverse of {@linkcode formatLine}.
 *
 * Logs are read back after crashes and full disks, so it never throws: what is
 * not `key=value` is passed over, of a value torn off before its closing quote
 * what is there is given. The last of several fields with one key counts.
 *
 * @param line The line, with or without its newline.
 * @returns The values by key, in the order of the line.
 *
 * @example A torn line gives what can be read
 * ```ts
 * import { parseLine } from "./logfmt.ts";
 * import assert from "node:assert/strict";
 *
 * const fields = parseLine('ev=server-exit signal= reason="it is go');
 * assert.deepEqual([...fields], [["ev", "server-exit"], ["signal", ""], ["reason", "it is go"]]);
 * ```
 */
export function parseLine(line: string): Map<string, string> {
  const fields = new Map<string, string>();
  let at = 0;
  while (at < line.length) {
    if (isBlank(line, at)) {
      at++;
      continue;
    }
    const end = endOfWord(line, at);
    const word = line.slice(at, end);
    const equals = word.indexOf("=");
    const key = word.slice(0, Math.max(equals, 0));
    if (!KEY.test(key)) {
      at = end;
    } else if (word[equals + 1] !== '"') {
      fields.set(key, word.slice(equals + 1));
      at = end;
    } else {
      const from = at + equals + 2;
      const close = endOfQuoted(line, from);
      fields.set(key, unescape(line.slice(from, close)));
      at = endOfWord(line, close + 1);
    }
  }
  return fields;
}

function isBlank(line: string, at: number): boolean {
  const character = line[at];
  return character === " " || character === "\t" || character === "\n" ||
    character === "\r";
}

function endOfWord(line: string, from: number): number {
  let at = from;
  while (at < line.length && !isBlank(line, at)) at++;
  return at;
}

/** The place of the closing quote, or the end of a torn line. */
function endOfQuoted(line: string, from: number): number {
  let at = from;
  while (at < line.length && line[at] !== '"') at += line[at] === "\\" ? 2 : 1;
  return Math.min(at, line.length);
}

function unescape(text: string): string {
  return text.replace(
    ESCAPE,
    (_, digits: string | undefined, character: string | undefined) => {
      if (digits !== undefined) {
        return String.fromCharCode(
          parseInt(digits, 16),
        );
      }
      return character === undefined ? "" : UNESCAPES[character] ?? character;
    },
  );
}
