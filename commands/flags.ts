/**
 * Flags that several commands share, and what turns the text of a flag into a
 * value.
 *
 * @module
 */

import { numberParser } from "@stricli/core";
import { parseIdentity } from "../lib/config.ts";
import { UsageError } from "../lib/errors.ts";

/** Takes the text as it is. */
export const text = (value: string): string => value;

/** `--root` */
export const root = {
  kind: "parsed",
  parse: text,
  brief: "Directory of all state, sockets and logs [$IAPEER_ROOT, else ~/.iapeer]",
  placeholder: "DIR",
  optional: true,
} as const;

/** `--json` */
export const json = {
  kind: "boolean",
  brief: "Print one JSON document and nothing else",
  default: false,
  withNegated: false,
} as const;

/** `--identity` */
export const identity = {
  kind: "parsed",
  parse: parseIdentity,
  brief: "Name of the session: <runtime>-<personality>, such as claude-bob",
  placeholder: "ID",
} as const;

/** Any number of sessions. */
export const identities = (brief: string) =>
  ({
    kind: "array",
    parameter: { parse: parseIdentity, brief, placeholder: "ID" },
  }) as const;

/** `--direct` */
export const direct = {
  kind: "boolean",
  brief: "Do it here, though a supervisor runs that would do it",
  default: false,
  withNegated: false,
} as const;

/** A number above zero. */
export function positive(value: string): number {
  const number = numberParser(value);
  if (!Number.isFinite(number) || number <= 0) {
    throw new UsageError(`"${value}" is not a positive number`);
  }
  return number;
}

/** Seconds, or `off`. */
export function idle(value: string): number | "off" {
  return value === "off" ? "off" : positive(value);
}

/** Columns and rows. */
export function size(value: string): string {
  const match = /^([1-9]\d{0,3})x([1-9]\d{0,3})$/.exec(value);
  if (match === null) throw new UsageError(`"${value}" is not <columns>x<rows>, such as 220x50`);
  return value;
}

/** A variable with its value. */
export function variable(value: string): string {
  if (!/^[^=]+=/.test(value)) throw new UsageError(`"${value}" is not <name>=<value>`);
  return value;
}

/** A duration, in seconds. */
export function duration(value: string): number {
  const match = /^(\d+(?:\.\d+)?)(s|m|h|d)$/.exec(value);
  if (match === null) {
    throw new UsageError(`"${value}" is not a duration such as 90s, 15m, 2h or 7d`);
  }
  const secs = { s: 1, m: 60, h: 3600, d: 86400 }[match[2] as "s" | "m" | "h" | "d"];
  return Number(match[1]) * secs;
}

/** `--prefix` */
export const prefix = {
  kind: "parsed",
  parse: text,
  brief: "The binary lies in bin of this directory [~/.local]",
  placeholder: "DIR",
  optional: true,
} as const;

/** `--dry-run` */
export const dryRun = {
  kind: "boolean",
  brief: "Print every step and change nothing",
  default: false,
  withNegated: false,
} as const;
