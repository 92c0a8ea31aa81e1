import assert from "node:assert/strict";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { permissionFlags } from "../lib/permissions.ts";
import { writeProgram } from "./fixtures/program.ts";

const HERE = dirname(dirname(fileURLToPath(import.meta.url)));
const PIN = Deno.readTextFileSync(join(HERE, ".deno-version")).trim();

/** Every argument that some shell might take for something else. */
const AWKWARD = [
  ...["", " ", "a b", "it's", '"', '\\"', "'\\''", "\\", "\\\\", "end\\"],
  ...["$HOME", "$(id)", "`id`", "${x}", "$", "!x", "#c", "~", "*", "?", "[a]"],
  ...["{a,b}", ";", "&&", "|", ">f", "2>&1", "<", "(", ")", "A=b", "=", "%s"],
  ...[
    "\n",
    "two\nlines\n",
    "\r\n",
    "\t",
    "\u{1}",
    "é 日本 🐤",
    "--",
    "-q",
    "--help",
  ],
];

const DENO_OF = (version: string) =>
  `case $1 in --version) echo "deno ${version} (fake)";; *) printf '%s\\0' "$@";; esac`;
const TMUX = "#!/bin/sh\necho 'tmux 3.3a'";
const NOTHING = "#!/bin/sh";

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
  pid: number;
}

/** Runs `command` with exactly the environment `env`. */
async function run(
  command: string,
  args: readonly string[],
  env: Record<string, string>,
  cwd: string,
): Promise<Ended> {
  const child = new Deno.Command(command, {
    args: [...args],
    env,
    clearEnv: true,
    cwd,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return {
    code,
    stdout: text.decode(stdout),
    stderr: text.decode(stderr),
    pid: child.pid,
  };
}

function words(output: string): string[] {
  return output.split("\0").slice(0, -1);
}

function which(name: string): string | undefined {
  return (Deno.env.get("PATH") ?? "").split(delimiter)
    .map((dir) => join(dir, name)).find(exists);
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** A checkout in a place with an awkward name, and a PATH of fakes. */
class Place implements Disposable {
  readonly top = Deno.realPathSync(
    Deno.makeTempDirSync({ prefix: "iapeer-bootstrap-" }),
  );
  readonly checkout = join(this.top, `it's a "check out" $x; %41 #é`);
  readonly elsewhere = join(this.top, "else where");
  readonly fakes = join(this.top, "fakes");
  readonly bootstrap = join(this.checkout, "bootstrap");
  readonly iapeer = join(this.checkout, "scripts", "iapeer");

  constructor() {
    for (const dir of ["scripts", "lib"]) {
      Deno.mkdirSync(join(this.checkout, dir), { recursive: true });
    }
    Deno.mkdirSync(this.elsewhere);
    for (
      const file of [
        ...[".deno-version", "bootstrap", "deno.json", "scripts/iapeer"],
        ...["scripts/permissions.ts", "lib/permissions.ts", "lib/errors.ts"],
      ]
    ) Deno.copyFileSync(join(HERE, file), join(this.checkout, file));
    this.fake({ deno: DENO_OF(PIN), tmux: TMUX, ps: NOTHING, kill: NOTHING });
  }

  /** Puts programs on the PATH of fakes, or takes them away. */
  fake(programs: Record<string, string | undefined>, dir = this.fakes): void {
    Deno.mkdirSync(dir, { recursive: true });
    for (const [name, text] of Object.entries(programs)) {
      const path = join(dir, name);
      if (exists(path)) Deno.removeSync(path);
      if (text !== undefined) {
        writeProgram(path, `${text}\n`);
      }
    }
  }

  /** Puts real programs on the PATH of fakes. */
  real(...names: string[]): void {
    for (const name of names) {
      const path = which(name);
      assert(path !== undefined, `no ${name} on PATH`);
      Deno.symlinkSync(path, join(this.fakes, name));
    }
  }

  /** A Deno that prints what it is asked to run, its environment and place. */
  recorder(): string {
    const path = join(this.top, "recorder");
    writeProgram(
      path,
      `#!/bin/sh
case " $* " in *"/scripts/permissions.ts "*) exec '${Deno.execPath()}' "$@" ;; esac
printf '%s\\0' "$$" "$(pwd -P)" "$(/usr/bin/env)" "$@"
exit 7
`,
    );
    return path;
  }

  boot(
    args: readonly string[],
    env: Record<string, string> = {},
    cwd = this.elsewhere,
  ) {
    return run(this.bootstrap, args, {
      HOME: this.top,
      PATH: this.fakes,
      ...env,
    }, cwd);
  }

  /** Runs `scripts/iapeer` with the recorder. */
  async record(
    args: readonly string[],
    env: Record<string, string> = {},
    { cwd = this.elsewhere, command = this.iapeer } = {},
  ) {
    const ended = await run(command, args, {
      HOME: this.top,
      PATH: this.fakes,
      IAPEER_DENO: this.recorder(),
      ...env,
    }, cwd);
    assert.equal(ended.code, 7, ended.stderr);
    const [pid, where, environment = "", ...rest] = words(ended.stdout);
    const main = rest.indexOf(join(this.checkout, "main.ts"));
    return {
      samePid: Number(pid) === ended.pid,
      where,
      env: new Map(
        environment.split("\n").map((line) => {
          const at = line.indexOf("=");
          return [line.slice(0, at), line.slice(at + 1)] as const;
        }),
      ),
      flags: rest.slice(0, main),
      args: rest.slice(main + 1),
    };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.top, { recursive: true });
  }
}

/** The files of this repository, those not yet committed too. */
async function repositoryFiles(): Promise<string[]> {
  const { stdout, code } = await new Deno.Command("git", {
    args: [
      ...["-c", "safe.directory=*", "ls-files", "-z"],
      ...["--cached", "--others", "--exclude-standard"],
    ],
    cwd: HERE,
  }).output();
  assert.equal(code, 0, "git ls-files failed");
  return words(new TextDecoder().decode(stdout)).filter((file) => exists(join(HERE, file)));
}

const shellcheck = which("shellcheck");
Deno.test({
  name: shellcheck === undefined && !Deno.env.get("CI")
    ? "shell scripts pass shellcheck (NOT RUN: there is no shellcheck on PATH)"
    : "shell scripts pass shellcheck",
  ignore: shellcheck === undefined && !Deno.env.get("CI"),
  async fn() {
    assert(shellcheck !== undefined, "there is no shellcheck on PATH");
    const scripts = (await repositoryFiles()).filter((file) =>
      /^#!.*\b(?:ba|da)?sh\b/.test(
        Deno.readTextFileSync(join(HERE, file)).slice(0, 80),
      )
    );
    for (const known of ["bootstrap", "scripts/iapeer", ".ci/run"]) {
      assert(scripts.includes(known), `${known} was not found`);
    }
    const { code, stdout } = await new Deno.Command(shellcheck, {
      args: ["--", ...scripts],
      cwd: HERE,
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stdout));
  },
});

Deno.test(".deno-version agrees with all that names a Deno version", async () => {
  assert.equal(Deno.version.deno, PIN);
  const named = /\bdeno(?:[-_ ]?version)?["']?\s*[:=@]\s*["']?v?(\d+\.\d+\.\d+)/gi;
  for (const file of await repositoryFiles()) {
    if (file === "deno.lock" || file.startsWith("tests/")) continue;
    for (
      const match of Deno.readTextFileSync(join(HERE, file)).matchAll(named)
    ) {
      assert.equal(match[1], PIN, `${file}: ${match[0]}`);
    }
  }
});

Deno.test("bootstrap explains itself without looking for anything", async () => {
  using place = new Place();
  const help = await place.boot(["--help"], { PATH: "" });
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^Usage: \.\/bootstrap COMMAND/);
  for (const args of [[], [""], ["--wrong"]]) {
    const { code, stdout, stderr } = await place.boot(args, { PATH: "" });
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /^Usage:/);
  }
});

for (const shell of ["sh", "dash", "bash", "busybox"]) {
  const path = which(shell);
  if (path === undefined) continue;
  Deno.test(`bootstrap hands arguments to a task byte for byte (${shell})`, async () => {
    using place = new Place();
    const before = shell === "busybox" ? ["sh"] : [];
    const ended = await run(
      path,
      [...before, place.bootstrap, "some-task", ...AWKWARD],
      { PATH: place.fakes },
      place.elsewhere,
    );
    assert.deepEqual(words(ended.stdout), [
      ...[
        "task",
        "-q",
        "--config",
        join(place.checkout, "deno.json"),
        "some-task",
      ],
      ...AWKWARD,
    ], ended.stderr);
    assert.equal(ended.stderr, "");
  });

  Deno.test(`scripts/iapeer hands arguments on byte for byte (${shell})`, async () => {
    using place = new Place();
    const command = join(place.top, "by-shell");
    const call = shell === "busybox" ? `'${path}' sh` : `'${path}'`;
    writeProgram(command, `#!/bin/sh\nexec ${call} "$SCRIPT" "$@"`);
    const seen = await place.record(AWKWARD, { SCRIPT: place.iapeer }, {
      command,
    });
    assert.deepEqual(seen.args, AWKWARD);
  });
}

Deno.test("./bootstrap iapeer runs the program itself", async () => {
  using place = new Place();
  Deno.writeTextFileSync(
    join(place.checkout, "main.ts"),
    `const text = JSON.stringify({
  args: Deno.args, cwd: Deno.cwd(), pid: Deno.pid, env: Deno.env.toObject(),
  net: Deno.permissions.querySync({ name: "net" }).state,
  write: Deno.permissions.querySync({ name: "write", path: "rel/root/x" }).state,
});
Deno.stdout.writeSync(new TextEncoder().encode(text));
Deno.exitCode = 5;
`,
  );
  // Without the npm imports, so that no cache is needed.
  const config = JSON.parse(Deno.readTextFileSync(join(HERE, "deno.json")));
  Deno.writeTextFileSync(
    join(place.checkout, "deno.json"),
    JSON.stringify({
      permissions: config.permissions,
      tasks: { iapeer: "sh scripts/iapeer" },
    }),
  );
  // A configuration where the caller stands is not for iapeer.
  Deno.writeTextFileSync(join(place.elsewhere, "deno.json"), "not even JSON");
  const args = ["--root", "rel/root", ...AWKWARD];

  place.fake({ deno: undefined });
  Deno.mkdirSync(join(place.checkout, ".deno", PIN), { recursive: true });
  Deno.symlinkSync(Deno.execPath(), join(place.checkout, ".deno", PIN, "deno"));
  const env = {
    INIT_CWD: "/of/npm",
    npm_config_user_agent: "npm/10",
    version: "mine",
  };
  const direct = await place.boot(["iapeer", ...args], env);
  const seen = JSON.parse(direct.stdout || "{}");
  assert.deepEqual([direct.code, direct.stderr], [5, ""]);
  assert.deepEqual(seen.args, args);
  assert.equal(seen.pid, direct.pid);
  assert.equal(seen.cwd, place.elsewhere);
  // Deno says "prompt" of what is not granted, also under --no-prompt.
  assert.deepEqual([seen.net, seen.write], ["prompt", "granted"]);
  for (const [name, value] of Object.entries(env)) {
    assert.equal(seen.env[name], value);
  }
  assert.equal(seen.env.IAPEER_DENO, undefined);

  // As a task, started from below the checkout.
  const cwd = join(place.checkout, "lib");
  const path = `${place.fakes}${delimiter}/usr/bin${delimiter}/bin`;
  const task = await run(
    Deno.execPath(),
    ["task", "-q", "iapeer", ...args],
    { HOME: place.top, PATH: path, version: "mine" },
    cwd,
  );
  const inTask = JSON.parse(task.stdout || "{}");
  assert.equal(task.code, 5, task.stderr);
  assert.deepEqual(inTask.args, args);
  assert.equal(inTask.cwd, cwd);
  assert.equal(inTask.env.PATH, path);
  assert.equal(inTask.env.version, "mine");
});

Deno.test("scripts/iapeer gives the program the caller's environment and place", async () => {
  using place = new Place();
  const own = { A: "1", root: "mine", version: "mine", CDPATH: "/" };
  const ofTask = {
    INIT_CWD: place.elsewhere,
    npm_config_user_agent: "deno/2 npm/?",
  };
  const ofNpm = {
    INIT_CWD: "/x",
    npm_config_user_agent: "npm/10",
    OLDPWD: "/",
  };
  for (
    const [given, stays, cwd, where] of [
      [{}, {}, place.elsewhere, place.elsewhere],
      [ofTask, {}, place.checkout, place.elsewhere],
      [ofTask, {}, place.top, place.top],
      [ofNpm, ofNpm, place.checkout, place.checkout],
    ] as const
  ) {
    const seen = await place.record(["a"], { ...own, ...given }, { cwd });
    // Every shell sets these for itself.
    for (const name of ["_", "PWD", "SHLVL"]) seen.env.delete(name);
    assert.deepEqual(Object.fromEntries(seen.env), {
      HOME: place.top,
      PATH: place.fakes,
      ...own,
      ...stays,
    });
    assert.equal(seen.where, where);
    assert(seen.samePid, "something stays between caller and program");
  }
});

Deno.test("scripts/iapeer permits the root that the program will use", async () => {
  using place = new Place();
  const here = place.elsewhere;
  Deno.mkdirSync(join(here, "real"));
  Deno.symlinkSync("real", join(here, "link"));
  const HOME = join(place.top, "home");
  for (
    const [args, env, ...roots] of [
      [[], {}, `${HOME}/.iapeer`],
      [[], { IAPEER_ROOT: "" }, `${HOME}/.iapeer`],
      [[], { IAPEER_ROOT: "/from env" }, "/from env"],
      [["--root", "/a"], { IAPEER_ROOT: "/from env" }, "/a"],
      [["status", "--root=/it's a;$(b)"], {}, "/it's a;$(b)"],
      [["--root", "rel/../other"], {}, `${here}/other`],
      [["--root", "-dash"], {}, `${here}/-dash`],
      [["launch", "--", "c", "--root", "/not/this"], {}, `${HOME}/.iapeer`],
      [["launch", "--root", "--", "--root=/not"], {}, `${HOME}/.iapeer`],
      [["--root", "/a", "--", "--root=/not"], {}, "/a"],
      [
        ["--root=link/new/er"],
        {},
        `${here}/link/new/er`,
        `${here}/real/new/er`,
      ],
    ] as const
  ) {
    const seen = await place.record(args, { HOME, ...env });
    assert.deepEqual(seen.args, args);
    assert.equal(seen.flags.at(-3), `--allow-write=${roots.join(",")}`);
  }
});

Deno.test("scripts/iapeer permits the places of an installation to install and uninstall", async () => {
  using place = new Place();
  const HOME = join(place.top, "home");
  const root = `${HOME}/.iapeer`;
  const usual = { prefix: `${HOME}/.local`, configHome: `${HOME}/.config` };
  for (
    const [args, env, places] of [
      [["install"], {}, usual],
      [["uninstall", "--prefix", "/opt/a b/"], {}, { ...usual, prefix: "/opt/a b" }],
      [["install", "--prefix=rel"], {}, { ...usual, prefix: `${place.elsewhere}/rel` }],
      [["install"], { XDG_CONFIG_HOME: "/etc/x" }, { ...usual, configHome: "/etc/x" }],
      [["status", "--prefix", "/opt"], {}, undefined],
    ] as const
  ) {
    const seen = await place.record(args, { HOME, ...env });
    const expected = permissionFlags(root, HOME, Deno.execPath(), root, places);
    assert.equal(seen.flags.at(-3), expected.at(-1), args.join(" "));
    assert.equal(seen.flags.at(-4), expected.at(-2), args.join(" "));
  }
});

Deno.test("scripts/iapeer says what it lacks", async () => {
  using place = new Place();
  const fails = async (
    env: Record<string, string>,
    code: number,
    message: RegExp,
  ) => {
    const ended = await run(place.iapeer, ["status"], env, place.elsewhere);
    assert.deepEqual([ended.code, ended.stdout], [code, ""]);
    assert.match(ended.stderr, message);
  };
  const deno = Deno.execPath();
  await fails(
    { PATH: place.fakes, IAPEER_DENO: deno },
    2,
    /neither IAPEER_ROOT nor HOME/,
  );
  await fails(
    { IAPEER_ROOT: "/a,b", IAPEER_DENO: deno },
    2,
    /Cannot use the path "\/a,b"/,
  );
  await fails({ HOME: "/", IAPEER_DENO: "deno" }, 1, /IAPEER_DENO "deno"/);
  await fails(
    { HOME: "/", IAPEER_DENO: place.top },
    1,
    /not the absolute path of a program/,
  );
  place.fake({ deno: `#!/bin/sh\n${DENO_OF(PIN)}` });
  await fails(
    { HOME: "/", PATH: place.fakes },
    1,
    /Cannot find Deno: .*bootstrap/,
  );
  await fails({ HOME: "/", PATH: "fakes:" }, 1, /Cannot find Deno/);
});

Deno.test("permissionFlags() allows both spellings of a root behind a symlink", () => {
  const flags = permissionFlags("/link", undefined, "/deno", "/real");
  assert(flags.includes("--allow-write=/link,/real"));
  assert(flags.some((flag) => flag.startsWith("--allow-read=/link,/real,")));
  assert.throws(
    () => permissionFlags("/link", undefined, "/deno", "/a,b"),
    /"\/a,b"/,
  );
});

Deno.test("both scripts find their checkout through symlinks", async () => {
  using place = new Place();
  const bin = join(place.top, "bin");
  Deno.mkdirSync(bin);
  place.real("readlink");
  Deno.symlinkSync(
    `../${place.checkout.slice(place.top.length + 1)}/scripts/iapeer`,
    join(bin, "one"),
  );
  Deno.symlinkSync("one", join(bin, "iapeer"));
  Deno.symlinkSync(place.bootstrap, join(bin, "bootstrap"));
  Deno.symlinkSync("bin", join(place.top, "dir"));

  for (const command of [join(bin, "iapeer"), join(place.top, "dir", "one")]) {
    assert.deepEqual((await place.record(["x"], {}, { command })).args, ["x"]);
  }
  const relative = await run(
    which("sh") ?? "sh",
    ["bootstrap", "t"],
    { PATH: place.fakes },
    join(place.top, "dir"),
  );
  assert.deepEqual(
    words(relative.stdout).at(-2),
    join(place.checkout, "deno.json"),
  );
});

Deno.test("bootstrap takes tmux 3.3 or later, however it is named", async () => {
  using place = new Place();
  place.fake({ uname: "#!/bin/sh\necho Linux" });
  for (
    const [name, fits] of [
      ...["3.3", "3.3a", "3.3-rc", "3.10", "3.6b", "4", "4.0", "10.1"].map((
        v,
      ) => [v, true]),
      ...["next-3.5", "next-3.10", "openbsd-7.4", "openbsd-7.2", "master"].map((
        v,
      ) => [v, true]),
      ...["3.2a", "3", "2.9", "1.8", "next-3.2", "openbsd-7.1", "odd", ""].map((
        v,
      ) => [v, false]),
    ] as [string, boolean][]
  ) {
    place.fake({ tmux: `#!/bin/sh\necho 'tmux ${name}'` });
    const { code, stderr } = await place.boot(["t"]);
    assert.equal(code, fits ? 0 : 1, `tmux ${name}: ${stderr}`);
    if (!fits) {
      assert.match(
        stderr,
        /calls itself "tmux .*" *, and tmux 3\.3 or later is needed/,
      );
    }
  }
  // The program would start the first tmux on PATH, so a later one is no help.
  const second = join(place.top, "second");
  place.fake({ tmux: TMUX }, second);
  assert.equal(
    (await place.boot(["t"], { PATH: `${place.fakes}:${second}` })).code,
    1,
  );
});

Deno.test("bootstrap says how to get tmux and ps where it cannot", async () => {
  using place = new Place();
  const refuses = async (message: RegExp) => {
    const { code, stdout, stderr } = await place.boot(["t"]);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, message);
  };
  place.fake({ tmux: undefined, uname: "#!/bin/sh\necho Linux" });
  await refuses(
    /no tmux on PATH; install with the package manager of this system: tmux$/m,
  );
  place.fake({ kill: undefined });
  await refuses(
    /no tmux on PATH; there is no ps or no kill on PATH; .*: tmux procps$/m,
  );
  place.fake({ uname: "#!/bin/sh\necho Darwin", kill: NOTHING });
  await refuses(/install Homebrew first, then run: brew install tmux$/m);
  place.fake({ brew: "#!/bin/sh\necho 'brew is broken'; exit 1" });
  await refuses(/brew is broken\n.*; run: brew install tmux$/m);
  place.fake({
    id: "#!/bin/sh\necho 1000",
    "apt-get": NOTHING,
    brew: undefined,
  });
  await refuses(
    /run: sudo apt-get update && sudo apt-get install -y --no-install-recommends tmux$/m,
  );
});

Deno.test("bootstrap installs what is absent, where no password is needed", async () => {
  using place = new Place();
  const log = join(place.top, "log");
  const wanted = [
    "-q -o DPkg::Lock::Timeout=120 update",
    "-q -o DPkg::Lock::Timeout=120 install -y --no-install-recommends tmux procps",
  ];
  const creates = (name: string) =>
    `#!/bin/sh
echo chatter; echo "$*" >>'${log}'
for package in "$@"; do case $package in
tmux) printf '#!/bin/sh\\necho tmux 3.5a\\n' >'${place.fakes}/tmux'; continue ;;
procps) made=ps ;;
shellcheck) made=shellcheck ;;
libplist*) made=plistutil ;;
systemd) made=systemd-analyze ;;
runit) made=runsvdir ;;
s6) made=s6-svscan ;;
*) continue ;;
esac; printf '#!/bin/sh\\n' >"${place.fakes}/$made"; done
for file in tmux ps shellcheck plistutil systemd-analyze runsvdir s6-svscan; do
if [ -e '${place.fakes}'/$file ]; then /bin/chmod 755 '${place.fakes}'/$file; fi; done # ${name}`;
  const installs = async (command: string, calls: string[]) => {
    const { code, stdout, stderr } = await place.boot([command]);
    assert.equal(code, 0, stderr);
    assert.equal(words(stdout).at(-1), command);
    assert.match(stderr, /installing/);
    assert.deepEqual(Deno.readTextFileSync(log).trim().split("\n"), calls);
    Deno.removeSync(log);
  };

  place.real("env");
  place.fake({ tmux: undefined, ps: undefined, "apt-get": creates("apt") });
  place.fake({ id: "#!/bin/sh\necho 0" });
  await installs("t", wanted);

  place.fake({ tmux: undefined, ps: undefined, id: "#!/bin/sh\necho 1000" });
  place.fake({
    sudo: `#!/bin/sh\n[ "$1" = -n ] && shift && exec "$@"`,
    true: NOTHING,
  });
  await installs("t", wanted);
  await installs("test", [
    wanted[0]!,
    "-q -o DPkg::Lock::Timeout=120 install -y --no-install-recommends " +
    "shellcheck libplist-utils systemd runit s6",
  ]);
  place.fake({ runsvdir: undefined });
  await installs("ok", [
    wanted[0]!,
    "-q -o DPkg::Lock::Timeout=120 install -y --no-install-recommends runit",
  ]);

  const forTests = ["shellcheck", "plistutil", "systemd-analyze", "runsvdir", "s6-svscan"];
  place.fake(Object.fromEntries(forTests.map((name) => [name, undefined])));
  place.fake({ tmux: undefined, "apt-get": undefined, brew: creates("brew") });
  await installs("t", ["install tmux"]);
  await installs("test", ["install shellcheck libplist"]);
});

Deno.test("bootstrap makes way for the task and adds IAPEER_DENO only", async () => {
  using place = new Place();
  place.fake({
    deno: `case $1 in --version) echo "deno ${PIN} (fake)";; *) echo "$$"; /usr/bin/env;; esac`,
  });
  const env = { HOME: "/h", PATH: place.fakes, version: "mine" };
  const ofNpm = { INIT_CWD: "/x", npm_config_user_agent: "npm/10" };
  const ended = await place.boot(["t"], { ...env, ...ofNpm });
  const [pid, ...lines] = ended.stdout.trim().split("\n");
  assert.equal(Number(pid), ended.pid);
  // Every shell sets these for itself.
  assert.deepEqual(
    lines.filter((line) => !/^(?:_|PWD|SHLVL)=/.test(line)).sort(),
    Object.entries({ ...env, IAPEER_DENO: join(place.fakes, "deno") })
      .map(([name, value]) => `${name}=${value}`).sort(),
  );
});

Deno.test("bootstrap goes on without what only tests start, and says how to get it", async () => {
  using place = new Place();
  for (
    const [system, remedy] of [
      [
        "Linux",
        "shellcheck, plistutil, systemd-analyze, runsvdir, s6-svscan; install with the package manager of this system: shellcheck libplist-utils systemd runit s6",
      ],
      [
        "Darwin",
        "shellcheck, plistutil; install Homebrew first, then run: brew install shellcheck libplist",
      ],
    ]
  ) {
    place.fake({ uname: `#!/bin/sh\necho ${system}` });
    const { code, stdout, stderr } = await place.boot(["test"]);
    assert.equal(code, 0);
    assert.equal(words(stdout).at(-1), "test");
    assert(stderr.includes(`absent, and the gate decides what that means: ${remedy}\n`), stderr);
  }
});

Deno.test("bootstrap says how to get Deno where it cannot", async () => {
  using place = new Place();
  const refuses = async (message: RegExp) => {
    const { code, stdout, stderr } = await place.boot(["t"]);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, message);
  };
  const uname = (os: string, machine: string) =>
    place.fake({
      uname: `#!/bin/sh\ncase $1 in -s) echo ${os};; *) echo ${machine};; esac`,
    });
  place.fake({ deno: undefined, ldd: "#!/bin/sh\necho 'ldd (GNU libc) 2.36'" });
  uname("Linux", "x86_64");
  await refuses(
    /no npm on PATH; install Node\.js with npm, or put Deno \d+\.\d+\.\d+ .* on PATH/,
  );
  uname("Linux", "riscv64");
  await refuses(/npm has no build of it for "Linux riscv64"/);
  uname("Linux", "aarch64");
  place.fake({ ldd: "#!/bin/sh\necho 'musl libc (aarch64)' >&2; exit 1" });
  await refuses(/C library is musl, and npm's builds need glibc/);
});

Deno.test("bootstrap takes only the pinned Deno itself", async () => {
  using place = new Place();
  const second = join(place.top, "second");
  place.fake({ uname: "#!/bin/sh\necho Plan9", deno: DENO_OF("2.9.60") });
  const PATH = `relative::${place.fakes}:${second}`;
  assert.match((await place.boot(["t"], { PATH })).stderr, /no build/);
  // What npm calls `deno` is a script around the real one.
  place.fake({ deno: `#!/bin/sh\n${DENO_OF(PIN)}` });
  assert.match((await place.boot(["t"], { PATH })).stderr, /no build/);
  place.fake({ deno: DENO_OF(PIN) }, second);
  assert.equal(words((await place.boot(["t"], { PATH })).stdout).at(-1), "t");
});

Deno.test("bootstrap installs Deno from npm, two at once without harm", async () => {
  using place = new Place();
  place.fake({
    deno: undefined,
    ldd: NOTHING,
    uname: "#!/bin/sh\ncase $1 in -s) echo Linux;; *) echo x86_64;; esac",
    npm: `#!/bin/sh
echo "$@"; mkdir package && cp "$HOME/deno.txt" package/deno && tar -czf some.tgz package`,
  });
  place.real("mkdir", "mktemp", "tar", "gzip", "chmod", "mv", "rm", "cp");
  const left = () => [...Deno.readDirSync(join(place.checkout, ".deno"))].map(({ name }) => name);

  Deno.writeTextFileSync(join(place.top, "deno.txt"), DENO_OF("1.0.0"));
  const wrong = await place.boot(["t"]);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /it answers "deno 1\.0\.0 \(fake\)"/);
  assert.deepEqual(left(), [PIN]);
  Deno.removeSync(join(place.top, "deno.txt"));
  const failed = await place.boot(["t"]);
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /npm did not bring @deno\/linux-x64-glibc/);
  assert.deepEqual(left(), [PIN]);

  Deno.writeTextFileSync(join(place.top, "deno.txt"), DENO_OF(PIN));
  const both = await Promise.all([
    place.boot(["t", "1"]),
    place.boot(["t", "2"]),
  ]);
  for (const [at, { code, stdout, stderr }] of both.entries()) {
    assert.equal(code, 0, stderr);
    assert.equal(words(stdout).at(-1), String(at + 1));
    assert.match(stderr, new RegExp(`@deno/linux-x64-glibc@${PIN}`));
  }
  assert.deepEqual(left(), [PIN]);
  assert.equal((await place.boot(["t"])).stderr, "");
});
