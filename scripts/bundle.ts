/**
 * The format `bundle`: a head in sh, the program, and npm's package of Deno, in
 * one executable file.
 *
 * @module
 */

import { join } from "node:path";
import { IapeerError } from "../lib/errors.ts";
import { type InstallPlaces, permissionFlags } from "../lib/permissions.ts";
import { hex } from "./runtime.ts";
import type { Target } from "./targets.ts";

/** What a bundle is made of. */
export interface Parts {
  /** Version of iapeer. */
  readonly version: string;
  /** Version of Deno. */
  readonly deno: string;
  /** For which system. */
  readonly target: Target;
  /** The program as one module. */
  readonly program: Uint8Array<ArrayBuffer>;
  /** A tarball with Deno as `package/deno`, and the hash of that file. */
  readonly runtime: { readonly tarball: Uint8Array; readonly sha256: string };
  /** The text of `scripts/bundle_head.sh`. */
  readonly head: string;
}

/**
 * Puts a bundle together. The same parts give the same bytes.
 *
 * @param parts What it is made of.
 * @returns The file.
 */
export async function makeBundle(parts: Parts): Promise<Uint8Array<ArrayBuffer>> {
  const { program, runtime, target } = parts;
  const programSum = hex(await crypto.subtle.digest("SHA-256", program));
  const sums = new TextEncoder().encode(`${runtime.sha256} ${programSum}\n`);
  const values = {
    VERSION: parts.version,
    DENO: parts.deno,
    TARGET: target.triple,
    CACHE: target.cache,
    STAT: target.stat,
    ID: hex(await crypto.subtle.digest("SHA-256", sums)),
    RUNTIME_SHA256: runtime.sha256,
    PROGRAM_SHA256: programSum,
    PROGRAM_SIZE: String(program.length),
    FLAGS: shellFlags(),
    INSTALL_FLAGS: shellFlags({
      prefix: "@PREFIX@",
      configHome: "@CONFIG@",
      cache: "@UNPACKED@",
    }),
  };
  // The head tells where it ends: its length depends on the digits of its length.
  let head = new Uint8Array();
  for (let length = -1; length !== head.length;) {
    length = head.length;
    const places = { PROGRAM_AT: length + 1, RUNTIME_AT: length + program.length + 1 };
    head = new TextEncoder().encode(fill(parts.head, { ...values, ...places }));
  }
  const bytes = new Uint8Array(head.length + program.length + runtime.tarball.length);
  bytes.set(head);
  bytes.set(program, head.length);
  bytes.set(runtime.tarball, head.length + program.length);
  return bytes;
}

function fill(head: string, values: Readonly<Record<string, string | number>>): string {
  return head.replace(/@([A-Z0-9_]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`the head wants @${name}@`);
    return String(value);
  });
}

/** Variables of the head that stand for what is known on the host only. */
const KNOWN_THERE = {
  "@ROOT@,@REAL@": "$_iap_roots",
  "@SELF@": "$_iap_self",
  "@PREFIX@": "$_iap_prefix",
  "@CONFIG@": "$_iap_config",
  "@UNPACKED@": "$_iap_cache",
};

/** The permission flags as words of sh. */
function shellFlags(install?: InstallPlaces): string {
  const flags = permissionFlags("@ROOT@", "@HOME@", "@SELF@", "@REAL@", install);
  return flags.map((flag) => {
    let word = flag.replace(/["$`\\]/g, "\\$&");
    for (const [mark, variable] of Object.entries(KNOWN_THERE)) {
      word = word.replaceAll(mark, variable);
    }
    word = word.replace(/,@HOME@([^,]*)/g, (_, rest) => `\${_iap_home:+,$_iap_home${rest}}`);
    return word === flag && /^[\w=,-]+$/.test(word) ? word : `"${word}"`;
  }).join(" ");
}

/**
 * Bundles the program into one module. Paths of this machine, which esbuild
 * puts into comments and names, are taken out.
 *
 * @param checkout Where the source is.
 * @param entry Which module of it to begin with.
 * @returns The module.
 * @throws {IapeerError} If Deno cannot bundle it, or it needs Node's modules:
 * these take 8 of 25 ms to load [measured, Deno 2.9.6].
 */
export async function bundleProgram(
  checkout: string,
  entry: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const dir = Deno.makeTempDirSync();
  try {
    const output = join(dir, "iapeer.mjs");
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: bundleArgs(output, entry),
      cwd: checkout,
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    if (!success) {
      throw new IapeerError(
        `Cannot bundle the program: ${new TextDecoder().decode(stderr).trim()}`,
      );
    }
    const module = withoutPaths(Deno.readTextFileSync(output));
    const node = /^import .*"(node:[^"]+)"/m.exec(module)?.[1];
    if (node !== undefined) {
      throw new IapeerError(
        `Cannot bundle the program: something in it imports "${node}", which every start would wait for; use Deno's own API or lib/path.ts`,
      );
    }
    return new TextEncoder().encode(module);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** For a browser: packages then do without Node's modules where they can. */
function bundleArgs(output: string, entry: string): string[] {
  return ["bundle", "--quiet", "--platform=browser", "--output", output, entry];
}

function withoutPaths(module: string): string {
  return module.replaceAll(/^(\/\/ | {2}")\S*\/npm\/[^/\s]+\//gm, "$1npm/");
}
