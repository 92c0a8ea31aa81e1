/**
 * Builds iapeer as one executable file: `./bootstrap compile`.
 *
 * @module
 */

import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import config from "../deno.json" with { type: "json" };
import { messageOf } from "../lib/context.ts";
import { EXIT, IapeerError, UsageError } from "../lib/errors.ts";
import { bundleProgram, makeBundle } from "./bundle.ts";
import { compileWithDenort, NoDenortError } from "./denort.ts";
import { fetchRuntime, hex } from "./runtime.ts";
import { type Target, targetOf } from "./targets.ts";

const USAGE = `Usage: ./bootstrap compile [--format FORMAT] [--target TRIPLE] [--output FILE]

Builds iapeer as one executable file, and FILE.sha256 beside it.
  --format  denort: deno compile; needs denort, which Deno downloads from its own site
            bundle: a head in sh, the program, and npm's package of Deno
            auto (default): denort where it can be had, else bundle
  --target  x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu, x86_64-apple-darwin or
            aarch64-apple-darwin; default: this host's
  --output  default: dist/iapeer
`;

const HERE = fileURLToPath(new URL("..", import.meta.url));
/** Ignored by git; keeps what was fetched and what is in the making. */
const WORK = join(HERE, ".deno", "compile");

/** What is to be built. */
export interface Order {
  /** In which format. */
  readonly format: "auto" | "denort" | "bundle";
  /** For which system. */
  readonly target: Target;
  /** The file, absolute. */
  readonly output: string;
}

/**
 * Reads the command line.
 *
 * @param args The arguments.
 * @returns What is to be built; `undefined` if help is wanted.
 * @throws {UsageError} If it makes no sense.
 */
export function parseOrder(args: readonly string[]): Order | undefined {
  const text = { type: "string" } as const;
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: { format: text, target: text, output: text, help: { type: "boolean", short: "h" } },
    }));
  } catch (error) {
    throw new UsageError(`Cannot read the command line: ${messageOf(error)}`);
  }
  if (values.help) return undefined;
  const format = values.format ?? "auto";
  if (format !== "auto" && format !== "denort" && format !== "bundle") {
    throw new UsageError(`Cannot compile to "${format}": choose auto, denort or bundle`);
  }
  const target = targetOf(values.target ?? Deno.build.target);
  const output = values.output === undefined
    ? join(HERE, "dist", "iapeer")
    : resolve(values.output);
  return { format, target, output };
}

/** Builds into `output`, which is in nobody's way. */
async function build(order: Order, output: string): Promise<"denort" | "bundle"> {
  if (order.format !== "bundle") {
    try {
      const entry = join(dirname(output), "iapeer.mjs");
      Deno.writeFileSync(entry, await bundleProgram(HERE, "main.ts"));
      await compileWithDenort(order.target, entry, output);
      return "denort";
    } catch (error) {
      if (order.format === "denort" || !(error instanceof NoDenortError)) throw error;
      say(`${error.message.split(";")[0]}; building a bundle instead`);
    }
  }
  const deno = pinnedDeno();
  const runtime = await fetchRuntime(order.target, deno, WORK);
  if (runtime.checkedBy === "registry") {
    say(
      `scripts/runtimes.json does not know ${order.target.package}@${deno}: took its integrity from npm's registry`,
    );
  }
  const bytes = await makeBundle({
    version: config.version,
    deno,
    target: order.target,
    program: await bundleProgram(HERE, "scripts/bundle_main.ts"),
    runtime,
    head: Deno.readTextFileSync(join(HERE, "scripts", "bundle_head.sh")),
  });
  Deno.writeFileSync(output, bytes);
  return "bundle";
}

/** The Deno of this checkout. Another one would bundle to other bytes. */
function pinnedDeno(): string {
  const pinned = Deno.readTextFileSync(join(HERE, ".deno-version")).trim();
  if (Deno.version.deno === pinned) return pinned;
  throw new IapeerError(
    `Cannot build with Deno ${Deno.version.deno}: this checkout is for ${pinned}; run ./bootstrap compile`,
  );
}

/** Builds; the output and its hash appear when they are whole. */
async function compile(order: Order): Promise<void> {
  const { output } = order;
  Deno.mkdirSync(dirname(output), { recursive: true });
  const dir = Deno.makeTempDirSync({ dir: dirname(output), prefix: ".compile." });
  try {
    const file = join(dir, basename(output));
    const format = await build(order, file);
    Deno.chmodSync(file, 0o755);
    const bytes = Deno.readFileSync(file);
    const sum = hex(await crypto.subtle.digest("SHA-256", bytes));
    Deno.writeTextFileSync(`${file}.sha256`, `${sum}  ${basename(output)}\n`);
    Deno.renameSync(file, output);
    Deno.renameSync(`${file}.sha256`, `${output}.sha256`);
    const size = (bytes.length / 2 ** 20).toFixed(1);
    say(`${output} (${format}, ${order.target.triple}, ${size} MiB)`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function say(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`compile: ${text}\n`));
}

if (import.meta.main) {
  try {
    const order = parseOrder(Deno.args);
    if (order === undefined) Deno.stdout.writeSync(new TextEncoder().encode(USAGE));
    else await compile(order);
  } catch (error) {
    if (!(error instanceof IapeerError)) throw error;
    say(error.message);
    Deno.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.refused;
  }
}
