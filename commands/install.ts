import config from "../deno.json" with { type: "json" };
import { cacheDir, versionLine } from "../lib/build.ts";
import { UsageError } from "../lib/errors.ts";
import { install } from "../lib/install.ts";
import { resolve } from "../lib/path.ts";
import { selfPath } from "../lib/self.ts";
import { realSteps, shellWord, toldSteps } from "../lib/steps.ts";
import { type App, callersDir, contextFor, type RootFlags, say } from "./app.ts";

interface Flags extends RootFlags {
  readonly prefix?: string;
  readonly noService: boolean;
  readonly dryRun: boolean;
}

/** `iapeer install` */
export default async function (this: App, flags: Flags): Promise<void> {
  const ctx = contextFor(flags, false);
  const { program, service, pid, advice } = await install(ctx, {
    from: selfPath(),
    prefix: prefixOf(flags.prefix),
    version: versionLine(),
    service: !flags.noService,
    cache: Deno.env.get("IAPEER_CACHE") || Deno.env.get("XDG_CACHE_HOME") ? cacheDir() : undefined,
    steps: flags.dryRun ? toldSteps((line) => say(this, line)) : realSteps(ctx.host),
  });
  for (const line of advice) this.process.stderr.write(`iapeer: ${line}\n`);
  if (flags.dryRun) return;
  const running = service === undefined ? "" : ` service=${service} pid=${pid}`;
  say(this, `INSTALLED program=${shellWord(program)} version=${config.version}${running}`);
}

/**
 * Where to install, from the flag or the default.
 *
 * @param flag Value of `--prefix`, if given.
 * @returns An absolute path.
 * @throws {UsageError} If there is neither a flag nor a home directory.
 */
export function prefixOf(flag: string | undefined): string {
  if (flag === "") throw new UsageError("Cannot use an empty --prefix: give a directory");
  if (flag !== undefined) return resolve(flag.startsWith("/") ? "/" : callersDir(), flag);
  const home = Deno.env.get("HOME");
  if (!home) {
    throw new UsageError("Cannot tell where to install: HOME is not set; give --prefix DIR");
  }
  return resolve(home, ".local");
}
