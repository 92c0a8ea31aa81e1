/**
 * Secrets that show by their own looks: key blocks, tokens with a well-known
 * beginning, long random strings.
 *
 * @module
 */

/** What stands in place of a secret. */
export const REDACTED = "[redacted]";

const BLOCK_MARK = /-{4,5} ?(BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-{4,5}/g;
/** What follows the mark of a block without an end; `\n` may be written as an escape. */
const BLOCK_BODY =
  /(?:[ \t]*(?:\r?\n|\\[nr])+[ \t]*(?:[A-Za-z0-9+/=]+(?=[ \t]*(?:[\r\n\\]|$))|[A-Za-z-]{1,40}: [^\r\n\\]*))*/y;
/** No private key is longer; an end farther off belongs to something else. */
const BLOCK_MAX = 32_768;

/**
 * Hides private key blocks, torn ones included.
 *
 * @param text Any text.
 * @returns The text with each block replaced.
 *
 * @example A block without an end
 * ```ts
 * import { redactKeyBlocks } from "./redact_tokens.ts";
 * import assert from "node:assert/strict";
 *
 * const text = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n$ exit";
 * assert.equal(redactKeyBlocks(text), "[redacted]\n$ exit");
 * ```
 */
export function redactKeyBlocks(text: string): string {
  const marks = [...text.matchAll(BLOCK_MARK)];
  let result = "";
  let copied = 0;
  for (const [index, mark] of marks.entries()) {
    if (mark[1] !== "BEGIN") continue;
    const from = mark.index + mark[0].length;
    const next = marks[index + 1];
    let end: number;
    if (next?.[1] === "END" && next.index - from < BLOCK_MAX) {
      end = next.index + next[0].length;
    } else {
      BLOCK_BODY.lastIndex = 0;
      end = from +
        BLOCK_BODY.exec(text.slice(from, from + BLOCK_MAX))![0].length;
    }
    result += text.slice(copied, mark.index) + REDACTED;
    copied = end;
  }
  return result + text.slice(copied);
}

// Each way either fails within a few characters or takes all it has seen, so
// the search stays linear.
const PREFIXED = new RegExp(
  "(?<![A-Za-z0-9])(?:" + [
    "sk-(?=[\\w-]{0,60}\\d)[\\w-]{8,65536}",
    "[spr]k_(?:live|test)_\\w{8,65536}",
    "gh[a-z]_\\w{8,65536}",
    "github_pat_\\w{8,65536}",
    "gl[a-z]{2,6}-[\\w-]{16,65536}",
    "xox[a-z](?:\\.xox[a-z])?-[\\w-]{8,65536}",
    "xapp-[\\w-]{8,65536}",
    "(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,65536}",
    "AIza[\\w-]{16,65536}",
    "ya29\\.[\\w-]{8,65536}",
    "npm_[A-Za-z0-9]{16,65536}(?!\\w)",
    "hf_[A-Za-z0-9]{16,65536}",
    "pypi-[\\w-]{16,65536}",
    "do[opr]_v1_\\w{16,65536}",
    "dckr_pat_[\\w-]{8,65536}",
    "hv[sbr]\\.[\\w-]{16,65536}",
    "SG\\.[\\w-]{16,65536}(?:\\.[\\w-]{1,65536})?",
    "(?:gsk|whsec|shpat|lin_api|xai|r8)[_-](?=[\\w-]{0,60}\\d)[\\w-]{16,65536}",
    "AGE-SECRET-KEY-\\w{8,65536}",
    "eyJ[\\w-]{12,65536}(?:\\.[\\w-]{1,65536}){0,4}",
  ].join("|") + ")",
  "g",
);
const RUN = /[\w+/-]{20,65536}={0,2}/g;
/** Longer than any token: data. Nor can a regular expression take much more in one bite. */
const GIANT = 65_536;
const UUID =
  /(?<![0-9A-Fa-f])([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?![0-9A-Fa-f])/;
const SEPARATORS = /([/_+=-]+)/;
const CHUNKS = /[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+/g;

/**
 * Hides tokens with a well-known beginning and long random strings.
 *
 * A run of 20 and more letters, digits, `_`, `+`, `/` and `-` counts as random
 * where one of its segments, or most of them together, change between lower
 * case, upper case and digits more often than names do, or are 32 and more
 * hexadecimal digits. UUIDs name things and stay; one that is a secret is known
 * by the name beside it. Around the random segments words are left, so that of
 * a path only the random part goes.
 *
 * @param text Any text.
 * @returns The text with each token replaced.
 *
 * @example A token and a name
 * ```ts
 * import { redactTokens } from "./redact_tokens.ts";
 * import assert from "node:assert/strict";
 *
 * const text = "iapeer-canary-claude-bob ghp_0123456789abcdef";
 * assert.equal(redactTokens(text), "iapeer-canary-claude-bob [redacted]");
 * ```
 */
export function redactTokens(text: string): string {
  return redactGiants(text).replace(PREFIXED, REDACTED).replace(RUN, redactRun);
}

function redactGiants(text: string): string {
  const giants = /(?<![\w+/-])[\w+/-]{65536}/g;
  const rest = /[\w+/-]{0,65536}/y;
  let result = "";
  let copied = 0;
  for (let match = giants.exec(text); match !== null; match = giants.exec(text)) {
    result += text.slice(copied, match.index) + REDACTED;
    let bite = GIANT;
    for (copied = giants.lastIndex; bite === GIANT; copied += bite) {
      rest.lastIndex = copied;
      bite = rest.exec(text)![0].length;
    }
    giants.lastIndex = copied;
  }
  return result + text.slice(copied);
}

function redactRun(run: string): string {
  // Splitting by a group keeps the UUIDs, at the odd places.
  return run.split(UUID).map((part, index) => index % 2 === 1 ? part : redactSegments(part))
    .join("");
}

function redactSegments(run: string): string {
  if (run.length < 20) return run;
  const segments = run.split(SEPARATORS);
  const random = segments.map((segment) => randomnessOf(segment));
  if (!random.includes("random") && !isRandomTogether(segments, random)) {
    return run;
  }
  // Paths have neither of these; Base64 has, and there a segment that reads like
  // a word is chance.
  if (/[+=]/.test(run)) return REDACTED;
  const first = segments.findIndex((segment) => !isWord(segment));
  const last = segments.findLastIndex((segment) => !isWord(segment));
  if (first < 0) return REDACTED;
  return segments.slice(0, first).join("") + REDACTED +
    segments.slice(last + 1).join("");
}

/** Base64 may hold a separator every few characters. */
function isRandomTogether(
  segments: readonly string[],
  random: readonly Randomness[],
): boolean {
  const text = segments.filter((_, index) => index % 2 === 0).join("");
  const doubtful = segments.filter((_, index) => random[index] === "doubtful")
    .join("").length;
  if (doubtful >= 12 && doubtful >= text.length * 0.6) return true;
  const chunks = segments.flatMap((segment) => segment.match(CHUNKS) ?? []);
  const mixed = /[a-z]/.test(text) && /[A-Z]/.test(text) && /\d/.test(text);
  // The kernel writes places in its code as `symbol+0x6e/0xd8`.
  const base64 = segments.some((segment) => /[+=]/.test(segment)) &&
    !segments.some((segment, index) => segment === "+" && /^0x/.test(segments[index + 1]!));
  return mixed && text.length / chunks.length < (base64 ? 3.4 : 2.2);
}

/** Whether a segment may stay at the edge of a random run: a word, a number, a separator. */
function isWord(segment: string): boolean {
  return /^(?:[A-Z]?[a-z]{2,15}|[A-Z]{2,15}|\d{1,10}|[^A-Za-z0-9]*)$/.test(
    segment,
  );
}

type Randomness = "random" | "doubtful" | "plain";

function randomnessOf(segment: string): Randomness {
  const { length } = segment;
  if (length < 6 || /^(?:\d+|[a-z]+|[A-Z]+)$/.test(segment)) return "plain";
  // Addresses, offsets and short hashes are no secrets, and kernel logs are full
  // of them.
  if (/^(?:0x)?[0-9a-f]{6,16}$/i.test(segment)) return "plain";
  if (length >= 32 && /^(?:[0-9a-f]+|[0-9A-F]+)$/.test(segment)) {
    return "random";
  }
  const chunks = segment.match(CHUNKS) ?? [];
  const average = length / chunks.length;
  if (length < 20) return average < 2.8 ? "doubtful" : "plain";
  const numbers = chunks.filter((chunk) => /^\d/.test(chunk)).length;
  const unpronounceable = numbers > 0 && /[b-df-hj-np-tv-xz]{6}/i.test(segment);
  return average < 3.4 || numbers >= 3 || unpronounceable ? "random" : "plain";
}
