/**
 * The commands with their flags and help; what each does is loaded when it is
 * called, so that a canary loads no report.
 *
 * @module
 */

import { buildCommand, buildRouteMap, numberParser } from "@stricli/core";
import { DEFAULTS, parseIdentity } from "../lib/config.ts";
import {
  direct,
  dryRun,
  duration,
  identities,
  identity,
  idle,
  json,
  positive,
  prefix,
  root,
  size,
  text,
  variable,
} from "./flags.ts";

const launch = buildCommand({
  loader: () => import("./launch.ts"),
  parameters: {
    flags: {
      identity,
      cwd: {
        kind: "parsed",
        parse: text,
        brief: "Working directory of the program [the current one]",
        placeholder: "DIR",
        optional: true,
      },
      env: {
        kind: "parsed",
        parse: variable,
        brief: "Variable for the program, over the caller's environment; may be repeated",
        placeholder: "K=V",
        variadic: true,
        optional: true,
      },
      size: {
        kind: "parsed",
        parse: size,
        brief: "Columns and rows while nobody is attached",
        placeholder: "CxR",
        default: DEFAULTS.size,
      },
      tmuxConf: {
        kind: "parsed",
        parse: text,
        brief: "Configuration for the server in place of the user's",
        placeholder: "FILE",
        optional: true,
      },
      restart: {
        kind: "enum",
        values: ["never", "on-failure", "always"],
        brief: "When to start it again after it ended",
        default: "never",
      },
      idle: {
        kind: "parsed",
        parse: idle,
        brief: "End it after this long without output, or off",
        placeholder: "SECS",
        default: String(DEFAULTS.idleSecs),
      },
      activity: {
        kind: "parsed",
        parse: text,
        brief: "Files whose change counts as activity too; may be repeated",
        placeholder: "GLOB",
        variadic: true,
        optional: true,
      },
      replace: {
        kind: "boolean",
        brief: "End a running session of that name first",
        default: false,
        withNegated: false,
      },
      direct,
      json,
      root,
    },
  },
  docs: {
    brief: "Launch a program in a session on a tmux server of its own",
    customUsage: ["--identity ID [--cwd DIR] [--env K=V]... [flags] -- COMMAND [ARG]..."],
  },
});

const supervise = buildCommand({
  loader: () => import("./supervise.ts"),
  parameters: {
    flags: {
      once: {
        kind: "boolean",
        brief: "Look after every session once, print one outcome each, and leave",
        default: false,
        withNegated: false,
      },
      interval: {
        kind: "parsed",
        parse: positive,
        brief: "Seconds between two ticks",
        placeholder: "SECS",
        default: String(DEFAULTS.tickSecs),
      },
      direct,
      verbose: {
        kind: "boolean",
        brief: "Log the sessions that are simply alive, too",
        default: false,
        withNegated: false,
      },
      json,
      root,
    },
  },
  docs: { brief: "Look after the sessions: canaries, idle reap, restarts, unseen deaths" },
});

const canary = buildCommand({
  loader: () => import("./canary.ts"),
  parameters: {
    flags: {
      identity,
      sock: {
        kind: "parsed",
        parse: text,
        brief: "Socket of the tmux server to watch [that of the session in the root]",
        placeholder: "PATH",
        optional: true,
      },
      own: {
        kind: "parsed",
        parse: numberParser,
        brief: "Start the server of the launch of that time, and watch it as its parent",
        placeholder: "MS",
        optional: true,
        hidden: true,
      },
      root,
    },
  },
  docs: { brief: "Watch one tmux server in the foreground, and record its death" },
});

const stop = buildCommand({
  loader: () => import("./stop.ts"),
  parameters: {
    flags: {
      all: { kind: "boolean", brief: "Stop every session", default: false, withNegated: false },
      root,
    },
    positional: identities("Sessions to stop"),
  },
  docs: { brief: "Stop sessions; nothing is recorded as a death" },
});

const start = buildCommand({
  loader: () => import("./start.ts"),
  parameters: { flags: { direct, root }, positional: identities("Sessions to start") },
  docs: { brief: "Start sessions again as they were launched" },
});

const attach = buildCommand({
  loader: () => import("./attach.ts"),
  parameters: {
    flags: { root },
    positional: {
      kind: "tuple",
      parameters: [{ parse: parseIdentity, brief: "Session to show", placeholder: "ID" }],
    },
  },
  docs: { brief: "Show a session on this terminal (detach with C-b d)" },
});

const adopt = buildCommand({
  loader: () => import("./adopt.ts"),
  parameters: {
    flags: {
      identity,
      sock: {
        kind: "parsed",
        parse: text,
        brief: "Socket of the tmux server",
        placeholder: "PATH",
      },
      json,
      root,
    },
  },
  docs: { brief: "Watch a tmux server that somebody else started; never reap or restart it" },
});

const status = buildCommand({
  loader: () => import("./status.ts"),
  parameters: { flags: { json, root }, positional: identities("Sessions to show [all]") },
  docs: {
    brief: "Show sessions; for a single one the exit code is 0 running, 3 not running, 4 unknown",
  },
});

const deaths = buildCommand({
  loader: () => import("./deaths.ts"),
  parameters: {
    flags: {
      since: {
        kind: "parsed",
        parse: duration,
        brief: "Only those of the last DUR, such as 90s, 15m, 2h, 7d",
        placeholder: "DUR",
        optional: true,
      },
      follow: {
        kind: "boolean",
        brief: "Go on and print each death as it is recorded",
        default: false,
        withNegated: false,
      },
      json,
      root,
    },
    positional: {
      kind: "tuple",
      parameters: [{
        parse: text,
        brief: "A session, or one death to show in full",
        placeholder: "ID|DEATH",
        optional: true,
      }],
    },
  },
  docs: { brief: "List recorded server deaths, or show one with its snapshot" },
});

const drill = buildCommand({
  loader: () => import("./drill.ts"),
  parameters: {
    flags: {
      kind: {
        kind: "enum",
        values: ["kill", "crash", "kill-server", "stop", "oom"],
        brief: "How the server ends",
        default: "kill",
      },
      keep: {
        kind: "boolean",
        brief: "Keep the throwaway root",
        default: false,
        withNegated: false,
      },
      json,
      root,
    },
  },
  docs: { brief: "Fire drill: launch a session, end its server, watch the record arrive" },
});

const doctor = buildCommand({
  loader: () => import("./doctor.ts"),
  parameters: {
    flags: {
      noDrill: {
        kind: "boolean",
        brief: "Hold no fire drill at the end",
        default: false,
        withNegated: false,
      },
      json,
      root,
    },
  },
  docs: {
    brief: "Check what can go wrong on this host; the exit code is 1 if there is a problem",
    fullDescription: [
      "Checks what can go wrong on this host, and says what to do about it. Changes nothing;",
      "the fire drill at the end has a throwaway root of its own.",
      "",
      "Exit codes: 0 no problem (warnings do not count); 1 at least one problem.",
    ].join("\n"),
  },
});

const install = buildCommand({
  loader: () => import("./install.ts"),
  parameters: {
    flags: {
      prefix,
      noService: {
        kind: "boolean",
        brief: "Leave it to you to keep iapeer supervise running",
        default: false,
        withNegated: false,
      },
      dryRun,
      root,
    },
  },
  docs: {
    brief: "Install the binary and the supervisor's service; again: update in place",
  },
});

const uninstall = buildCommand({
  loader: () => import("./uninstall.ts"),
  parameters: {
    flags: {
      prefix,
      stopAll: {
        kind: "boolean",
        brief: "Stop the sessions that live; without it they are a reason to refuse",
        default: false,
        withNegated: false,
      },
      dryRun,
      root,
    },
  },
  docs: { brief: "Remove service, state and binary; the logs are kept" },
});

/** All commands. */
export const routes = buildRouteMap({
  routes: {
    launch,
    supervise,
    canary,
    stop,
    start,
    attach,
    adopt,
    status,
    deaths,
    drill,
    doctor,
    install,
    uninstall,
  },
  docs: {
    brief: "Launch, supervise and watch terminal sessions, each on a tmux server of its own",
    fullDescription: [
      "Launch, supervise and watch terminal sessions, each on a tmux server of its own.",
      "Every server death that nobody asked for is recorded once, with its evidence.",
      "",
      "Exit codes: 0 done; 1 refused or not so; 2 usage; 3 not running; 4 state unknown;",
      "70 internal error.",
    ].join("\n"),
  },
});
