import { cacheDir } from "../lib/build.ts";
import { IapeerError } from "../lib/errors.ts";
import { selfPath } from "../lib/self.ts";
import { realSteps, toldSteps } from "../lib/steps.ts";
import { uninstall } from "../lib/uninstall.ts";
import { type App, contextFor, type RootFlags, say } from "./app.ts";
import { prefixOf } from "./install.ts";

interface Flags extends RootFlags {
  readonly prefix?: string;
  readonly stopAll: boolean;
  readonly dryRun: boolean;
}

/** `iapeer uninstall` */
export default async function (this: App, flags: Flags): Promise<void> {
  if (selfPath() === undefined) {
    throw new IapeerError(
      "Cannot uninstall from source: a checkout may not write where a binary is installed; run: ~/.local/bin/iapeer uninstall",
    );
  }
  const ctx = contextFor(flags, false);
  const notes = await uninstall(ctx, {
    prefix: prefixOf(flags.prefix),
    cache: cacheDir(),
    stopAll: flags.stopAll,
    steps: flags.dryRun ? toldSteps((line) => say(this, line)) : realSteps(ctx.host),
  });
  for (const line of notes) this.process.stderr.write(`iapeer: ${line}\n`);
  if (!flags.dryRun) say(this, `UNINSTALLED root=${ctx.paths.root}; its logs are kept`);
}
