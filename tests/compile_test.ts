import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { TOOLS } from "../lib/permissions.ts";
import { bundleProgram } from "../scripts/bundle.ts";
import { parseOrder } from "../scripts/compile.ts";
import { compileArgs, compileError, NoDenortError } from "../scripts/denort.ts";
import { targetOf, TARGETS } from "../scripts/targets.ts";
import { inTempDir } from "./fixtures/root.ts";
import { type Ran, run } from "./live_host.ts";
import { writeProgram } from "./fixtures/program.ts";

const HERE = dirname(dirname(fileURLToPath(import.meta.url)));
const PIN = Deno.version.deno;
const LINUX = targetOf("x86_64-unknown-linux-gnu");
const MAC = targetOf("aarch64-apple-darwin");

/** A copy of this checkout, where nothing was fetched yet. */
async function checkoutIn(dir: string): Promise<string> {
  const to = join(dir, "a check out");
  await Deno.mkdir(to);
  const parts = [
    ".deno-version",
    "deno.json",
    "deno.lock",
    "main.ts",
    "lib",
    "commands",
    "scripts",
  ];
  const { code, stderr } = await run("cp", ["-R", ...parts.map((name) => join(HERE, name)), to]);
  assert.equal(code, 0, stderr);
  return to;
}

function compile(
  checkout: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const script = join(checkout, "scripts", "compile.ts");
  return run(Deno.execPath(), ["run", "--quiet", "--allow-all", script, ...args], {
    env: { NO_COLOR: "1", ...env },
    cwd: checkout,
  });
}

Deno.test("parseOrder() takes what there is and refuses the rest", () => {
  const host = targetOf(Deno.build.target);
  const output = join(HERE, "dist", "iapeer");
  assert.deepEqual(parseOrder([]), { format: "auto", target: host, output });
  const args = ["--format", "bundle", "--target=aarch64-apple-darwin", "--output", "/x/y"];
  assert.deepEqual(parseOrder(args), { format: "bundle", target: MAC, output: "/x/y" });
  assert.equal(parseOrder(["--help"]), undefined);
  for (
    const [wrong, message] of [
      [["--format", "zip"], /"zip": choose auto, denort or bundle/],
      [["--target", "riscv"], /"riscv": choose one of x86_64-unknown-linux-gnu, aarch64/],
      [["--wrong"], /Cannot read the command line: .*--wrong/],
      [["more"], /Cannot read the command line: .*more/],
    ] as const
  ) assert.throws(() => parseOrder(wrong), { name: "UsageError", message });
});

Deno.test("denort: deno compile is asked for what is declared, and no more", () => {
  assert.deepEqual(compileArgs(MAC, "/in/iapeer.mjs", "/out/iapeer"), [
    ...["compile", "--quiet", "--no-check", "--no-config", "--no-lock", "--no-npm"],
    ...["--target", "aarch64-apple-darwin", "--output", "/out/iapeer"],
    ...["--no-prompt", "--no-remote", "--allow-env"],
    "--allow-sys=hostname,loadavg,osUptime,systemMemoryInfo,uid",
    `--allow-run=${TOOLS.join(",")}`,
    ...["--allow-read", "--allow-write", "/in/iapeer.mjs"],
  ]);
  assert(TOOLS.includes("nice"), "by which it starts itself");
});

Deno.test("denort: what deno compile says becomes one line with the remedy", () => {
  const said = (more: string) =>
    `error: Writing deno compile executable to temporary file '/x'\n\nCaused by:\n${more}\n\nStack backtrace:\n   0: <unknown>\n`;
  const none = compileError(said("    0: Could not find denort at '/y'\n    1: No such file"), MAC);
  assert(none instanceof NoDenortError);
  assert.equal(
    none.message,
    "Cannot get denort for aarch64-apple-darwin: Could not find denort at '/y'; set DENORT_BIN to one of this Deno version, or use --format bundle",
  );
  const net = compileError(
    said("    0: Setting up base binary.\n    1: error sending it\n    2: dns"),
    MAC,
  );
  assert(net instanceof NoDenortError);
  assert.match(net.message, /: error sending it; set DENORT_BIN /);
  const other = compileError(said("    0: Writing binary bytes\n    1: No space left"), MAC);
  assert(!(other instanceof NoDenortError));
  assert.match(
    other.message,
    /^Cannot compile: .*Writing binary bytes; No space left"; use --format/,
  );
});

Deno.test("denort: without it nothing is written, and DENORT_BIN is what is built upon", () =>
  inTempDir(async (dir) => {
    const entry = join(dir, "entry.mjs");
    await Deno.writeTextFile(entry, "console.log(1);\n");
    const job = join(dir, "job.ts");
    await Deno.writeTextFile(
      job,
      `import { compileWithDenort } from ${JSON.stringify(join(HERE, "scripts/denort.ts"))};
       import { targetOf } from ${JSON.stringify(join(HERE, "scripts/targets.ts"))};
       const [entry, output] = Deno.args;
       await compileWithDenort(targetOf("x86_64-unknown-linux-gnu"), entry!, output!)
         .catch((error) => console.log(error.name, error.message));`,
    );
    const said = async (env: Record<string, string>) => {
      const args = ["run", "--quiet", "--no-config", "--allow-all", job, entry, join(dir, "out")];
      const { stdout, stderr } = await run(Deno.execPath(), args, { env });
      assert.equal(stderr, "");
      const left = [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
      assert.deepEqual(left.filter((name) => name.startsWith("out")), []);
      return stdout;
    };
    // Nobody listens there, and its cache is empty.
    const unreachable = {
      HTTPS_PROXY: "http://127.0.0.1:4",
      DENO_DIR: join(dir, "deno"),
      DENORT_BIN: "",
    };
    assert.match(
      await said(unreachable),
      /^NoDenortError Cannot get denort for x86_64-unknown-linux-gnu: .*; set DENORT_BIN to .*, or use --format bundle\n$/,
    );
    const missing = join(dir, "no-denort");
    assert.match(await said({ DENORT_BIN: missing }), new RegExp(`find denort at '${missing}';`));
    await Deno.writeTextFile(missing, "no program\n");
    assert.match(await said({ DENORT_BIN: missing }), /^IapeerError Cannot compile: .*ELF/);
  }));

Deno.test("compile says what it cannot do, and leaves an earlier build alone", () =>
  inTempDir(async (dir) => {
    const output = join(dir, "iapeer");
    await Deno.writeTextFile(output, "earlier");
    const args = ["--format", "denort", "--output", output];
    const { code, stderr } = await compile(HERE, args, { DENORT_BIN: join(dir, "none") });
    assert.equal(code, 1);
    assert.match(stderr, /^compile: Cannot get denort for \S+: .*; set DENORT_BIN .*\n$/);
    assert.equal((await compile(HERE, ["--format", "zip"])).code, 2);
    assert.match((await compile(HERE, ["--help"])).stdout, /^Usage: \.\/bootstrap compile /);
    assert.equal(await Deno.readTextFile(output), "earlier");
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), ["iapeer"]);
  }));

Deno.test("two checkouts of one commit build the same bytes; auto falls back to a bundle", () =>
  inTempDir(async (dir) => {
    const checkout = await checkoutIn(dir);
    const first = join(dir, "one", "iapeer");
    const args = ["--output", first];
    const auto = await compile(HERE, args, { DENORT_BIN: join(dir, "none") });
    assert.equal(auto.code, 0, auto.stderr);
    assert.match(
      auto.stderr,
      /^compile: Cannot get denort for [^\n;]+; building a bundle instead\ncompile: [^\n]+ \(bundle, [^\n]+ MiB\)\n$/,
    );
    // Spares it the download only: what was fetched is checked again.
    await Deno.mkdir(join(checkout, ".deno"));
    await Deno.symlink(join(HERE, ".deno", "compile"), join(checkout, ".deno", "compile"));
    const second = join(dir, "two", "other name");
    const other = await compile(checkout, ["--format", "bundle", "--output", second]);
    assert.equal(other.code, 0, other.stderr);
    const [a, b] = [await Deno.readFile(first), await Deno.readFile(second)];
    assert(a.length === b.length && a.every((byte, at) => byte === b[at]), "the same bytes");
    const sum = await run("sha256sum", ["-c", "iapeer.sha256"], { cwd: dirname(first) });
    assert.deepEqual([sum.code, sum.stdout], [0, "iapeer: OK\n"]);
    const text = new TextDecoder().decode(a.subarray(0, 800_000));
    for (const path of [HERE, dir, "/.cache/deno/", "registry."]) {
      assert(!text.includes(path), path);
    }
  }));

Deno.test("a program that needs Node's modules is not built", () =>
  inTempDir(async (dir) => {
    const checkout = await checkoutIn(dir);
    const sweep = join(checkout, "lib", "sweep.ts");
    const text = await Deno.readTextFile(sweep);
    await Deno.writeTextFile(sweep, text.replace('"./path.ts"', '"node:path"'));
    await assert.rejects(bundleProgram(checkout, "scripts/bundle_main.ts"), {
      name: "IapeerError",
      message: /imports "node:path", which every start would wait for; use .* lib\/path\.ts$/,
    });
  }));

/** An npm with one package, whose registry says what `integrity` says. */
async function fakeNpm(dir: string, files: Readonly<Record<string, string>>, integrity?: string) {
  const bin = join(dir, "bin");
  await Deno.mkdir(join(dir, "package"), { recursive: true });
  await Deno.mkdir(bin, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    writeProgram(join(dir, "package", name), text);
  }
  const tgz = join(dir, "fake.tgz");
  const { code, stderr } = await run("tar", ["-czf", tgz, "-C", dir, "package"]);
  assert.equal(code, 0, stderr);
  const hash = await crypto.subtle.digest("SHA-512", await Deno.readFile(tgz));
  const real = `sha512-${new Uint8Array(hash).toBase64()}`;
  writeProgram(
    join(bin, "npm"),
    `#!/bin/sh
case $1 in
view) echo '${integrity ?? real}' ;;
pack)
  for word in "$@"; do
    case $word in --pack-destination=*) cp '${tgz}' "\${word#*=}/some.tgz" ;; esac
  done
  ;;
esac
`,
  );
  return { PATH: `${bin}:${Deno.env.get("PATH")}` };
}

Deno.test("a bundle for macOS is built on any host, its runtime checked by npm's hash", () =>
  inTempDir(async (dir) => {
    const checkout = await checkoutIn(dir);
    const output = join(dir, "iapeer-mac");
    const args = ["--format=bundle", `--target=${MAC.triple}`, "--output", output];
    const env = await fakeNpm(join(dir, "npm"), {
      deno: "a runtime",
      "README.md": "x".repeat(700),
    });
    const { code, stderr } = await compile(checkout, args, env);
    assert.equal(code, 0, stderr);
    const expected =
      `scripts/runtimes.json does not know ${MAC.package}@${PIN}: took its integrity`;
    assert(stderr.includes(expected), stderr);
    const text = new TextDecoder().decode((await Deno.readFile(output)).subarray(0, 20_000));
    const head = text.slice(0, text.indexOf('\nexec "$_iap_dir/iapeer"'));
    assert(head.includes("exec stat -nf '%d:%i %p %u %z %Fc '"));
    assert(head.includes('spell "$HOME/Library/Caches/iapeer"'));
    assert(head.startsWith("#!/bin/sh\n# iapeer "));
    assert(!/@[A-Z_]+@/.test(head), "all is filled in");
    const other = await compile(checkout, args, await fakeNpm(join(dir, "other"), { x: "" }));
    assert.equal(other.code, 1, "what was kept has another hash and is not taken");
    assert.match(other.stderr, /there is no package\/deno in it/);
  }));

Deno.test("a runtime that is not what it should be is refused", () =>
  inTempDir(async (dir) => {
    const checkout = await checkoutIn(dir);
    const refuses = async (target: string, env: Record<string, string>, why: RegExp) => {
      const output = join(dir, "never");
      const args = ["--format=bundle", "--target", target, "--output", output];
      const { code, stderr } = await compile(checkout, args, env);
      assert.equal(code, 1, stderr);
      assert.match(stderr, why);
      assert.equal(stderr.trim().split("\n").length, 1, stderr);
      assert.throws(() => Deno.statSync(output), Deno.errors.NotFound);
    };
    const wrong = await fakeNpm(join(dir, "wrong"), { deno: "x" }, "sha512-AAAA");
    await refuses(
      LINUX.triple,
      wrong,
      /its integrity is "sha512-[^"]+" and must be "sha512-[^"]+";/,
    );
    await refuses(MAC.triple, wrong, /its integrity is "sha512-[^"]+" and must be "sha512-AAAA";/);
    const empty = await fakeNpm(join(dir, "empty"), { other: "x" });
    await refuses(MAC.triple, empty, /there is no package\/deno in it/);
    const unknown = await fakeNpm(join(dir, "unknown"), { deno: "x" });
    await Deno.writeTextFile(
      join(dir, "unknown/bin/npm"),
      "#!/bin/sh\necho 'npm error code E404' >&2\nexit 1\n",
    );
    await refuses(MAC.triple, unknown, /npm says "npm error code E404"; look at npm's registry/);
    await refuses(MAC.triple, { PATH: join(dir, "nowhere") }, /there is no npm on PATH/);
    await Deno.writeTextFile(join(checkout, ".deno-version"), "1.2.3\n");
    await refuses(MAC.triple, wrong, /this checkout is for 1\.2\.3; run \.\/bootstrap compile/);
  }));

Deno.test("scripts/runtimes.json knows the pinned Deno, and only that", async () => {
  const known = JSON.parse(await Deno.readTextFile(join(HERE, "scripts", "runtimes.json")));
  assert(`${LINUX.package}@${PIN}` in known);
  const names = TARGETS.map((target) => `${target.package}@${PIN}`);
  for (const [spec, integrity] of Object.entries(known)) {
    assert(names.includes(spec), `${spec} is for no target, or for another Deno`);
    assert.match(String(integrity), /^sha512-[\w+/]{86}==$/);
  }
});
