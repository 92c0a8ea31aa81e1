/**
 * Measures the bundle that `./bootstrap compile` makes: size, starts, launches,
 * and what a canary of it holds in memory. All in one run, round by round.
 *
 * @module
 */

import { join } from "node:path";
import { parseArgs } from "node:util";
import { summaryOf } from "./clock.ts";
import { memoryOf } from "./idle.ts";
import { World } from "./world.ts";

const USAGE = "usage: deno task bench:binary [--binary FILE] [--rounds N]\n";
const CONF = "/dev/null";
/** How long a canary is left alone: V8 collects the garbage of the start after up to 40 s. */
const SETTLE_MS = 45_000;
/** A cold start unpacks 95 MB: fewer of those do. */
const COLD_ROUNDS = 5;

interface Subject {
  readonly label: string;
  /** What is timed: until its first line, or its end where it says nothing. */
  command(n: number): readonly [string, ...string[]];
  /** Ends what it has left. */
  after?(n: number): readonly [string, ...string[]];
  /** Unpacks first. */
  readonly cold?: true;
}

/** What is compared. */
function subjects(world: World, binary: string): Subject[] {
  const { root } = world.paths;
  const source = new URL("../scripts/iapeer", import.meta.url).pathname;
  const launch = (label: string, program: readonly [string, ...string[]], ...flags: string[]) => {
    const name = `bench-${label.replaceAll(/[^a-z]+/g, "")}`;
    return {
      label,
      command: (n: number): readonly [string, ...string[]] => [
        ...program,
        ...["launch", "--root", root, "--identity", `${name}-${n}`, "--tmux-conf", CONF],
        ...[...flags, "--", "sleep", "86400"],
      ],
      after: (n: number) => [binary, "stop", "--root", root, `${name}-${n}`] as const,
    };
  };
  const empty = world.path("empty.js");
  Deno.writeTextFileSync(empty, "");
  const tmux = (n: number) => ["tmux", "-S", world.path(`bare-${n}.sock`)] as const;
  return [
    { label: "`iapeer --version`, first start", cold: true, command: () => [binary, "--version"] },
    { label: "`iapeer --version`", command: () => [binary, "--version"] },
    { label: "`deno run` of an empty program", command: () => [Deno.execPath(), "run", empty] },
    { label: "`deno --version`", command: () => [Deno.execPath(), "--version"] },
    { label: "`tmux -V`", command: () => ["tmux", "-V"] },
    launch("`iapeer launch` → READY, by the supervisor", [binary]),
    launch("`iapeer launch --direct` → READY", [binary], "--direct"),
    launch("… from source", ["sh", source], "--direct"),
    {
      label: "`tmux new-session -d`",
      command: (n) => [...tmux(n), "-f", CONF, "new-session", "-d", "sleep", "86400"],
      after: (n) => [...tmux(n), "kill-server"],
    },
  ];
}

/** Milliseconds from the start of a command to its first line, or to its end. */
async function timed(world: World, [program, ...args]: readonly string[]): Promise<number> {
  const from = performance.now();
  const child = world.start(program!, args);
  await child.line();
  const ms = performance.now() - from;
  if (await child.ended !== 0) throw new Error(`Cannot measure: ${program} ${args.join(" ")}`);
  return ms;
}

/** Private memory in MiB of the canary of a session that nothing happens in. */
async function idleCanary(world: World, binary: string): Promise<number> {
  const args = [
    "--root",
    world.paths.root,
    "--identity",
    "bench-idle",
    "--tmux-conf",
    CONF,
    "--json",
  ];
  const { text } = await world.run(binary, ["launch", ...args, "--direct", "--", "sleep", "86400"]);
  const { canaryPid } = JSON.parse(text);
  await new Promise((wake) => setTimeout(wake, SETTLE_MS));
  return memoryOf([canaryPid]).private;
}

async function measure(world: World, binary: string, rounds: number): Promise<string> {
  const all = subjects(world, binary);
  const samples = all.map((): number[] => []);
  const cache = world.path("cache");
  Deno.env.set("IAPEER_CACHE", cache);
  const supervisor = world.start(binary, [
    "supervise",
    "--root",
    world.paths.root,
    "--interval",
    "3600",
  ]);
  await supervisor.line();
  // The first round finds cold caches and is not counted.
  for (let n = 0; n <= rounds; n++) {
    for (const [at, { cold, command, after }] of all.entries()) {
      if (cold && n > COLD_ROUNDS) continue;
      if (cold) Deno.env.set("IAPEER_CACHE", world.path(`cold-${n}`));
      const ms = await timed(world, command(n));
      if (cold) Deno.removeSync(world.path(`cold-${n}`), { recursive: true });
      Deno.env.set("IAPEER_CACHE", cache);
      if (after !== undefined) await timed(world, after(n));
      if (n > 0) samples[at]!.push(ms);
    }
  }
  const rows = all.map(({ label }, at) => {
    const { median, p10, p90 } = summaryOf(samples[at]!)!;
    return `| ${label}, ms | ${median.toFixed(1)} (${p10.toFixed(1)}–${p90.toFixed(1)}) |`;
  });
  const mib = Deno.statSync(binary).size / 2 ** 20;
  rows.unshift(
    "|  | median (10th–90th percentile) |",
    "| --- | ---: |",
    `| size, MiB | ${mib.toFixed(1)} |`,
  );
  if (Deno.build.os === "linux") {
    const held = await idleCanary(world, binary);
    rows.push(`| private memory of an idle canary, MiB | ${held.toFixed(1)} |`);
  }
  const load = Deno.loadavg()[0]!.toFixed(1);
  return `${navigator.hardwareConcurrency} cores, load ${load}, ${rounds} rounds.\n\n${
    rows.join("\n")
  }\n`;
}

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

const { values } = parseArgs({
  args: Deno.args,
  options: { binary: { type: "string" }, rounds: { type: "string", default: "20" } },
});
const rounds = Number(values.rounds);
if (!Number.isSafeInteger(rounds) || rounds < 1) {
  say(USAGE);
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
  let { binary } = values;
  if (binary === undefined) {
    binary = join(world.dir, "iapeer");
    const script = new URL("../scripts/compile.ts", import.meta.url).pathname;
    const args = ["run", "--quiet", "--allow-all", script, "--format=bundle", "--output", binary];
    if ((await world.run(Deno.execPath(), args)).code !== 0) {
      throw new Error("Cannot measure: no binary");
    }
  }
  say(await measure(world, binary, rounds));
} finally {
  world.close();
}
Deno.exit(0);
