import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { contextOf } from "../lib/context.ts";
import { denoHost } from "../lib/host.ts";
import type { ToolResult } from "../lib/process.ts";
import { execLine, systemd, unitText } from "../lib/systemd.ts";
import { inTempDir, toolsThat } from "./fixtures/root.ts";
import { AWKWARD, AWKWARD_CHARACTERS, must, testWith, writtenSteps } from "./fixtures/service.ts";
import { writeProgram } from "./fixtures/program.ts";

const SETUP = { program: "/home/bob/.local/bin/iapeer", environment: { PATH: "/usr/bin:/bin" } };

function serviceThat(
  answer: (tool: string, args: readonly string[]) => Partial<ToolResult>,
  dir = "/home/bob/.config/systemd/user",
) {
  const host = { ...denoHost, tools: toolsThat(answer) };
  return systemd(contextOf("/srv/x", host), dir, "", 1000);
}

/** What systemd itself reads in each unit: it dumps that when it verifies loudly. */
function asSystemdReads(
  dir: string,
  texts: readonly string[],
): { command: string[]; environment: string[] }[] {
  const units = texts.map((text, n) => {
    Deno.writeTextFileSync(join(dir, `u${n}.service`), text);
    return join(dir, `u${n}.service`);
  });
  const env = { SYSTEMD_LOG_LEVEL: "debug", SYSTEMD_LOG_TARGET: "console", XDG_RUNTIME_DIR: dir };
  const { stdout, stderr } = must(
    "systemd-analyze",
    ["verify", "--user", "--man=no", ...units],
    env,
  );
  const said = stdout + stderr;
  return units.map((_, n) => {
    const from = said.indexOf(`-> Unit u${n}.service:`);
    assert.notEqual(from, -1, said);
    const dump = said.slice(from);
    return {
      command: words(/^\s*Command Line: (.*)$/m.exec(dump)![1]!),
      environment: [...dump.matchAll(/^\s*Environment: (.*)$/gm)].map(([, said]) => said!).slice(
        0,
        2,
      ),
    };
  });
}

/** The words of a command line as systemd shows it. */
function words(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|([^ ]+)/g)]
    .map(([, quoted, plain]) => plain ?? quoted!.replace(/\\(.)/g, "$1"));
}

/** What the program gets: a doubled dollar is one when systemd starts it. */
function argv(command: readonly string[]): string[] {
  const wrapped = command[0] === "/bin/sh";
  return command.slice(wrapped ? 3 : 0).map((word, n) =>
    !wrapped && n === 0 ? word : word.replaceAll("$$", "$")
  );
}

function assertSurvives(dir: string, names: readonly string[]): void {
  const cases = names.map((name) => {
    // The program has to be there: a path that systemd reads otherwise is not.
    const bin = join(dir, name);
    Deno.mkdirSync(bin, { recursive: true });
    const program = join(bin, "iapeer");
    writeProgram(program, "");
    const environment = { PATH: `/opt/${name}:/usr/bin`, IAPEER_CACHE: `/c/${name}` };
    return { program, root: join("/srv", name, "end"), environment };
  });
  const read = asSystemdReads(dir, cases.map(({ root, ...setup }) => unitText(root, setup)));
  read.forEach(({ command, environment }, n) => {
    const { program, root, environment: { PATH, IAPEER_CACHE } } = cases[n]!;
    assert.deepEqual(argv(command), [program, "supervise", "--root", root]);
    assert.deepEqual(environment, [`PATH=${PATH}`, `IAPEER_CACHE=${IAPEER_CACHE}`]);
  });
}

testWith(
  "systemd-analyze",
  "unitText() survives systemd's own reading",
  () => inTempDir((dir) => assertSurvives(dir, AWKWARD)),
);

testWith(
  "systemd-analyze",
  "unitText() survives systemd's own reading: any awkward name",
  () =>
    inTempDir((dir) => {
      const name = fc.string({
        unit: fc.constantFrom(...AWKWARD_CHARACTERS),
        minLength: 1,
        maxLength: 12,
      });
      fc.assert(
        fc.property(fc.array(name, { minLength: 8, maxLength: 8 }), (names) => {
          assertSurvives(dir, names);
        }),
        { numRuns: 12 },
      );
    }),
);

Deno.test("execLine() gives sh what systemd refuses, byte for byte", () =>
  inTempDir((dir) => {
    const program = join(dir, `it's "$x" \\n`);
    writeProgram(program, '#!/bin/sh\nprintf "%s\\0" "$@"\n');
    const [sh, ...args] = argvOfLine(execLine([program, "a b", "$HOME"]));
    assert.equal(sh, "/bin/sh");
    assert.equal(must(sh!, args).stdout, "a b\0$HOME\0");
  }));

function argvOfLine(line: string): string[] {
  return words(line).map((word) => word.replaceAll("$$", "$").replaceAll("%%", "%"));
}

Deno.test("unitText() says what keeps the sessions alive", () => {
  assert.equal(
    unitText("/srv/x", SETUP),
    `[Unit]
Description=iapeer: looks after the sessions in /srv/x (iapeer supervise)
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=/home/bob/.local/bin/iapeer supervise --root /srv/x
Environment=PATH=/usr/bin:/bin
Restart=always
RestartSec=10
TimeoutStopSec=20
# The tmux servers and their canaries outlive the supervisor.
KillMode=process
# The end of one session for want of memory is not the end of the service.
OOMPolicy=continue
Delegate=yes
UMask=0077

[Install]
WantedBy=default.target
`,
  );
});

Deno.test("unitText() refuses what a line cannot hold", () => {
  for (const bad of ["/a\nb", "/a\rb", "/a\tb", "/a\0b", "/\u{1b}[m", "/a\u{7f}"]) {
    assert.throws(() => unitText(bad, SETUP), /control characters/);
    assert.throws(() => unitText("/srv/x", { ...SETUP, program: bad }), /control characters/);
    assert.throws(
      () => unitText("/srv/x", { ...SETUP, environment: { PATH: bad } }),
      /control characters/,
    );
  }
});

/** As `systemctl show` prints it, by its manual. */
const SHOWN = `LoadState=loaded
SubState=running
MainPID=4242
KillMode=process
OOMPolicy=continue
Delegate=yes
Restart=always
UnitFileState=enabled
`;

Deno.test("state() tells what systemd and the unit say", async () => {
  const program = `/home/b"ob\\/100% $x/iapeer`;
  const unit = unitText("/srv/x", { program, environment: { PATH: "/o pt:/bin" } });
  const service = serviceThat((tool, args) => {
    if (tool === "test") return {};
    if (tool === "cat") return { stdout: unit };
    if (tool === "loginctl") {
      assert.deepEqual(args, ["show-user", "1000", "--property=Linger"]);
      return { stdout: "Linger=yes\n" };
    }
    assert.deepEqual(args.slice(0, 3), ["--user", "show", "iapeer.service"]);
    return { stdout: SHOWN };
  });
  assert.deepEqual(await service.state(), {
    manager: "systemd",
    file: "/home/bob/.config/systemd/user/iapeer.service",
    installed: true,
    loaded: true,
    running: true,
    pid: 4242,
    program,
    settings: {
      KillMode: "process",
      OOMPolicy: "continue",
      Delegate: "yes",
      Restart: "always",
      UnitFileState: "enabled",
      PATH: "/o pt:/bin",
      Linger: "yes",
    },
  });
  assert(service.starts(unit, program));
  assert(!service.starts(unit, "/home/bob/iapeer"));
});

Deno.test("state() tells a unit that is not there from one that cannot be asked about", async () => {
  const absent = await serviceThat((tool) => {
    if (tool === "test") return { code: 1 };
    if (tool === "loginctl") {
      return {
        code: 1,
        stderr: "Failed to get user: User ID 1000 is not logged in or lingering\n",
      };
    }
    return { stdout: "LoadState=not-found\nSubState=dead\nMainPID=0\nKillMode=\n" };
  }).state();
  const { file: _, ...said } = absent;
  assert.deepEqual(said, {
    manager: "systemd",
    installed: false,
    loaded: false,
    running: false,
    settings: { Linger: "no" },
  });
  const mute = await serviceThat((tool) =>
    tool === "test"
      ? { code: 1 }
      : { code: 1, stderr: "Failed to connect to bus: No medium found\n" }
  ).state();
  assert.equal(mute.loaded, undefined);
  assert.equal(mute.running, undefined);
  assert.equal(mute.trouble, "systemctl: Failed to connect to bus: No medium found");
});

Deno.test("a unit is loaded, enabled and started anew; ended and forgotten", async () => {
  const steps = writtenSteps();
  const service = serviceThat(() => ({}));
  await service.load(steps, true);
  await service.unload(steps);
  await service.forget(steps);
  assert.deepEqual(steps.ran, [
    "systemctl --user daemon-reload",
    "systemctl --user enable iapeer.service",
    "systemctl --user restart iapeer.service",
    "systemctl --user stop iapeer.service",
    "systemctl --user disable iapeer.service",
    "systemctl --user daemon-reload",
    "systemctl --user reset-failed iapeer.service",
  ]);
});

Deno.test("load() names what systemd said and where to look", async () => {
  const steps = writtenSteps((_, args) =>
    args.includes("restart") ? { code: 1, stderr: "Job for iapeer.service failed.\n" } : {}
  );
  await assert.rejects(
    serviceThat(() => ({})).load(steps, true),
    /^IapeerError: Cannot start the service iapeer\.service: systemctl: Job for iapeer\.service failed\.; see: journalctl --user -u iapeer\.service/,
  );
});

Deno.test("unload() takes a unit whose file was removed by hand", async () => {
  const steps = writtenSteps((_, args) =>
    args.includes("disable")
      ? { code: 1, stderr: "Failed to disable unit: Unit file iapeer.service does not exist.\n" }
      : {}
  );
  await serviceThat(() => ({})).unload(steps);
  assert.equal(steps.ran.length, 2);
});
