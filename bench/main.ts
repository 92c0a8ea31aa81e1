/**
 * Measures the figures that README gives, all in one run and interleaved round
 * by round, so that whatever else the machine does meets all of them alike.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { IDLE_MS, measureIdle } from "./idle.ts";
import { oomNote, roundAttachOom, roundOwnOom } from "./oom.ts";
import {
  type Bench,
  type Measured,
  openBench,
  roundAttach,
  roundBareDeno,
  roundBarePython,
  roundOwn,
  roundSh,
} from "./subjects.ts";
import { renderTable, Samples } from "./table.ts";
import { World } from "./world.ts";

const USAGE = `usage: deno task bench [--rounds N] [--only NAME]… [--json]

NAME is own, own-oom, attach, attach-oom, sh, bare-deno, bare-python or idle.
own-oom and attach-oom need a memory cgroup; as root they mark their time in the kernel's log.
`;

interface Subject {
  /** The column of its figures. */
  readonly column: string;
  round(bench: Bench, n: number): Promise<Measured>;
}

const SUBJECTS: Readonly<Record<string, Subject>> = {
  "own": { column: "own", round: roundOwn },
  "bare-deno": { column: "bare-deno", round: roundBareDeno },
  "bare-python": { column: "bare-python", round: roundBarePython },
  "attach": { column: "attach", round: roundAttach },
  "sh": { column: "sh", round: roundSh },
  "own-oom": { column: "own", round: roundOwnOom },
  "attach-oom": { column: "attach", round: roundAttachOom },
};

/** What the command line asks for. */
interface Options {
  readonly rounds: number;
  readonly only: readonly string[];
  readonly json: boolean;
}

function parse(args: string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args,
      options: {
        rounds: { type: "string", default: "15" },
        only: { type: "string", multiple: true },
        json: { type: "boolean", default: false },
      },
    });
    const names = [...Object.keys(SUBJECTS), "idle"];
    const only = values.only ?? names;
    const rounds = Number(values.rounds);
    if (!Number.isSafeInteger(rounds) || rounds < 1) return undefined;
    if (!only.every((name) => names.includes(name))) return undefined;
    return { rounds, only, json: values.json };
  } catch {
    return undefined;
  }
}

function say(stream: typeof Deno.stdout | typeof Deno.stderr, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
}

function output(program: string, ...args: string[]): string {
  try {
    const { stdout } = new Deno.Command(program, { args, stderr: "null" }).outputSync();
    return new TextDecoder().decode(stdout).trim();
  } catch {
    return "";
  }
}

function machineLine(world: World, rounds: number): string {
  const fileSystem = Deno.build.os === "linux" ? output("stat", "-f", "-c", "%T", world.dir) : "";
  return [
    `${navigator.hardwareConcurrency} cores`,
    `${Deno.build.os === "linux" ? "Linux" : Deno.build.os} ${Deno.osRelease()}`,
    ...(fileSystem === "" ? [] : [fileSystem]),
    output("tmux", "-V"),
    `Deno ${Deno.version.deno}`,
    `load ${Deno.loadavg()[0]!.toFixed(1)}`,
    `${rounds} rounds`,
  ].join(", ") + ".";
}

async function measure(bench: Bench, { rounds, only }: Options): Promise<Samples> {
  const samples = new Samples();
  const subjects = Object.entries(SUBJECTS).filter(([name]) =>
    only.includes(name) && (name !== "bare-python" || output("python3", "--version") !== "")
  );
  // The first round finds cold caches and is not counted.
  for (let n = 0; subjects.length > 0 && n <= rounds; n++) {
    for (const [name, { column, round }] of subjects) {
      say(Deno.stderr, `round ${n} of ${rounds}: ${name}\x1b[K\r`);
      try {
        const measured = await round(bench, n);
        if (n > 0) samples.add(column, measured);
      } catch (error) {
        say(Deno.stderr, `round ${n}: ${name}: ${(error as Error).message}\n`);
      }
    }
  }
  if (only.includes("idle")) {
    say(Deno.stderr, `idle: ${IDLE_MS / 1000} s\x1b[K\r`);
    for (const [name, windows] of await measureIdle(bench) ?? []) {
      for (const measured of windows) samples.add(name, measured);
    }
  }
  say(Deno.stderr, "\x1b[K");
  bench.exits.close();
  bench.shLog.close();
  return samples;
}

const options = parse(Deno.args);
if (options === undefined) {
  say(Deno.stderr, USAGE);
  Deno.exit(2);
}
const world = new World();
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  Deno.addSignalListener(signal, () => {
    world.close();
    Deno.exit(code);
  });
}
try {
  const machine = machineLine(world, options.rounds);
  const bench = openBench(world);
  const samples = await measure(bench, options);
  const oom = oomNote(bench);
  say(
    Deno.stdout,
    options.json
      ? `${JSON.stringify({ machine, rounds: options.rounds, oom, figures: samples }, null, 2)}\n`
      : `${renderTable(machine, samples, oom)}\n`,
  );
} finally {
  world.close();
}
Deno.exit(0);
