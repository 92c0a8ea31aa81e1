import assert from "node:assert/strict";
import { permissionFlags, TOOLS } from "../lib/permissions.ts";
import { inTempDir } from "./fixtures/root.ts";

function listOf(flags: readonly string[], name: string): string[] {
  const flag = flags.find((flag) => flag.startsWith(`--allow-${name}=`));
  return flag!.slice(flag!.indexOf("=") + 1).split(",");
}

Deno.test("permissionFlags() allows the root and the places of evidence only", () => {
  const flags = permissionFlags("/srv/iapeer", "/home/bob", "/usr/bin/deno");
  assert.deepEqual(listOf(flags, "write"), ["/srv/iapeer"]);
  assert.deepEqual(listOf(flags, "read"), [
    "/srv/iapeer",
    "/proc/pressure",
    "/Library/Logs/DiagnosticReports",
    "/home/bob/Library/Logs/DiagnosticReports",
    "/var/crash",
  ]);
  assert.deepEqual(listOf(flags, "run"), [...TOOLS, "/usr/bin/deno"]);
  assert(flags.includes("--no-prompt"));
  for (const name of ["net", "ffi", "all", "import"]) {
    assert(!flags.some((flag) => flag.startsWith(`--allow-${name}`)), name);
  }
});

Deno.test("permissionFlags() allows both spellings of a root", () => {
  const flags = permissionFlags("/link", undefined, "/deno", "/real");
  assert.deepEqual(listOf(flags, "write"), ["/link", "/real"]);
  assert.deepEqual(listOf(flags, "read").slice(0, 2), ["/link", "/real"]);
  assert(!listOf(flags, "read").some((path) => path.includes("~") || path.includes("undefined")));
  assert.deepEqual(listOf(permissionFlags("/same", "/h", "/deno", "/same"), "write"), ["/same"]);
});

Deno.test("permissionFlags() refuses what a list with commas cannot express", () => {
  const comma = {
    name: "UsageError",
    message:
      'Cannot use the path "/a,b": it holds a comma, which Deno\'s permission flags cannot express; choose a path without one',
  };
  assert.throws(() => permissionFlags("/a,b", "/h", "/deno"), comma);
  assert.throws(() => permissionFlags("/r", "/h", "/a,b"), comma);
  assert.throws(() => permissionFlags("/r", "/h", "/deno", "/a,b"), comma);
  const flags = permissionFlags("/r", "/home,b", "/deno");
  assert(!flags.join().includes("/home"));
});

Deno.test("permissionFlags() allows an installation its places, and nothing else more", () => {
  const cache = "/home/bob/.cache/iapeer";
  const places = { prefix: "/opt/$&", configHome: "/home/bob/.config", cache };
  const flags = permissionFlags("/r", "/home/bob", "/bin/iapeer", "/r", places);
  const plain = permissionFlags("/r", "/home/bob", "/bin/iapeer");
  const writes = [
    "/opt/$&/bin",
    "/home/bob/Library/LaunchAgents",
    "/home/bob/.config/systemd/user",
    cache,
  ];
  assert.deepEqual(listOf(flags, "write"), ["/r", ...writes]);
  assert.deepEqual(listOf(flags, "read"), [...listOf(plain, "read"), "/bin/iapeer", ...writes]);
  // A file that may be run by its path could be neither replaced nor removed.
  assert.deepEqual([...listOf(flags, "run"), "/bin/iapeer"], listOf(plain, "run"));
  const others = (all: readonly string[]) =>
    all.filter((flag) => !/^--allow-(?:read|write|run)=/.test(flag));
  assert.deepEqual(others(flags), others(plain));
  for (const name of ["prefix", "configHome", "cache"] as const) {
    const wrong = { ...places, [name]: "/a,b" };
    assert.throws(() => permissionFlags("/r", "/h", "/s", "/r", wrong), { name: "UsageError" });
  }
  assert.deepEqual(listOf(permissionFlags("/r", undefined, "/s", "/r", places), "write"), [
    "/r",
    "/opt/$&/bin",
    "/home/bob/.config/systemd/user",
    cache,
  ]);
  const { cache: _, ...uncached } = places;
  assert.deepEqual(
    listOf(permissionFlags("/r", "/home/bob", "/s", "/r", uncached), "write"),
    ["/r", ...writes.filter((path) => path !== cache)],
  );
});

Deno.test("permissionFlags() hold for a process that is started with them", () =>
  inTempDir(async (dir) => {
    const root = `${dir}/it's a $root`;
    await Deno.mkdir(root);
    const program = `
      const say = async (what, work) => {
        try {
          await work();
          console.log(what, "allowed");
        } catch (error) {
          const refused = error.message.includes("--no-remote is specified");
          console.log(what, refused ? "NotCapable" : error.name);
        }
      };
      const [root, outside] = Deno.args;
      await say("write root", () => Deno.writeTextFileSync(root + "/x", "x"));
      await say("write outside", () => Deno.writeTextFileSync(outside, "x"));
      await say("read outside", () => Deno.readTextFileSync("/etc/passwd"));
      await say("run ps", () => new Deno.Command("ps").outputSync());
      await say("run sh", () => new Deno.Command("sh").outputSync());
      await say("net", () => Deno.connect({ port: 1 }));
      await say("import", () => import("https://deno.land/none.ts"));
      await say("environment", () => Deno.env.toObject());
    `;
    const file = `${dir}/program.ts`;
    await Deno.writeTextFile(file, program);
    const flags = permissionFlags(root, dir, Deno.execPath());
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-config", ...flags, file, root, `${dir}/outside`],
      env: { NO_COLOR: "1" },
    }).output();
    assert.deepEqual(new TextDecoder().decode(stdout).trim().split("\n"), [
      "write root allowed",
      "write outside NotCapable",
      "read outside NotCapable",
      "run ps allowed",
      "run sh NotCapable",
      "net NotCapable",
      "import NotCapable",
      "environment allowed",
    ]);
  }));
