/**
 * Finds where a secret ends that begins at a known place.
 *
 * @module
 */

import { REDACTED } from "./redact_tokens.ts";

/** A name that speaks of a secret, and where its value begins. */
export interface Found {
  /** The name. */
  readonly name: string;
  /** Where the name begins. */
  readonly index: number;
  /** Where the value begins. */
  readonly from: number;
  /** What stands between them. */
  readonly separator: string;
  /** The name is in quotes of its own, as in JSON. */
  readonly quoted: boolean;
  /** Nothing but indentation and the like is before the name on its line. */
  readonly leads: boolean;
  /** The end of the line that holds the value. */
  readonly lineEnd: number;
}

/** Words after which the secret itself follows. */
const SCHEME = /^(?:bearer|basic|token|negotiate|apikey|key)$/i;
/** Words after which all the rest of the line is parameters. */
const PARAMETERS = /^(?:digest|hawk|oauth|aws4-[\w-]{1,32})$/i;

/**
 * Finds the end of a quoted value.
 *
 * @param text The text.
 * @param start Where the value begins, behind its quote.
 * @param quote The quote.
 * @param depth Backslashes before the opening quote: how deep it is nested in
 * other quotes.
 * @param limit Where to stop.
 * @returns Where the closing quote begins, its backslashes included;
 * `undefined` if there is none.
 *
 * @example An escaped quote does not end the value
 * ```ts
 * import { endOfQuoted } from "./redact_spans.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(endOfQuoted('"a\\"b" c', 1, '"', 0, 9), 5);
 * ```
 */
export function endOfQuoted(
  text: string,
  start: number,
  quote: string,
  depth: number,
  limit: number,
): number | undefined {
  let backslashes = 0;
  for (let at = start; at < limit; at++) {
    const character = text[at];
    // Each level doubles the backslashes of what it holds, and adds one.
    if (character === quote && backslashes % (2 * depth + 2) === depth) {
      return at - depth;
    }
    backslashes = character === "\\" ? backslashes + 1 : 0;
  }
  return undefined;
}

/**
 * Finds the end of a shell word, from a place outside quotes.
 *
 * @param text The text.
 * @param from The place.
 * @param limit Where to stop.
 * @returns The end.
 *
 * @example Quotes within a word
 * ```ts
 * import { endOfShellWord } from "./redact_spans.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(endOfShellWord("a'b c'd e", 0, 9), 7);
 * ```
 */
export function endOfShellWord(
  text: string,
  from: number,
  limit: number,
): number {
  let at = from;
  while (at < limit && !isBlank(text, at)) {
    const character = text[at]!;
    if (character === "\\") at += 2;
    else if (character === '"') {
      at = (endOfQuoted(text, at + 1, character, 0, limit) ?? limit) + 1;
    } else if (character === "'") {
      // Nothing is an escape in there.
      do at++; while (at < limit && text[at] !== "'");
      at++;
    } else at++;
  }
  return Math.min(at, limit);
}

/** Blanks and all control characters, colours of a terminal among them. */
function isBlank(text: string, at: number): boolean {
  return text.charCodeAt(at) <= 0x20;
}

/**
 * Finds the end of a value that has no quotes of its own.
 *
 * @param text The text.
 * @param found The name, and where the value begins.
 * @returns The end, or `undefined` when it is none to hide.
 *
 * @example A value in a query
 * ```ts
 * import { endOfBare } from "./redact_spans.ts";
 * import assert from "node:assert/strict";
 *
 * const end = endOfBare("?sig=abc&x=1", {
 *   name: "sig",
 *   index: 1,
 *   from: 5,
 *   separator: "=",
 *   quoted: false,
 *   leads: false,
 *   lineEnd: 12,
 * });
 * assert.equal(end, 8);
 * ```
 */
export function endOfBare(text: string, found: Found): number | undefined {
  const { name, index, from, separator, lineEnd } = found;
  if (found.quoted) return endOfJson(text, from);
  const before = text[index - 1] ?? "";
  if (/["'`]/.test(before)) {
    const depth = /\\{0,15}$/.exec(text.slice(Math.max(0, index - 16), index - 1))![0].length;
    return endOfQuoted(text, from, before, depth, lineEnd) ?? lineEnd;
  }
  if (/[?&#%]/.test(before) || /^%3D$/i.test(separator)) {
    return endOfQuery(text, from);
  }
  const flag = name.startsWith("-");
  if (flag && /^\s+$/.test(separator)) {
    // The next flag: this one had no value, or asks for it.
    return isFlag(text, from) ? undefined : endOfWords(text, found);
  }
  // Headers, YAML and ini files do without quotes though the value has blanks.
  const open = separator.includes(":") ? /\s$/ : /^\s.*\s$/;
  if (found.leads && !flag && open.test(separator)) return lineEnd;
  return endOfWords(text, found);
}

function endOfQuery(text: string, from: number): number {
  let at = from;
  for (; at < text.length && !isBlank(text, at); at++) {
    const character = text[at]!;
    if (/[&#"<>`]/.test(character)) break;
    if (character === "%" && text.startsWith("%26", at)) break;
    // Legal in a query; an argument ends with it though.
    if (character === "'" && /^'(?:[\s,;)\]}]|$)/.test(text.slice(at, at + 2))) {
      break;
    }
  }
  return at;
}

/** Numbers and the like; strings have quotes. */
function endOfJson(text: string, from: number): number | undefined {
  if (text.startsWith(REDACTED, from)) return undefined;
  let to = from;
  while (to < text.length && !/[\s,}\]]/.test(text[to]!)) to++;
  return /^(?:null|true|false)$/.test(text.slice(from, Math.min(to, from + 6))) ? undefined : to;
}

function isFlag(text: string, from: number): boolean {
  return /^(?:--[A-Za-z]|-[A-Za-z](?:\s|$))/.test(text.slice(from, from + 3));
}

/** One word, or more where a header's value has several. */
function endOfWords(text: string, found: Found): number {
  const { name, from, lineEnd } = found;
  let to = endOfWord(text, from);
  if (/cookie/i.test(name)) {
    for (let next = nextWord(text, to); text[to - 1] === ";" && next < lineEnd;) {
      to = endOfWord(text, next);
      // A control character is no word: go no further, or go on for ever.
      if (to === next) break;
      next = nextWord(text, to);
    }
    return to;
  }
  const word = text.slice(from, Math.min(to, from + 40));
  const header = /authorization$/i.test(name);
  if (header && PARAMETERS.test(word)) return lineEnd;
  if (SCHEME.test(word) || (header && /^[A-Za-z][\w-]*$/.test(word))) {
    const next = nextWord(text, to);
    if (next > to && next < lineEnd) return endOfWord(text, next);
  }
  return to;
}

function nextWord(text: string, from: number): number {
  let at = from;
  while (text[at] === " " || text[at] === "\t" || text[at] === "\0") at++;
  return at;
}

function endOfWord(text: string, from: number): number {
  let at = from;
  for (; at < text.length && !isBlank(text, at); at++) {
    const character = text[at];
    if (character === "\\" && text[at + 1] === " ") at++;
    // The end of a string of JSON that holds the whole.
    if (character === '"' && /[,:}\]]/.test(text[at + 1] ?? "")) break;
  }
  return Math.min(at, text.length);
}

/**
 * Finds the end of a YAML block, the lines indented deeper than its name's.
 *
 * @param text The text.
 * @param found The name, and where the mark of the block begins.
 * @returns The end of the last line.
 *
 * @example Usage
 * ```ts
 * import { endOfBlock } from "./redact_spans.ts";
 * import assert from "node:assert/strict";
 *
 * const text = "key: |\n  a\n  b\nc: 1";
 * const found = { name: "key", index: 0, from: 5, separator: ": " };
 * const end = endOfBlock(text, { ...found, quoted: false, leads: true, lineEnd: 6 });
 * assert.equal(text.slice(end), "\nc: 1");
 * ```
 */
export function endOfBlock(text: string, found: Found): number {
  const lineStart = text.lastIndexOf("\n", found.index - 1) + 1;
  const indentation = depthOf(text, found.index === 0 ? 0 : lineStart);
  let end = found.lineEnd;
  for (let at = end + 1; at < text.length;) {
    const newline = text.indexOf("\n", at);
    const lineEnd = newline < 0 ? text.length : newline;
    const depth = depthOf(text, at);
    const empty = at + depth >= lineEnd || text[at + depth] === "\r";
    if (!empty && depth <= indentation) break;
    if (!empty) end = lineEnd;
    at = lineEnd + 1;
  }
  return end;
}

function depthOf(text: string, lineStart: number): number {
  let at = lineStart;
  while (text[at] === " " || text[at] === "\t") at++;
  return at - lineStart;
}
