import assert from "node:assert/strict";
import { join } from "node:path";
import { binaryPath, placeBinary, removeTemporary } from "../lib/binary.ts";
import { contextOf } from "../lib/context.ts";
import { denoHost } from "../lib/host.ts";
import { checkedPrefix } from "../lib/install.ts";
import { serviceOf, servicePath, serviceState, serviceSuffix } from "../lib/service.ts";
import { realSteps, shellWord, toldSteps } from "../lib/steps.ts";
import { inTempDir, noTools, toolsThat, until } from "./fixtures/root.ts";
import { AWKWARD, must } from "./fixtures/service.ts";
import { writeProgram } from "./fixtures/program.ts";

const STEPS = realSteps(denoHost);

/** A program that tells its version, and may do something before. */
function program(path: string, version: string, before = ""): string {
  writeProgram(path, `#!/bin/sh\n${before}\necho ${version}\n`);
  return path;
}

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}

Deno.test("placeBinary() replaces the file, and whoever has the old one open keeps it", () =>
  inTempDir(async (dir) => {
    const to = binaryPath(`${dir}/pre fix`);
    const first = program(`${dir}/one`, "1");
    assert.equal(await placeBinary(denoHost, STEPS, { from: first, to, version: "1" }), true);
    assert.equal(must(to, []).stdout, "1\n");
    assert.equal(Deno.statSync(to).mode! & 0o777, 0o755);
    using old = Deno.openSync(to);
    const second = program(`${dir}/two`, "2");
    assert.equal(await placeBinary(denoHost, STEPS, { from: second, to, version: "2" }), true);
    assert.equal(must(to, []).stdout, "2\n");
    const bytes = new Uint8Array(100);
    const n = old.readSync(bytes)!;
    assert.equal(new TextDecoder().decode(bytes.subarray(0, n)), Deno.readTextFileSync(first));
    assert.deepEqual(names(`${dir}/pre fix/bin`), ["iapeer"]);
  }));

Deno.test("placeBinary() has nothing to do where the same bytes are", () =>
  inTempDir(async (dir) => {
    const to = binaryPath(dir);
    const from = program(`${dir}/one`, "1");
    await placeBinary(denoHost, STEPS, { from, to, version: "1" });
    const { ino } = Deno.statSync(to);
    assert.equal(await placeBinary(denoHost, STEPS, { from, to, version: "1" }), false);
    assert.equal(await placeBinary(denoHost, STEPS, { from: to, to, version: "1" }), false);
    assert.equal(Deno.statSync(to).ino, ino);
    // As long, and another.
    program(from, "2");
    assert.equal(await placeBinary(denoHost, STEPS, { from, to, version: "2" }), true);
    Deno.chmodSync(to, 0o644);
    assert.equal(await placeBinary(denoHost, STEPS, { from, to, version: "2" }), true);
    assert.equal(Deno.statSync(to).mode! & 0o777, 0o755);
  }));

Deno.test("placeBinary() compares large files to their last byte", () =>
  inTempDir(async (dir) => {
    const to = binaryPath(dir);
    const filler = `# ${"x".repeat(2_500_000)}\nexit\n`;
    const from = program(`${dir}/one`, "1", `echo 1\n${filler}`);
    await placeBinary(denoHost, STEPS, { from, to, version: "1" });
    assert.equal(await placeBinary(denoHost, STEPS, { from, to, version: "1" }), false);
    program(from, "2", `echo 1\n${filler}`);
    assert.equal(await placeBinary(denoHost, STEPS, { from, to, version: "1" }), true);
    assert.equal(Deno.readTextFileSync(to), Deno.readTextFileSync(from));
  }));

Deno.test("placeBinary() puts a file in the place of a symlink, not behind it", () =>
  inTempDir(async (dir) => {
    const from = program(`${dir}/one`, "1");
    const to = binaryPath(dir);
    Deno.mkdirSync(`${dir}/bin`);
    Deno.symlinkSync(from, to);
    assert.equal(await placeBinary(denoHost, STEPS, { from, to, version: "1" }), true);
    assert(Deno.lstatSync(to).isFile);
    assert(Deno.lstatSync(from).isFile);
  }));

for (
  const [how, before, why] of [
    ["fails", "echo 'cannot find lib' >&2; exit 3", /does not run there: .*cannot find lib; /],
    ["says another version", "echo 9; exit", /it says "9", not "1"/],
    ["is killed", "kill -9 $$", /ended by SIGKILL/],
  ] as const
) {
  Deno.test(`placeBinary() keeps the old file when the copy ${how}`, () =>
    inTempDir(async (dir) => {
      const to = binaryPath(dir);
      await placeBinary(denoHost, STEPS, { from: program(`${dir}/one`, "0"), to, version: "0" });
      const from = program(`${dir}/two`, "1", before);
      await assert.rejects(placeBinary(denoHost, STEPS, { from, to, version: "1" }), why);
      assert.equal(must(to, []).stdout, "0\n");
      assert.deepEqual(names(`${dir}/bin`), ["iapeer"]);
    }));
}

Deno.test("placeBinary() names the remedy where the storage refuses", () =>
  inTempDir(async (dir) => {
    const from = program(`${dir}/one`, "1");
    Deno.writeTextFileSync(`${dir}/bin`, "");
    await assert.rejects(
      placeBinary(denoHost, STEPS, { from, to: binaryPath(dir), version: "1" }),
      /^IapeerError: Cannot install ".*": .*; make its directory writable or choose another --prefix$/,
    );
  }));

Deno.test("what a killed installation has left goes with the next, but not what is being written", () =>
  inTempDir(async (dir) => {
    const left = `.iapeer.${crypto.randomUUID()}.tmp`;
    const fresh = `.iapeer.${crypto.randomUUID()}.tmp`;
    Deno.mkdirSync(`${dir}/bin`);
    for (const name of [left, fresh, ".iapeer.mine.tmp"]) {
      Deno.writeTextFileSync(join(dir, "bin", name), "");
    }
    const old = new Date(Date.now() - 3_600_000);
    Deno.utimeSync(join(dir, "bin", left), old, old);
    const from = program(`${dir}/one`, "1");
    await placeBinary(denoHost, STEPS, { from, to: binaryPath(dir), version: "1" });
    assert.deepEqual(names(`${dir}/bin`), [fresh, ".iapeer.mine.tmp", "iapeer"].sort());
    removeTemporary(`${dir}/bin`);
    assert.deepEqual(names(`${dir}/bin`), [".iapeer.mine.tmp", "iapeer"]);
  }));

Deno.test("a program that runs goes on after its file was replaced", () =>
  inTempDir(async (dir) => {
    const to = binaryPath(dir);
    const go = `${dir}/go`;
    const waits =
      `[ "$1" != wait ] || { : > '${dir}/begun'; until [ -e '${go}' ]; do sleep 0.02; done; echo old; exit; }`;
    const from = program(`${dir}/one`, "1", waits);
    await placeBinary(denoHost, STEPS, { from, to, version: "1" });
    const running = new Deno.Command(to, { args: ["wait"], stdout: "piped" }).spawn();
    await until("it waits", () => names(dir).includes("begun"));
    await placeBinary(denoHost, STEPS, { from: program(from, "2"), to, version: "2" });
    Deno.writeTextFileSync(go, "");
    const { stdout } = await running.output();
    assert.equal(new TextDecoder().decode(stdout), "old\n");
  }));

Deno.test("toldSteps() tells, and touches nothing", () =>
  inTempDir(async (dir) => {
    const lines: string[] = [];
    const steps = toldSteps((line) => lines.push(line));
    await steps.write(`${dir}/it's`, "one\n\ntwo\n");
    await steps.remove(dir);
    await steps.run("false", ["a b", "$x", ""]);
    assert.equal(await steps.until("it runs", 1, () => false), true);
    await steps.step("copy", () => assert.fail("carried out"));
    assert.deepEqual(lines, [
      `write '${dir}/it'\\''s':`,
      "    one",
      "",
      "    two",
      `remove ${dir}`,
      `run: false 'a b' '$x' ''`,
      "wait until it runs",
      "copy",
    ]);
    assert.deepEqual(names(dir), []);
  }));

Deno.test("shellWord() gives a shell the very word", () => {
  const words = [...AWKWARD, "", "-n", "a\nb", "!x", "(y)", "/plain/path"];
  const script = `for w in ${words.map(shellWord).join(" ")}; do printf '%s\\0' "$w"; done`;
  assert.deepEqual(must("sh", ["-c", script]).stdout.split("\0").slice(0, -1), words);
});

Deno.test("servicePath() leads to the tmux that is in use", () => {
  const plain = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
  assert.equal(servicePath("launchd", "/opt/homebrew/bin/tmux"), plain);
  assert.equal(servicePath("launchd", "tmux"), plain);
  assert.equal(servicePath("launchd", "/opt/local/bin/tmux"), `/opt/local/bin:${plain}`);
  assert.equal(
    servicePath("systemd", "/nix/profile/bin/tmux"),
    "/nix/profile/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
  );
});

Deno.test("serviceSuffix() is nothing for the root that is used unless told", async () => {
  assert.equal(await serviceSuffix("/home/bob/.iapeer", "/home/bob"), "");
  const others = await Promise.all(
    ["/srv/a", "/srv/b", "/home/ann/.iapeer"].map((root) => serviceSuffix(root, "/home/bob")),
  );
  assert.equal(new Set(others).size, 3);
  for (const suffix of others) assert.match(suffix, /^[0-9a-f]{12}$/);
});

Deno.test("serviceOf() knows the manager by the system, and none where there is none", async () => {
  const at = (platform: string, booted: boolean) =>
    contextOf("/home/bob/.iapeer", {
      ...denoHost,
      platform,
      home: "/home/bob",
      tools: toolsThat((tool) => ({ code: tool === "test" && !booted ? 1 : 0 })),
    });
  const mac = await serviceOf(at("darwin", false));
  assert.equal(mac?.file, "/home/bob/Library/LaunchAgents/dev.iapeer.supervise.plist");
  const linux = await serviceOf(at("linux", true));
  assert(linux?.file.endsWith("/systemd/user/iapeer.service"), linux?.file);
  assert.equal(await serviceOf(at("linux", false)), undefined);
  assert.deepEqual(await serviceState(at("linux", false)), {
    manager: undefined,
    installed: false,
    settings: {},
  });
});

Deno.test("isOurs() knows the services of other roots, and no one else's", async () => {
  const host = { ...denoHost, home: "/home/bob", tools: noTools };
  const mac = await serviceOf(contextOf("/srv/x", { ...host, platform: "darwin" }));
  const agents = ["dev.iapeer.supervise.plist", "dev.iapeer.supervise.0123456789ab.plist"];
  for (const name of agents) assert(mac!.isOurs(name), name);
  for (const name of ["dev.iapeer.supervise.plist.bak", "com.apple.x.plist"]) {
    assert(!mac!.isOurs(name), name);
  }
});

Deno.test("serviceState() never throws", async () => {
  const ctx = contextOf("/srv/x", { ...denoHost, home: undefined, tools: noTools });
  assert.match((await serviceState(ctx)).trouble!, /HOME is not set/);
});

Deno.test("checkedPrefix() refuses what cannot be written down", () => {
  assert.equal(checkedPrefix("/home/bob/.local"), "/home/bob/.local");
  assert.throws(() => checkedPrefix("/a,b"), /comma/);
  assert.throws(() => checkedPrefix("/a\nb"), /control characters/);
});
