/**
 * The supervisor as a LaunchAgent of macOS.
 *
 * Written by the manuals of launchd.plist(5) and launchctl(1); it was never run
 * on a Mac. `launchctl print` calls its own output no interface: a change of it
 * costs what is read from there, and nothing else.
 *
 * @module
 */

import { join } from "node:path";
import type { Context } from "./context.ts";
import { IapeerError } from "./errors.ts";
import { failureOf, type ToolResult } from "./process.ts";
import type { Service, ServiceState } from "./service.ts";
import { expressible, fileText } from "./service_file.ts";
import type { Steps } from "./steps.ts";

/** A value in a property list. */
export type PlistValue =
  | string
  | number
  | boolean
  | readonly PlistValue[]
  | { readonly [key: string]: PlistValue };

const LABEL = "dev.iapeer.supervise";
/** launchctl's codes for a label that is not loaded: ESRCH, and its own. */
const NOT_LOADED = [3, 113];
/** `bootstrap` while an older instance is being taken down: EIO for some seconds, EINPROGRESS. */
const DRAINING = [5, 37];
/** How long an instance may take to be gone, in milliseconds: more than {@linkcode EXIT_SECS}. */
const GONE_MS = 40_000;
/** Seconds from SIGTERM to SIGKILL. */
const EXIT_SECS = 20;

/**
 * The service of a root under launchd.
 *
 * A user who is logged in at the screen has the domain `gui/UID`; one who came
 * by ssh alone has `user/UID`, which takes agents of the session type
 * Background only.
 *
 * @param ctx The root.
 * @param dir Where LaunchAgents lie.
 * @param suffix See {@linkcode serviceSuffix}.
 * @param uid The user.
 * @returns The service.
 */
export async function launchd(
  ctx: Context,
  dir: string,
  suffix: string,
  uid: number,
): Promise<Service> {
  const { paths, host: { tools } } = ctx;
  const label = suffix === "" ? LABEL : `${LABEL}.${suffix}`;
  const file = join(dir, `${label}.plist`);
  const gui = await tools.run("launchctl", ["print", `gui/${uid}`]);
  const domain = gui.code === 0 ? `gui/${uid}` : `user/${uid}`;
  const target = `${domain}/${label}`;
  const log = join(paths.logs, "supervise.out.log");
  const isLoaded = async () => (await tools.run("launchctl", ["print", target])).code === 0;

  async function bootout(steps: Steps): Promise<void> {
    demand("end", await steps.run("launchctl", ["bootout", target]), NOT_LOADED);
    const gone = await steps.until(`launchd has let go of ${label}`, GONE_MS, async () => {
      return !await isLoaded();
    });
    if (!gone) {
      throw new IapeerError(
        `Cannot end the service ${label}: launchd still has it after ${
          GONE_MS / 1000
        } s; see: launchctl print ${target}`,
      );
    }
  }

  return {
    manager: "launchd",
    name: label,
    file,
    see: log,
    text: ({ program, path }) =>
      encodePlist({
        Label: label,
        ProgramArguments: [program, "supervise", "--root", paths.root],
        EnvironmentVariables: { PATH: path },
        RunAtLoad: true,
        KeepAlive: true,
        ThrottleInterval: 10,
        ExitTimeOut: EXIT_SECS,
        // Unset, launchd throttles CPU and disk of the job and of what it starts.
        ProcessType: "Interactive",
        // The tmux servers outlive the supervisor.
        AbandonProcessGroup: true,
        LimitLoadToSessionType: domain.startsWith("gui/") ? "Aqua" : "Background",
        Umask: 0o077,
        StandardOutPath: log,
        StandardErrorPath: join(paths.logs, "supervise.err.log"),
      }),
    starts: (text, program) => text.includes(`<string>${escapeXml(program)}</string>`),
    isOurs: (name) => name.startsWith(LABEL) && name.endsWith(".plist"),
    async state(): Promise<ServiceState> {
      const { text, trouble } = await fileText(ctx, file);
      const printed = await tools.run("launchctl", ["print", target]);
      const { loaded, running, pid } = parsePrint(printed);
      const why = trouble ??
        (text?.startsWith("bplist") ? `${file} is not XML, so it was not read` : undefined) ??
        (loaded === undefined ? failureOf("launchctl", printed) : undefined);
      const values = text === undefined ? new Map<string, string>() : plistStrings(text);
      const { program, ...settings } = Object.fromEntries(values);
      return {
        manager: "launchd",
        file,
        installed: text !== undefined,
        ...(loaded === undefined ? {} : { loaded }),
        ...(running === undefined ? {} : { running }),
        ...(pid === undefined ? {} : { pid }),
        ...(program === undefined ? {} : { program }),
        settings,
        ...(why === undefined ? {} : { trouble: why }),
      };
    },
    async load(steps, changed) {
      if (await isLoaded()) {
        if (!changed) {
          demand("restart", await steps.run("launchctl", ["kickstart", "-k", target]));
          return;
        }
        await bootout(steps);
      }
      // A user may have switched the label off once: bootstrap would fail without saying why.
      demand("enable", await steps.run("launchctl", ["enable", target]));
      let result: ToolResult | undefined;
      await steps.until(`launchd takes ${label}`, GONE_MS, async () => {
        result = await steps.run("launchctl", ["bootstrap", domain, file]);
        return !DRAINING.includes(result.code ?? 0);
      });
      if (result !== undefined) demand("start", result);
    },
    async unload(steps) {
      if (await isLoaded()) await bootout(steps);
    },
    forget: () => Promise.resolve(),
  };

  function demand(what: string, result: ToolResult, fine: readonly number[] = []): void {
    if (result.code !== undefined && fine.includes(result.code)) return;
    const why = failureOf("launchctl", result);
    if (why === undefined) return;
    throw new IapeerError(
      `Cannot ${what} the service ${label}: ${why}; see: launchctl print ${target}`,
    );
  }
}

/**
 * Writes a property list as XML.
 *
 * @param value Its root.
 * @returns The document.
 * @throws {UsageError} If a string holds what XML cannot.
 */
export function encodePlist(value: PlistValue): string {
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    '<plist version="1.0">',
    ...encodeValue(value, ""),
    "</plist>",
    "",
  ].join("\n");
}

function encodeValue(value: PlistValue, indent: string): string[] {
  const deeper = `${indent}  `;
  switch (typeof value) {
    case "string":
      return [`${indent}<string>${escapeXml(expressible("the value", value))}</string>`];
    case "number":
      return [`${indent}<integer>${value}</integer>`];
    case "boolean":
      return [`${indent}<${value}/>`];
  }
  if (Array.isArray(value)) {
    const items = value.flatMap((item: PlistValue) => encodeValue(item, deeper));
    return [`${indent}<array>`, ...items, `${indent}</array>`];
  }
  const entries = Object.entries(value as Record<string, PlistValue>).flatMap(([key, item]) => [
    `${deeper}<key>${escapeXml(expressible("the key", key))}</key>`,
    ...encodeValue(item, deeper),
  ]);
  return [`${indent}<dict>`, ...entries, `${indent}</dict>`];
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function unescapeXml(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'").replaceAll("&amp;", "&");
}

/**
 * The settings in a service's property list, as {@linkcode encodePlist} writes
 * it: keys with a single value, those of the environment among them, and as
 * `program` the first of the arguments.
 */
function plistStrings(text: string): Map<string, string> {
  const found = new Map<string, string>();
  const pair =
    /<key>([^<]*)<\/key>\s*(?:<(?:string|integer)>([^<]*)<\/|<(true|false)\/>|<array>\s*<string>([^<]*)<\/)/g;
  for (const [, key = "", scalar, truth, first] of text.matchAll(pair)) {
    if (key === "ProgramArguments") found.set("program", unescapeXml(first ?? ""));
    else if (first === undefined) found.set(unescapeXml(key), unescapeXml(scalar ?? truth ?? ""));
  }
  return found;
}

/**
 * What `launchctl print gui/UID/LABEL` tells.
 *
 * @param result How it ended.
 * @returns Nothing where it could not be asked.
 */
export function parsePrint(
  result: ToolResult,
): { readonly loaded?: boolean; readonly running?: boolean; readonly pid?: number } {
  if (result.code !== undefined && NOT_LOADED.includes(result.code)) {
    return { loaded: false, running: false };
  }
  if (result.code !== 0) return {};
  // Only the service's own lines: deeper ones are of its endpoints.
  const state = /^\tstate = (.+)$/m.exec(result.stdout)?.[1];
  const pid = /^\tpid = (\d+)$/m.exec(result.stdout)?.[1];
  return {
    loaded: true,
    ...(state === undefined ? {} : { running: state === "running" }),
    ...(pid === undefined ? {} : { pid: Number(pid) }),
  };
}
