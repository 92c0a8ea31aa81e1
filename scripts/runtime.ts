/**
 * npm's package of Deno for a target, checked.
 *
 * @module
 */

import { join } from "node:path";
import { IapeerError } from "../lib/errors.ts";
import integrities from "./runtimes.json" with { type: "json" };
import type { Target } from "./targets.ts";

/** Deno as npm packs it. */
export interface Runtime {
  /** The package's tarball, byte for byte. */
  readonly tarball: Uint8Array<ArrayBuffer>;
  /** Of the executable in it, in hexadecimal. */
  readonly sha256: string;
  /** Where its integrity is from: `scripts/runtimes.json`, or npm's registry. */
  readonly checkedBy: "lock" | "registry";
}

/**
 * Fetches the package through npm, or takes it from an earlier build, and
 * checks it against `scripts/runtimes.json`; where that does not know it,
 * against what the registry says.
 *
 * @param target For which system.
 * @param version Which Deno.
 * @param dir Keeps the tarball; made if it is not there.
 * @returns The package.
 * @throws {IapeerError} If it cannot be had, or is not what it should be.
 */
export async function fetchRuntime(target: Target, version: string, dir: string): Promise<Runtime> {
  const spec = `${target.package}@${version}`;
  const known = (integrities as Record<string, string>)[spec];
  const expected = known ?? (await npm(spec, ["view", spec, "dist.integrity"])).trim();
  if (expected === "") {
    throw new IapeerError(`Cannot fetch ${spec}: npm's registry does not have it; ${REMEDY}`);
  }
  Deno.mkdirSync(dir, { recursive: true });
  const kept = join(dir, `${spec.slice(1).replace("/", "-")}.tgz`);
  const tarball = await takeKept(kept, expected) ?? await pack(spec, kept, expected);
  const sha256 = hex(await crypto.subtle.digest("SHA-256", await executableIn(spec, tarball)));
  return { tarball, sha256, checkedBy: known === undefined ? "registry" : "lock" };
}

const REMEDY = "look at npm's registry setting, or use a mirror that has it";

async function takeKept(path: string, expected: string) {
  try {
    const bytes = Deno.readFileSync(path);
    return await integrityOf(bytes) === expected ? bytes : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function pack(spec: string, kept: string, expected: string) {
  const dir = Deno.makeTempDirSync({ dir: join(kept, ".."), prefix: "tmp." });
  try {
    await npm(spec, ["pack", "--loglevel=error", `--pack-destination=${dir}`, spec]);
    const name = [...Deno.readDirSync(dir)].map((entry) => entry.name)
      .find((name) => name.endsWith(".tgz"));
    if (name === undefined) {
      throw new IapeerError(`Cannot fetch ${spec}: npm brought no tarball; ${REMEDY}`);
    }
    const tarball = Deno.readFileSync(join(dir, name));
    const integrity = await integrityOf(tarball);
    if (integrity !== expected) {
      throw new IapeerError(
        `Cannot use ${spec}: its integrity is "${integrity}" and must be "${expected}"; ${REMEDY}`,
      );
    }
    Deno.renameSync(join(dir, name), kept);
    return tarball;
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** Runs npm; gives what it printed. */
async function npm(spec: string, args: readonly string[]): Promise<string> {
  try {
    const { success, stdout, stderr } = await new Deno.Command("npm", {
      args: [...args],
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    if (success) return text.decode(stdout);
    const said = text.decode(stderr).split("\n").filter((line) => /^npm err/i.test(line));
    throw new IapeerError(
      `Cannot fetch ${spec}: npm says "${said.slice(0, 2).join(" ") || "nothing"}"; ${REMEDY}`,
    );
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new IapeerError(
      `Cannot fetch ${spec}: there is no npm on PATH; install Node.js with npm`,
    );
  }
}

async function integrityOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return `sha512-${new Uint8Array(await crypto.subtle.digest("SHA-512", bytes)).toBase64()}`;
}

/** The executable: a tar is a row of 512-byte heads, each with its file after it. */
async function executableIn(spec: string, tarball: Uint8Array<ArrayBuffer>) {
  const unzipped = new Blob([tarball]).stream().pipeThrough(new DecompressionStream("gzip"));
  const tar = await new Response(unzipped).bytes();
  const text = new TextDecoder();
  for (let at = 0; at + 512 <= tar.length;) {
    const field = (from: number, to: number) =>
      text.decode(tar.subarray(at + from, at + to)).replace(/\0.*$/s, "");
    const size = parseInt(field(124, 136), 8) || 0;
    if (field(0, 100) === "package/deno") return tar.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  throw new IapeerError(`Cannot use ${spec}: there is no package/deno in it; ${REMEDY}`);
}

/**
 * Bytes in hexadecimal, as `sha256sum` prints them.
 *
 * @param bytes What.
 * @returns Two digits for each.
 */
export function hex(bytes: ArrayBuffer): string {
  return new Uint8Array(bytes).toHex();
}
