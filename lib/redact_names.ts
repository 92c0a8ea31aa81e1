/**
 * Which names say that the value beside them is a secret.
 *
 * @module
 */

/**
 * What a name says of its value.
 *
 * - `secret`: hide it.
 * - `path`: names a place; hide it unless it looks like a path.
 * - `url`: names an address; hide it unless it looks like one.
 * - `count`: often a number of tokens; hide it unless it is a number.
 * - `signal`: short for signature or signal; hide it unless it is a signal.
 */
export type NameKind = "secret" | "path" | "url" | "count" | "signal";

/** Of a longer name the end is looked at; nobody writes such a one. */
const MAX_NAME = 256;
/** Cheap test that spares nearly all names the careful look. */
const HINT = /pass|pw|secret|token|key|cred|auth|cookie|sess|sid|sig|jwt|otp|psk|bearer/i;
const WORD_ENDS = /[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/;

// These match names written as `_api_key_`: words in lower case between `_`.
const ANYWHERE = new RegExp(
  [
    "pass_?(?:word|wort|wd|phrase|code|key)",
    "secret(?!ar)",
    "token(?!i[sz])",
    "credential",
    "authorization",
    "cookie",
    "signature",
    "sess(?:ion)?_?id",
    "_auth_?(?:code|data|string|header|value)",
    "(?:api|access|priv(?:ate)?|auth|ssh|sign(?:ing)?|master|encrypt(?:ion)?|session|licen[cs]e" +
    "|account|storage|service|deploy|client|shared|server|app|admin|user|root|hmac|aes|rsa|tls|ssl)" +
    "_?keys?\\d*_",
  ].join("|"),
);
const AT_THE_END = new RegExp(
  [
    "(?<!_by|_com|_tres|_sur|_encom|_over|_under)pass",
    "pwd",
    "_(?:db|user|root|admin)?pw",
    "_creds?",
    "_o?auth",
    "_bearer",
    "_jwt",
    "_t?otp",
    "_psk",
    "_sid",
    "(?<!_public|_pub|_primary|_foreign|_sort|_partition|_unique|_hot|_any)_keys?",
    "_keys?_(?:ids?|value|data|pem|base64|b64|hex|json|text|string|raw|material)",
  ].map((end) => `${end}\\d*_$`).join("|"),
);
/** Says something about a secret, and is none. */
const ABOUT = new RegExp(
  "_(?:type|method|mode|kind|names?|len|length|size|bits|count|limit|ttl|expir[a-z]*|age|timeout" +
    "|policy|alg|algorithm|format|provider|enabled|disabled|required|version|prompt|budget|usage" +
    "|used|host|port|domain|realm|user|username|stdin|status|expires_(?:in|at))_$",
);
const NEGATED = /^_(?:no|not|skip|without|disable|ask)_/;

/**
 * Tells what a name says of its value.
 *
 * @param name A flag, variable, field, parameter or header, without its
 * separator; leading dashes do not matter.
 * @returns The kind, or `undefined` when the name has nothing secret about it.
 *
 * @example Keys that unlock, and keys that do not
 * ```ts
 * import { kindOfName } from "./redact_names.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(kindOfName("X-Api-Key"), "secret");
 * assert.equal(kindOfName("--key-file"), "path");
 * assert.equal(kindOfName("keyboard"), undefined);
 * ```
 */
export function kindOfName(name: string): NameKind | undefined {
  if (!HINT.test(name)) return undefined;
  const words = `_${
    name.slice(-MAX_NAME).split(WORD_ENDS).filter((word) => word !== "").join(
      "_",
    ).toLowerCase()
  }_`;
  if (words === "_sig_") return "signal";
  const place = /_(?:files?|path|dir|directory|sock|socket|jar|store)_$/.exec(
    words,
  );
  const address = /_(?:ur[il]|endpoint)_$/.exec(words);
  // With `key_file` it is the `key` that counts.
  const rest = words.slice(0, (place ?? address)?.index ?? -1) + "_";
  if (!ANYWHERE.test(rest) && !AT_THE_END.test(rest)) return undefined;
  if (ABOUT.test(words) || NEGATED.test(words)) return undefined;
  if (place !== null || /^(?:OLD)?PWD$/.test(name)) return "path";
  if (address !== null) return "url";
  return /_tokens_$|_sid_$/.test(words) ? "count" : "secret";
}

/**
 * Tells whether a value may stay readable although its name speaks of secrets.
 *
 * @param kind What {@linkcode kindOfName} says.
 * @param value The value.
 * @returns Whether it is harmless.
 *
 * @example A path to a key is no key
 * ```ts
 * import { isHarmless } from "./redact_names.ts";
 * import assert from "node:assert/strict";
 *
 * assert.equal(isHarmless("path", "/etc/ssl/key.pem"), true);
 * assert.equal(isHarmless("path", "hunter2"), false);
 * ```
 */
export function isHarmless(kind: NameKind, value: string): boolean {
  switch (kind) {
    case "secret":
      return false;
    case "path":
      return /^(?:\.{0,2}\/|~)/.test(value);
    case "url":
      return /^https?:\/\//i.test(value);
    case "count":
      return /^[\d.,_]{1,12}[kKmM]?[,;]?$/.test(value);
    case "signal":
      return /^(?:\d{1,2}|SIG[A-Z]{1,12}\d{0,2})[,;]?$/.test(value);
  }
}
