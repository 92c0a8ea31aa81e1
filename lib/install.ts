/**
 * Installing: the binary in its place, the supervisor as a service of the user.
 * Doing it again is an update in place; servers and canaries are untouched.
 *
 * @module
 */

import { dirname } from "./path.ts";
import { binaryPath, placeBinary } from "./binary.ts";
import { openRoot } from "./config.ts";
import type { Context } from "./context.ts";
import { note } from "./context.ts";
import { IapeerError, UsageError } from "./errors.ts";
import { type Service, serviceOf, servicePathNow, type ServiceState } from "./service.ts";
import { expressible } from "./service_file.ts";
import { shellWord, type Steps } from "./steps.ts";
import { supervisorOf } from "./supervisor.ts";

/** How long a supervisor may take to be at work, in milliseconds. */
const WORK_MS = 30_000;

/** What {@linkcode install} needs. */
export interface InstallOptions {
  /** The binary to install; `undefined` from source. */
  readonly from: string | undefined;
  /** Absolute path; the binary goes to `bin` in it. */
  readonly prefix: string;
  /** What the binary says to `--version`. */
  readonly version: string;
  /**
   * Where a bundle keeps its runtime, if that is not where a service would:
   * it has the caller's variables no more.
   */
  readonly cache?: string | undefined;
  /** Install the service, too. */
  readonly service: boolean;
  /** Carries it out, or only tells it. */
  readonly steps: Steps;
  /** How long the supervisor may take, in milliseconds. */
  readonly waitMs?: number;
}

/** What is installed. */
export interface Installed {
  /** Path of the binary. */
  readonly program: string;
  /** The binary was not there, or another. */
  readonly replaced: boolean;
  /** Name of the service, if one was wanted. */
  readonly service?: string;
  /** Process id of the supervisor that it runs. */
  readonly pid?: number;
  /** What the user should know or do, a line each. */
  readonly advice: readonly string[];
}

/** This host has no service manager that we know; the binary is installed. */
export class NoServiceManagerError extends IapeerError {
  /** Name of the class. */
  override readonly name: string = "NoServiceManagerError";
}

/**
 * Installs, or updates in place.
 *
 * @param ctx The root whose supervisor shall be the service.
 * @param options See {@linkcode InstallOptions}.
 * @returns What is installed; the supervisor runs.
 * @throws {UsageError} If a path cannot be written into a service's file.
 * @throws {NoServiceManagerError} If there is neither launchd nor systemd.
 * @throws {IapeerError} If something refuses; the message says what was left.
 */
export async function install(ctx: Context, options: InstallOptions): Promise<Installed> {
  const { from, prefix, version, steps } = options;
  if (from === undefined) {
    throw new IapeerError(
      "Cannot install from source: there is no binary to copy; run: ./bootstrap compile, and then: dist/iapeer install",
    );
  }
  const program = binaryPath(checkedPrefix(prefix));
  const service = options.service ? await serviceOf(ctx) : undefined;
  const text = service?.text({
    program,
    environment: {
      PATH: servicePathNow(service.manager),
      ...(options.cache === undefined ? {} : { IAPEER_CACHE: options.cache }),
    },
  });
  const state = await service?.state();
  if (state !== undefined) checkState(ctx, service!, state);
  await steps.step(
    `make the directories of ${shellWord(ctx.paths.root)}`,
    () => openRoot(ctx.paths, Deno.uid()),
  );
  const replaced = await placeBinary(ctx.host, steps, { from, to: program, version });
  const advice = pathAdvice(program);
  if (!options.service) return { program, replaced, advice };
  if (service === undefined) {
    throw new NoServiceManagerError(
      `Cannot install a service: neither launchd nor systemd runs this host; ${program} ${
        steps.dry ? "would be" : "is"
      } installed; keep this running by runit, s6, or @reboot in a crontab, and give --no-service to have no error: ${
        shellWord(program)
      } supervise --root ${shellWord(ctx.paths.root)}`,
    );
  }
  const before = supervisorOf(ctx);
  const changed = readText(service.file) !== text;
  if (changed) await steps.write(service.file, text!);
  await service.load(steps, changed);
  const now = await work(ctx, service, options, before);
  const after = steps.dry ? state : await service.state();
  if (after?.settings["Linger"] === "no") {
    advice.push(
      "the service ends when you log out, and starts when you log in; to let it run always: loginctl enable-linger",
    );
  }
  if (!steps.dry) note(ctx, "installed", [["program", program], ["version", version]]);
  const pid = now?.pid;
  return { program, replaced, service: service.name, ...(pid && { pid }), advice };
}

/** Waits until a supervisor is at work that was not before. */
async function work(
  ctx: Context,
  service: Service,
  { steps, waitMs = WORK_MS }: InstallOptions,
  before: ReturnType<typeof supervisorOf>,
): Promise<ReturnType<typeof supervisorOf>> {
  let now: ReturnType<typeof supervisorOf>;
  const fresh = () => {
    now = supervisorOf(ctx);
    return now !== undefined && (now.pid !== before?.pid || now.at !== before.at);
  };
  const { root } = ctx.paths;
  if (await steps.until(`a new supervisor is at work on ${shellWord(root)}`, waitMs, fresh)) {
    return now;
  }
  throw new IapeerError(
    `Cannot see the service ${service.name} at work: no new supervisor took on "${root}" within ${
      waitMs / 1000
    } s; see: ${service.see}`,
  );
}

/** Refuses where the service could not take over. */
function checkState(ctx: Context, service: Service, state: ServiceState): void {
  if (state.loaded === undefined) {
    throw new IapeerError(
      `Cannot install the service ${service.name}: ${state.trouble}; log in as this user itself (with su or sudo there is no user manager), or give --no-service`,
    );
  }
  checkSupervisor(ctx, state, "install");
}

/**
 * Refuses while a supervisor is at work that is not the service's: the two
 * would be in each other's way.
 *
 * @param ctx The root.
 * @param state What is known of the service.
 * @param verb What is refused.
 * @throws {IapeerError} Naming the process.
 */
export function checkSupervisor(
  ctx: Context,
  state: ServiceState | undefined,
  verb: string,
): void {
  const now = supervisorOf(ctx);
  if (now === undefined || now.pid === state?.pid) return;
  // A manager that tells of no pid while the service runs has not told enough.
  if (state?.running && state.pid === undefined) return;
  throw new IapeerError(
    `Cannot ${verb}: a supervisor that is not the service is at work on "${ctx.paths.root}"; end it first, where it was started or with: kill ${now.pid}`,
  );
}

/**
 * A prefix that can be used.
 *
 * @param prefix Absolute path.
 * @returns The same path.
 * @throws {UsageError} If it cannot be written down.
 */
export function checkedPrefix(prefix: string): string {
  if (prefix.includes(",")) {
    throw new UsageError(
      `Cannot use the path "${prefix}": it holds a comma, which Deno's permission flags cannot express; choose a path without one`,
    );
  }
  return expressible("the prefix", prefix);
}

function pathAdvice(program: string): string[] {
  const dir = dirname(program);
  if ((Deno.env.get("PATH") ?? "").split(":").includes(dir)) return [];
  return [`${dir} is not on your PATH; add it, or call ${shellWord(program)} by its whole path`];
}

function readText(file: string): string | undefined {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
