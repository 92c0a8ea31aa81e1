/**
 * The whole gate: format, lint, types, docs, tests with coverage, chaos, and a
 * look whether anything was left behind. Stops at the first step that fails.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL("..", import.meta.url));
/** How long what the tests ended may take to be gone, in milliseconds. */
const GONE_MS = 5000;
/** How long a step that is told to stop may take to take down what it began, in milliseconds. */
const STOP_MS = 10_000;
/** A minute or two on two cores. Their seed is a fresh one: each run looks elsewhere. */
const SCHEDULES = 60;
/** These would let the caller's own root and tmux into the tests. */
const NOT_FOR_TESTS = [
  ...["IAPEER_ROOT", "IAPEER_CACHE", "IAPEER_UNDER_TEST", "IAPEER_BUNDLE"],
  ...["TMUX", "TMUX_PANE", "DENO_COVERAGE_DIR"],
];
/** Live tests that look at the program from outside, as whole: these run on the bundle, too. */
const OF_THE_BUNDLE = [
  ...["attach_death", "bytes", "canary", "errors", "interrupted", "launch", "death"],
  ...["supervise", "teardown", "handover", "survival"],
].map((name) => `tests/live_${name}_test.ts`);
// deno-lint-ignore no-control-regex -- colours begin with one.
const COLOUR = /\x1b\[[\d;]*m/g;
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed(?: \([^)]*\))?(?: \| (\d+) ignored)?/gm;

/** One step of the gate. */
interface Step {
  readonly name: string;
  /** Arguments of `deno`. */
  readonly args: readonly string[];
  /** It runs tests, whose summary counts. */
  readonly tests?: boolean;
  /** It starts things, in a directory that is looked at afterwards. */
  readonly live?: boolean;
  /** Comes before it. */
  readonly first?: () => void;
  /** Goes over the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

const tally = { passed: 0, failed: 0, skipped: 0 };
/** What the tests run in; everything that they start can be told by this path. */
const work = Deno.makeTempDirSync({ prefix: "iapgate-" });
const coverage = join(work, "coverage");
const temporary = join(work, "t");
const bundle = join(work, "iapeer");
let running: Deno.ChildProcess | undefined;
let leaving = false;

function say(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

const chaos: Step = {
  name: "chaos",
  args: ["run", "--quiet", "--allow-all", "chaos/main.ts", "--schedules", String(SCHEDULES)],
  live: true,
};

function steps(): Step[] {
  // They start, stop and kill processes, and look at those of the whole
  // machine: scoped permissions would only be those of the test runner. What
  // iapeer itself may do is tested by starting it with its own.
  const unit = ["test", "--no-check", "--parallel"];
  const built = {
    IAPEER_BUNDLE: bundle,
    IAPEER_CACHE: join(work, "cache"),
    // Live tests wait a third of their time.
    DENO_JOBS: String(Math.ceil(navigator.hardwareConcurrency * 1.5)),
  };
  const tested = ["--allow-all", `--coverage=${coverage}`, "--coverage-raw-data-only"];
  return [
    { name: "format", args: ["fmt", "--check"] },
    { name: "lint", args: ["lint"] },
    { name: "types", args: ["check"] },
    { name: "docs", args: ["doc", "--lint", "main.ts", ...sources("lib")] },
    {
      name: "compile",
      args: [
        ...["run", "--quiet", "--allow-all", "scripts/compile.ts"],
        ...["--format", "bundle", "--output", bundle],
      ],
    },
    { name: "tests", args: [...unit, ...tested, "tests"], tests: true, live: true, env: built },
    {
      name: "live tests of the bundle",
      args: [...unit, "--allow-all", ...OF_THE_BUNDLE],
      tests: true,
      live: true,
      env: { ...built, IAPEER_UNDER_TEST: bundle },
    },
    {
      name: "doc tests",
      args: ["test", "--doc", ...tested, "lib", "commands"],
      tests: true,
      live: true,
    },
    {
      // The thresholds are in deno.json. What tests, benchmarks and scripts
      // cover of themselves says nothing.
      name: "coverage",
      first: dropTornProfiles,
      args: ["coverage", coverage, "--include=/(?:main\\.ts|(?:lib|commands)/.*\\.ts)$"],
    },
    // It looks into /proc.
    ...(Deno.build.os === "linux" ? [chaos] : []),
  ];
}

/**
 * The tests kill programs at any moment, also while they write what they
 * covered: a file that was cut there would end the report.
 */
function dropTornProfiles(): void {
  for (const { name } of Deno.readDirSync(coverage)) {
    const path = join(coverage, name);
    try {
      JSON.parse(Deno.readTextFileSync(path));
    } catch {
      say(`dropped, cut by a kill: ${name}\n`);
      Deno.removeSync(path);
    }
  }
}

function sources(dir: string): string[] {
  return [...Deno.readDirSync(join(HERE, dir))].flatMap((entry) => {
    const path = `${dir}/${entry.name}`;
    return entry.isDirectory ? sources(path) : path.endsWith(".ts") ? [path] : [];
  }).sort();
}

/** Runs one step; tells whether it went well. */
async function perform(step: Step): Promise<boolean> {
  step.first?.();
  const env = Deno.env.toObject();
  for (const name of NOT_FOR_TESTS) delete env[name];
  // Deno colours what it writes into a pipe, too.
  if (!Deno.stdout.isTerminal()) env["NO_COLOR"] = "1";
  running = new Deno.Command(Deno.execPath(), {
    args: [...step.args],
    cwd: HERE,
    clearEnv: true,
    env: { ...env, ...(step.live ? { TMPDIR: temporary } : {}), ...step.env },
    stdin: "null",
    stdout: step.tests ? "piped" : "inherit",
    stderr: "inherit",
  }).spawn();
  const said = step.tests ? passOn(running.stdout) : undefined;
  const { success } = await running.status;
  running = undefined;
  // What was ended halfway may have left somebody who holds its output open.
  if (leaving) return false;
  return (said === undefined || count(await said)) && success;
}

/** Shows a stream while it comes, and gives its text. */
async function passOn(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    const part = decoder.decode(chunk, { stream: true });
    say(part);
    text += part;
  }
  return text.replaceAll(COLOUR, "");
}

/** Adds a test run to the tally; one without a summary did not run. */
function count(said: string): boolean {
  // A test may print a summary of its own: the last one is the run's.
  const summary = [...said.matchAll(SUMMARY)].at(-1);
  if (summary === undefined) return false;
  const skipped = Number(summary[3] ?? 0);
  tally.passed += Number(summary[1]);
  tally.failed += Number(summary[2]);
  tally.skipped += skipped;
  if (skipped === 0 || !Deno.env.get("CI")) return true;
  say("a skipped test is a failure where CI is set\n");
  return false;
}

/**
 * Processes that still have the tests' directory in their command line or
 * their environment, which is also that of whatever they started.
 */
function leftProcesses(): string[] {
  // Without a dash `e` shows the environment, for procps and BSD alike.
  const { stdout } = new Deno.Command("ps", {
    args: ["axeww", "-o", "pid=,command="],
    env: { LC_ALL: "C", COLUMNS: "" },
  }).outputSync();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line.includes(temporary));
}

/** Looks for what the tests left; ends and removes it, but tells. */
async function nothingLeft(): Promise<boolean> {
  const left = await leftAfter(leaving ? 0 : GONE_MS);
  for (const line of left) say(`still running: ${line.trim().slice(0, 200)}\n`);
  await leftAfter(GONE_MS, (pid) => {
    try {
      Deno.kill(pid, "SIGKILL");
    } catch {
      // It has just ended.
    }
  });
  const files = [...Deno.readDirSync(temporary)].map((entry) => entry.name);
  for (const name of files) say(`left behind: ${join(temporary, name)}\n`);
  return left.length === 0 && files.length === 0;
}

/** What is left when so many milliseconds have passed, or nothing as soon as nothing is. */
async function leftAfter(ms: number, each: (pid: number) => void = () => {}): Promise<string[]> {
  const deadline = performance.now() + ms;
  while (true) {
    const left = leftProcesses();
    if (left.length === 0 || performance.now() >= deadline) return left;
    for (const line of left) each(parseInt(line));
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

async function timed(name: string, work: () => Promise<boolean>): Promise<boolean> {
  say(`\n== ${name}\n`);
  const from = performance.now();
  const good = await work();
  say(
    `== ${name}: ${good ? "ok" : "FAILED"} (${((performance.now() - from) / 1000).toFixed(1)} s)\n`,
  );
  return good;
}

async function gate(): Promise<boolean> {
  Deno.mkdirSync(temporary);
  for (const step of steps()) {
    if (leaving) return false;
    if (await timed(step.name, () => perform(step))) continue;
    if (step.live) await timed("nothing left behind", nothingLeft);
    return false;
  }
  return await timed("nothing left behind", nothingLeft);
}

/** Told to stop: the step under way ends, and what it leaves behind is ended, too. */
function leave(): void {
  if (leaving) return;
  leaving = true;
  const step = running;
  if (step === undefined) return;
  const tell = (signal: Deno.Signal) => {
    try {
      step.kill(signal);
    } catch {
      // It has just ended.
    }
  };
  tell("SIGTERM");
  Deno.unrefTimer(setTimeout(tell, STOP_MS, "SIGKILL"));
}

for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, leave);
let good = false;
try {
  good = await gate();
} finally {
  Deno.removeSync(work, { recursive: true });
}
const { passed, failed, skipped } = tally;
say(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`);
Deno.exit(leaving ? 130 : good ? 0 : 1);
