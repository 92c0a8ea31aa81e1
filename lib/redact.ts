/**
 * Hides secrets in what goes into records: command lines, environments, panes.
 *
 * @module
 */

import { REDACTED, redactKeyBlocks, redactTokens } from "./redact_tokens.ts";
import { redactNamed } from "./redact_values.ts";

/**
 * Hides the secrets in a text. In doubt it hides.
 *
 * Secret is the value beside a name that says so (`--token x`, `API_KEY=x`,
 * `"apiKey": "x"`, `password: x`, `Authorization: Bearer x`, `?sig=x`), the
 * password in a URL, a private key, a token with a well-known beginning, and a
 * long random string. A value without quotes ends at a blank, save in a header
 * or behind a colon that follows the first word of its line: there the whole
 * line goes. `-pSECRET` counts behind `mysql`, `mariadb` and `sshpass` only,
 * `-u name:SECRET` everywhere. Not secret are `--key-file` and its like with a
 * path, `PWD` with one, numbers of tokens, and public keys.
 *
 * It never throws, takes time in proportion to the text, and leaves alone what
 * it has hidden before.
 *
 * @param text Any text.
 * @returns The text with `[redacted]` in place of each secret.
 *
 * @example A command line
 * ```ts
 * import { redact } from "./redact.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(
 *   redact("curl -H 'X-Api-Key: hunter2' https://bob:hunter2@example.org"),
 *   "curl -H 'X-Api-Key: [redacted]' https://bob:[redacted]@example.org",
 * );
 * ```
 */
export function redact(text: string): string {
  // Tokens before names: what is left of a random string may end in a name.
  let result = redactTokens(redactKeyBlocks(text));
  result = redactUrls(result);
  result = redactOptions(result);
  return redactNamed(result);
}

// A single quote is legal in there, and may be the end of an argument.
const USER_INFO = /:\/\/((?:[^\s/?#"'<>`]|'(?![\s,;)\]}])){0,4096})@/g;
/** A password that holds a `/`, a `?` or a `#` which should have been encoded. */
const BAD_USER_INFO =
  /:\/\/([^\s/?#"'<>`@:[\]]{0,256}):(?!\d{0,5}[/?#]|\[redacted\]@)[^\s"'<>`]{1,256}@/g;

function redactUrls(text: string): string {
  return text.replace(USER_INFO, (whole, userInfo: string, offset: number) => {
    const colon = userInfo.search(/:|%3A/i);
    const password = userInfo.slice(colon).replace(/^(?::|%3A)/i, "");
    if (colon >= 0 && !/^(?:x-oauth-basic)?$/.test(password)) {
      const name = userInfo.slice(0, userInfo.length - password.length);
      return `://${name}${REDACTED}@`;
    }
    // A name alone is usual with ssh, and a token with http.
    const web = /https?$/i.test(text.slice(Math.max(0, offset - 5), offset));
    return web || colon >= 0 ? `://${REDACTED}@` : whole;
  }).replace(BAD_USER_INFO, `://$1:${REDACTED}@`);
}

const VALUE = `("[^"\\n]{0,65536}"?|'[^'\\n]{0,65536}'?|[^\\s"'\\0]{1,65536})`;
/** `curl -u name:password`, also as a list of strings. */
const USER_OPTION = new RegExp(
  `(?<=^|[\\s"'\\0])(-u|-U|--user|--proxy-user)([ \\t=\\0]{1,64}|["'],?\\s{0,64}(?=["']))${VALUE}`,
  "gm",
);
const NETRC = /(\blogin[ \t]{1,64}\S{1,256}[ \t]{1,64}password[ \t]{1,64})\S{1,65536}/g;
const DATABASE = /\b(?:mysql|mariadb)/;
const LOGIN = /\b(?:sshpass|redis-cli|(?:docker|podman|oc|az) login)\b/;

function redactOptions(text: string): string {
  const result = text.replace(NETRC, `$1${REDACTED}`).replace(
    USER_OPTION,
    (whole, option: string, gap: string, value: string) => {
      const [, open = "", name, password, close = ""] =
        /^(["']?)([^:"']{0,256}):(?!\/\/)([^]*?)(["']?)$/.exec(value) ?? [];
      // Without a name, a user and group by number.
      if (!password || (/^\d+$/.test(name!) && /^\d+$/.test(password))) return whole;
      return `${option}${gap}${open}${name}:${REDACTED}${open === "" ? "" : close}`;
    },
  );
  if (!DATABASE.test(result) && !LOGIN.test(result)) return result;
  return result.split("\n").map((line) => {
    const hidden = hideOption(line, DATABASE, new RegExp(`(\\s-p)${VALUE}`, "g"));
    return hideOption(hidden, LOGIN, new RegExp(`(\\s-[ap][ \\t]{0,64})${VALUE}`, "g"));
  }).join("\n");
}

function hideOption(line: string, tool: RegExp, option: RegExp): string {
  const at = line.search(tool);
  if (at < 0) return line;
  return line.slice(0, at) + line.slice(at).replace(option, `$1${REDACTED}`);
}
