import assert from "node:assert/strict";
import { denoTools, type Tools } from "../lib/process.ts";
import { checkProgram } from "../lib/program.ts";
import type { Spec } from "../lib/sessions.ts";
import { inTempDir, noTools, result, toolsThat } from "./fixtures/root.ts";

function spec(dir: string, argv: string[], fields: Partial<Spec> = {}): Spec {
  const env = { PATH: `${dir}/bin:/usr/bin:/bin` };
  return { argv, cwd: dir, env, size: "80x24", policy: { restart: "never" }, ...fields };
}

function program(path: string, mode = 0o755): void {
  Deno.writeTextFileSync(path, "#!/bin/sh\n", { mode });
}

Deno.test("checkProgram() finds programs as execvp would", () =>
  inTempDir(async (dir) => {
    Deno.mkdirSync(`${dir}/bin`);
    program(`${dir}/bin/it's (one)`);
    program(`${dir}/here`);
    const good: Spec[] = [
      spec(dir, ["it's (one)"]),
      spec(dir, ["sh"]),
      spec(dir, ["/bin/sh", "-c", "x"]),
      spec(dir, ["./here"]),
      spec(dir, ["bin/it's (one)"]),
      spec(dir, ["sh"], { env: {} }),
      // An empty or relative part of PATH is the working directory, or below it.
      spec(dir, ["here"], { env: { PATH: "/nowhere:" } }),
      spec(dir, ["it's (one)"], { env: { PATH: "bin" } }),
      spec(dir, ["sh"], { tmuxConf: "/dev/null" }),
    ];
    let asked = 0;
    const counted: Tools = {
      run(tool, args) {
        asked++;
        return denoTools.run(tool, args);
      },
    };
    for (const one of good) await checkProgram(counted, one);
    assert.equal(asked, good.length, "one process for each");
  }));

Deno.test("checkProgram() names what is missing, and the remedy", () =>
  inTempDir(async (dir) => {
    Deno.mkdirSync(`${dir}/bin/folder`, { recursive: true });
    program(`${dir}/bin/plain`, 0o644);
    const bad: [Spec, string][] = [
      [spec(dir, []), "Cannot launch an empty command: give one after --"],
      [spec(dir, [""]), "Cannot launch an empty command: give one after --"],
      [
        spec(dir, ["sh", "a\0b"]),
        "Cannot launch: an argument or variable holds a NUL character",
      ],
      [
        spec(dir, ["sh"], { env: { A: "\0" } }),
        "Cannot launch: an argument or variable holds a NUL character",
      ],
      [
        spec(dir, ["sh"], { cwd: "relative" }),
        'Cannot launch in "relative": there is no such directory; create it or give another --cwd',
      ],
      [
        spec(dir, ["sh"], { cwd: `${dir}/none` }),
        `Cannot launch in "${dir}/none": there is no such directory; create it or give another --cwd`,
      ],
      [
        spec(dir, ["sh"], { tmuxConf: `${dir}/none` }),
        `Cannot use the tmux configuration "${dir}/none": it cannot be read; check --tmux-conf`,
      ],
      [
        spec(dir, ["./none"]),
        'Cannot launch "./none": there is no such file; check the path',
      ],
      [
        spec(dir, ["bin/plain"]),
        'Cannot launch "bin/plain": it is not an executable file; run: chmod +x, or name its interpreter',
      ],
      [
        spec(dir, ["./bin"]),
        'Cannot launch "./bin": it is not an executable file; run: chmod +x, or name its interpreter',
      ],
      [
        spec(dir, ["plain"]),
        'Cannot launch "plain": no such program on PATH; install it or give its whole path',
      ],
      [
        spec(dir, ["folder"]),
        'Cannot launch "folder": no such program on PATH; install it or give its whole path',
      ],
      [
        spec(dir, ["sh"], { env: { PATH: "/nowhere" } }),
        'Cannot launch "sh": no such program on PATH; install it or give its whole path',
      ],
    ];
    for (const [one, message] of bad) {
      await assert.rejects(checkProgram(denoTools, one), { name: "IapeerError", message }, message);
    }
  }));

Deno.test("checkProgram() refuses a directory that may not be entered", async () => {
  const tools = toolsThat((_, args) => ({ code: args.includes("-x") ? 1 : 0 }));
  await assert.rejects(checkProgram(tools, spec("/locked", ["sh"])), {
    message: 'Cannot launch in "/locked": you may not enter it; give another --cwd',
  });
});

Deno.test("checkProgram() says so when it cannot check", async () => {
  await assert.rejects(checkProgram(noTools, spec("/", ["sh"])), {
    message: "Cannot check what to launch: test: not found",
  });
  const slow = { run: () => Promise.resolve(result({ code: undefined, timedOut: true })) };
  await assert.rejects(checkProgram(slow, spec("/", ["sh"])), {
    message: "Cannot check what to launch: test: timed out",
  });
});
