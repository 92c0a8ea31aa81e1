/**
 * The service manager of this host, behind one small interface: launchd or
 * systemd keeps `iapeer supervise` running for the user.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Context } from "./context.ts";
import { toolPath } from "./environment.ts";
import { UsageError } from "./errors.ts";
import { launchd } from "./launchd.ts";
import type { Steps } from "./steps.ts";
import { systemd } from "./systemd.ts";

/** Who keeps services running. */
export type ServiceManager = "launchd" | "systemd";

/** What a look at the service of a root gave. */
export interface ServiceState {
  /** Absent: this host has neither. */
  readonly manager: ServiceManager | undefined;
  /** Path of the plist or unit. */
  readonly file?: string;
  /** The file is there. */
  readonly installed: boolean;
  /** The manager knows it; absent: could not look. */
  readonly loaded?: boolean;
  /** Its program runs; absent: could not look. */
  readonly running?: boolean;
  /** Process id of the supervisor that it runs. */
  readonly pid?: number;
  /** Path of the binary that it starts. */
  readonly program?: string;
  /** Settings by their names in the file (`KillMode`, `AbandonProcessGroup`, …), `PATH`, `Linger`. */
  readonly settings: Readonly<Record<string, string>>;
  /** Why something could not be looked at. */
  readonly trouble?: string;
}

/** What a service runs. */
export interface Setup {
  /** Path of the binary. */
  readonly program: string;
  /** PATH of the supervisor. */
  readonly path: string;
}

/** The service of one root under one manager. */
export interface Service {
  /** Which manager. */
  readonly manager: ServiceManager;
  /** Label or unit name. */
  readonly name: string;
  /** Path of the plist or unit. */
  readonly file: string;
  /** What to look at when it does not run. */
  readonly see: string;
  /**
   * The content of its file.
   *
   * @throws {UsageError} If a value cannot be written in that format.
   */
  text(setup: Setup): string;
  /** Whether the content of some service's file starts `program`. */
  starts(text: string, program: string): boolean;
  /** Whether a file of that name in its directory is a service of iapeer. */
  isOurs(fileName: string): boolean;
  /** Looks at it. */
  state(): Promise<ServiceState>;
  /**
   * Starts what its file says, anew if it runs. `changed`: the file is not the
   * one that the manager has read.
   *
   * @throws {IapeerError} If the manager refuses.
   */
  load(steps: Steps, changed: boolean): Promise<void>;
  /**
   * Ends it for good; afterwards its file may go.
   *
   * @throws {IapeerError} If the manager refuses.
   */
  unload(steps: Steps): Promise<void>;
  /** To be called when its file is gone. */
  forget(steps: Steps): Promise<void>;
}

/** Homebrew's places, for Apple silicon and for Intel, and the system's own. */
const PATHS = {
  launchd: ["/opt/homebrew/bin", "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"],
  systemd: ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"],
} as const;

/**
 * The PATH that a service gets: a manager gives its services next to none.
 *
 * @param manager Which manager.
 * @param tmux Path of the tmux that is in use now; where the others do not lead
 * to it, its directory comes first.
 * @returns Directories, joined by `:`.
 *
 * @example Usage
 * ```ts
 * import assert from "node:assert/strict";
 * import { servicePath } from "./service.ts";
 *
 * assert(servicePath("launchd", "/opt/local/bin/tmux").startsWith("/opt/local/bin:/opt/homebrew/bin:"));
 * ```
 */
export function servicePath(manager: ServiceManager, tmux: string): string {
  const dirs: readonly string[] = PATHS[manager];
  const dir = tmux.slice(0, tmux.lastIndexOf("/"));
  return (dir === "" || dirs.includes(dir) ? dirs : [dir, ...dirs]).join(":");
}

/**
 * {@linkcode servicePath} with the tmux that this program uses.
 *
 * @param manager Which manager.
 * @returns Directories, joined by `:`.
 */
export function servicePathNow(manager: ServiceManager): string {
  return servicePath(manager, toolPath("tmux"));
}

/**
 * What the service of a root is told by beside those of other roots.
 *
 * @param root The root.
 * @param home The user's home directory.
 * @returns Empty for the root that is used unless told.
 */
export function serviceSuffix(root: string, home: string): string {
  if (root === join(home, ".iapeer")) return "";
  return createHash("sha256").update(root).digest("hex").slice(0, 12);
}

/**
 * The service of a root on this host.
 *
 * @param ctx The root.
 * @returns `undefined` where neither manager is there.
 * @throws {UsageError} If HOME is not set.
 */
export async function serviceOf(ctx: Context): Promise<Service | undefined> {
  const { host, paths } = ctx;
  if (host.home === undefined) {
    throw new UsageError("Cannot tell where services belong: HOME is not set; set it");
  }
  const suffix = serviceSuffix(paths.root, host.home);
  if (host.platform === "darwin") {
    const dir = join(host.home, "Library", "LaunchAgents");
    return await launchd(ctx, dir, suffix, Deno.uid() ?? 0);
  }
  // sd_booted(3): this directory is there where systemd runs the machine.
  if ((await host.tools.run("test", ["-d", "/run/systemd/system"])).code !== 0) return undefined;
  const config = Deno.env.get("XDG_CONFIG_HOME");
  // The base directory specification: a relative one is to be ignored.
  const base = config?.startsWith("/") ? config : join(host.home, ".config");
  return systemd(ctx, join(base, "systemd", "user"), suffix, Deno.uid() ?? 0);
}

/**
 * Looks at the service of a root. Asks tools only, so that it needs no
 * permission to read the places where services lie.
 *
 * @param ctx The root.
 * @returns What could be learned; never throws.
 */
export async function serviceState(ctx: Context): Promise<ServiceState> {
  try {
    const service = await serviceOf(ctx);
    if (service !== undefined) return await service.state();
    return { manager: undefined, installed: false, settings: {} };
  } catch (error) {
    const trouble = error instanceof Error ? error.message : String(error);
    return { manager: undefined, installed: false, settings: {}, trouble };
  }
}
