/**
 * Finds the names that speak of secrets, and hides the values beside them.
 *
 * @module
 */

import { isHarmless, kindOfName } from "./redact_names.ts";
import { REDACTED } from "./redact_tokens.ts";
import { endOfBare, endOfBlock, endOfQuoted, endOfShellWord, type Found } from "./redact_spans.ts";

/** A part of a text, and what shall stand in its place. */
interface Edit {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

// A colour may stand between a name and its value in what a terminal shows; NUL
// divides arguments in /proc.
const BLANKS = "(?:[ \\t\\0]|\\x1b\\[[\\d;]{0,20}m)";
const SEPARATOR = new RegExp(
  `${BLANKS}{0,64}(?:=>|:=|==?|:(?!:|//)|%3[AD])${BLANKS}{0,64}`,
  "iy",
);
const GAP = new RegExp(`${BLANKS}{1,64}`, "y");
const GAP_BEFORE_QUOTE = new RegExp(`${BLANKS}{1,64}(?=["'])`, "y");
const QUOTE = /(\\{0,15})(["'`])/y;
const QUOTED_SEPARATOR = /\s{0,64}(?::(?!:)|=>|==?)\s{0,256}/y;
const NEXT_QUOTED = /\s{0,256}(?:,\s{0,256})?(?=\\{0,15}["'`])/y;
const LEAD = /^[\s>|*#-]*(?:export )?$/;
const BLOCK_SCALAR = /[|>][+-]?\d?[ \t]{0,64}\r?\n/y;
const TALK =
  /^(?:tokens?|of|auth\w*|schemes?|is|was|are|realm\S*|headers?|formats?|types?|and|or|in|for|to|with|on|from|the|a)$/i;

/**
 * Hides the values of names that speak of secrets.
 *
 * @param text Any text.
 * @returns The text with each value replaced.
 *
 * @example JSON
 * ```ts
 * import { redactNamed } from "./redact_values.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(redactNamed('{"apiKey": "x\\"y"}'), '{"apiKey": "[redacted]"}');
 * ```
 */
export function redactNamed(text: string): string {
  // A whole name or nothing: without the look behind, a long word is quadratic.
  const names = /(?<![\w-])[\w-]{1,4096}/g;
  const lines = new Lines(text);
  let result = "";
  let copied = 0;
  for (let match = names.exec(text); match !== null; match = names.exec(text)) {
    const edit = editFor(text, match.index, match[0], lines);
    if (edit === undefined) continue;
    result += text.slice(copied, edit.from) + edit.text;
    copied = edit.to;
    names.lastIndex = edit.to;
  }
  return result + text.slice(copied);
}

/** The line of a place that only moves forward, so that finding it is linear. */
class Lines {
  start = 0;
  end = -1;
  constructor(readonly text: string) {}

  moveTo(at: number): void {
    while (this.end < at && this.end < this.text.length) {
      this.start = this.end + 1;
      const newline = this.text.indexOf("\n", this.start);
      this.end = newline < 0 ? this.text.length : newline;
    }
  }

  /** Where the line ends, be it in CR LF. */
  endOfText(): number {
    return this.text[this.end - 1] === "\r" ? this.end - 1 : this.end;
  }
}

function editFor(
  text: string,
  index: number,
  word: string,
  lines: Lines,
): Edit | undefined {
  // Of `%26token%3Dx` the first two digits belong to the `%`.
  const name = text[index - 1] === "%" ? word.slice(2) : word;
  const kind = /^id$/i.test(name) && /session $/i.test(text.slice(index - 8, index))
    ? "secret"
    : kindOfName(name);
  const end = index + word.length;
  if (kind === undefined) return editForScheme(text, name, end);
  const quote = matchAt(QUOTE, text, end);
  const at = end + (quote?.[0].length ?? 0);
  const separator = separatorAt(text, at, name, quote !== undefined);
  if (separator === undefined) return editForScheme(text, name, end);
  // The middle of a list of paths, or a place in a file.
  if (text[index - 1] === "/" && separator === ":") return undefined;
  lines.moveTo(index);
  const leads = index - lines.start < 64 &&
    LEAD.test(text.slice(lines.start, index));
  const from = at + separator.length;
  lines.moveTo(from);
  const quoted = quote !== undefined;
  const found = { name, index, from, separator, quoted, leads, lineEnd: lines.endOfText() };
  const edit = editForValue(text, found);
  if (edit === undefined || edit.from >= edit.to) return undefined;
  const value = text.slice(edit.from, edit.to);
  return isHarmless(kind, value) ? undefined : edit;
}

function matchAt(
  pattern: RegExp,
  text: string,
  at: number,
): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}

function separatorAt(
  text: string,
  at: number,
  name: string,
  quoted: boolean,
): string | undefined {
  const sign = matchAt(quoted ? QUOTED_SEPARATOR : SEPARATOR, text, at);
  if (sign !== undefined) return sign[0];
  if (name.startsWith("-")) {
    return matchAt(quoted ? NEXT_QUOTED : GAP, text, at)?.[0];
  }
  // SQL: PASSWORD 'x'
  return /pass/i.test(name) ? matchAt(GAP_BEFORE_QUOTE, text, at)?.[0] : undefined;
}

/** `Bearer x` and `Basic x` wherever they stand. */
function editForScheme(
  text: string,
  name: string,
  end: number,
): Edit | undefined {
  if (!/^(?:bearer|basic)$/i.test(name)) return undefined;
  const gap = matchAt(GAP, text, end);
  if (gap === undefined) return undefined;
  const from = end + gap[0].length;
  const value = matchAt(/[^\s"'`,;()<>]{1,65536}/y, text, from)?.[0] ?? "";
  const plausible = /^bearer$/i.test(name)
    ? value !== "" && !TALK.test(value.slice(0, 32).replace(/[.:!?]+$/, ""))
    : /^[\w+/-]{6,}={0,2}$/.test(value) && /\d|[a-z][A-Z]|=$/.test(value);
  return plausible ? { from, to: from + value.length, text: REDACTED } : undefined;
}

function editForValue(text: string, found: Found): Edit | undefined {
  const { from, separator, lineEnd } = found;
  const colon = separator.includes(":");
  const quote = matchAt(QUOTE, text, from);
  if (quote !== undefined) return editQuoted(text, from, quote, !colon, lineEnd);
  if (colon && found.leads && matchAt(BLOCK_SCALAR, text, from)) {
    return { from, to: endOfBlock(text, found), text: REDACTED };
  }
  if (matchAt(/\[\s{0,256}\\{0,15}["']/y, text, from)) return editList(text, from, lineEnd);
  // What is in an object has names of its own.
  if (colon && matchAt(/\{(?:\s|[\\"'}]|\w{1,64}:)/y, text, from)) return undefined;
  const to = endOfBare(text, found);
  if (to === undefined) return undefined;
  return { from, to, text: REDACTED };
}

function editQuoted(
  text: string,
  from: number,
  quote: RegExpExecArray,
  shell: boolean,
  lineEnd: number,
): Edit {
  const start = from + quote[0].length;
  let close = endOfQuoted(text, start, quote[2]!, quote[1]!.length, lineEnd);
  // YAML and SQL write a quote within quotes twice.
  while (close !== undefined && quote[1] === "" && text[close + 1] === quote[2]) {
    close = endOfQuoted(text, close + 2, quote[2]!, 0, lineEnd);
  }
  if (close === undefined) return { from: start, to: lineEnd, text: REDACTED };
  // A backslash before a single quote: Python and a shell differ on whether the
  // quote ends there, so the longer one counts.
  if (quote[0] === "'" && text.slice(start, close).includes("'")) {
    const word = endOfShellWord(text, from, lineEnd);
    if (word > close + 1) return { from, to: word, text: REDACTED };
  }
  const after = close + quote[0].length;
  // A shell joins what touches: 'it'\''s'
  if (shell && /[\w\\'"$]|[^\0-\x7f]/.test(text[after] ?? "")) {
    return { from, to: endOfShellWord(text, after, lineEnd), text: REDACTED };
  }
  return { from: start, to: close, text: REDACTED };
}

/** A list of strings: each goes by itself, so that the list stays one. */
function editList(text: string, from: number, firstLineEnd: number): Edit {
  let lineEnd = firstLineEnd;
  let to = from + 1;
  let result = "[";
  for (;;) {
    const gap = matchAt(/[\s,]{0,256}/y, text, to)![0];
    const quote = matchAt(QUOTE, text, to + gap.length);
    if (quote === undefined) break;
    const start = to + gap.length + quote[0].length;
    if (start > lineEnd) {
      const newline = text.indexOf("\n", start);
      lineEnd = newline < 0 ? text.length : newline;
    }
    const close = endOfQuoted(text, start, quote[2]!, quote[1]!.length, lineEnd);
    const content = (close ?? lineEnd) === start ? "" : REDACTED;
    result += gap + quote[0] + content + (close === undefined ? "" : quote[0]);
    to = close === undefined ? lineEnd : close + quote[0].length;
  }
  return { from, to, text: result };
}
