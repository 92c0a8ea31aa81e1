import assert from "node:assert/strict";
import { join } from "node:path";
import { permissionFlags } from "../lib/permissions.ts";
import { FakeBundle, SHELLS } from "./fixtures/bundle.ts";
import { run, until } from "./live_host.ts";

const AWKWARD = ["", " ", "a b", "it's", '"', "\\", "$HOME", "`id`", "*", "~", "a\nb\n", "é", "--"];
const ALONE = ["run", "--quiet", "--no-config", "--no-lock", "--no-npm"];

Deno.test("the head of a bundle passes shellcheck", async () => {
  await using bundle = await FakeBundle.make();
  const { code, stdout } = await run("shellcheck", ["-s", "sh", "--", await headOf(bundle)]);
  assert.equal(code, 0, `${stdout}\nshellcheck is needed: sudo apt-get install shellcheck`);
});

/** Only the head, in a file of its own: what follows is no text. */
async function headOf(bundle: FakeBundle): Promise<string> {
  const path = join(bundle.top, "head.sh");
  const text = new TextDecoder("latin1").decode(await Deno.readFile(bundle.path));
  const end = text.indexOf(`\n// ${bundle.version}\n`) + 1;
  await Deno.writeTextFile(path, text.slice(0, end));
  return path;
}

for (const shell of SHELLS) {
  Deno.test(`a bundle hands arguments on byte for byte (${shell.join(" ")})`, async () => {
    await using bundle = await FakeBundle.make(`it's a "bun dle" $x;\n%41 #é/iapeer`);
    const command = [...shell, bundle.path];
    for (const args of [[], AWKWARD]) {
      const given = await bundle.given(args, {}, { command });
      assert.deepEqual(given.args, args);
      assert.deepEqual(given.flags.slice(0, ALONE.length), ALONE);
      assert.deepEqual(given.head.slice(1), [bundle.path, bundle.top, "", ""]);
    }
    assert.equal(bundle.unpacked, 1);
  });

  Deno.test(`a bundle permits the root that the program will use (${shell.join(" ")})`, async () => {
    await using bundle = await FakeBundle.make();
    const { top, home } = bundle;
    const real = join(top, "real");
    await Deno.mkdir(join(real, "in"), { recursive: true });
    await Deno.symlink(real, join(top, "link"));
    await Deno.symlink("nowhere", join(top, "dangling"));
    const cases: [args: string[], env: Record<string, string>, root: string, real?: string][] = [
      [[], {}, `${home}/.iapeer`],
      [["status"], { IAPEER_ROOT: "/srv/x/" }, "/srv/x"],
      [["status"], { IAPEER_ROOT: "" }, `${home}/.iapeer`],
      [["status", "--root", "/srv/y"], { IAPEER_ROOT: "/srv/x" }, "/srv/y"],
      [["status", "--root=/srv//./a/../y/"], {}, "/srv/y"],
      [["--root", "/srv/y", "status"], {}, "/srv/y"],
      [["launch", "--root", "/srv/y", "--", "--root", "/no"], {}, "/srv/y"],
      [["status", "--root", "new/er"], {}, `${top}/new/er`],
      [["status", "--root", "link"], {}, `${top}/link`, real],
      [["status", "--root", "link/in/deep/er"], {}, `${top}/link/in/deep/er`, `${real}/in/deep/er`],
      [["status", "--root", "dangling"], {}, `${top}/dangling`],
      [["status", "--root", "/"], {}, "/"],
      [["status", "--root", "a $b 'c' \"d\" \\e"], {}, `${top}/a $b 'c' "d" \\e`],
    ];
    for (const [args, env, root, realRoot] of cases) {
      const { flags } = await bundle.given(args, env, { command: [...shell, bundle.path] });
      const expected = permissionFlags(root, home, bundle.path, realRoot);
      assert.deepEqual(flags.slice(ALONE.length), expected, args.join(" "));
    }
    const noHome = await bundle.given(["x", "--root", "/srv/x"], {
      HOME: "a,b",
      IAPEER_CACHE: top,
    });
    assert.deepEqual(
      noHome.flags.slice(ALONE.length),
      permissionFlags("/srv/x", "a,b", bundle.path),
    );
  });
}

Deno.test("a bundle permits the places of an installation to install and uninstall", async () => {
  await using bundle = await FakeBundle.make();
  const { home, top, path } = bundle;
  const root = `${home}/.iapeer`;
  const flagsFor = async (args: string[], env: Record<string, string> = {}) =>
    (await bundle.given(args, env)).flags.slice(ALONE.length);
  const { cache } = bundle;
  const places = { prefix: `${home}/.local`, configHome: `${home}/.config`, cache };
  for (const word of ["install", "uninstall"]) {
    const expected = permissionFlags(root, home, path, root, places);
    assert.deepEqual(await flagsFor([word]), expected);
    assert.deepEqual(await flagsFor(["--root", root, word]), expected);
  }
  assert.deepEqual(
    await flagsFor(["install", "--prefix", "/opt/x/", "--root=/r"], { XDG_CONFIG_HOME: "/etc/x" }),
    permissionFlags("/r", home, path, "/r", { prefix: "/opt/x", configHome: "/etc/x", cache }),
  );
  assert.deepEqual(
    await flagsFor(["install"], { XDG_CONFIG_HOME: "relative" }),
    permissionFlags(root, home, path, root, places),
  );
  const elsewhere = `${top}/a cache`;
  assert.deepEqual(
    await flagsFor(["uninstall"], { IAPEER_CACHE: elsewhere }),
    permissionFlags(root, home, path, root, { ...places, cache: elsewhere }),
  );
  assert.deepEqual(
    await flagsFor(["install", "--prefix=opt"]),
    permissionFlags(root, home, path, root, { ...places, prefix: `${top}/opt` }),
  );
  const plain = permissionFlags(root, home, path);
  for (const args of [["status", "install"], ["status", "--prefix", "/opt"]]) {
    assert.deepEqual(await flagsFor(args), plain);
  }
});

Deno.test("a bundle refuses what cannot be expressed, as from source", async () => {
  await using bundle = await FakeBundle.make("a,b/iapeer");
  const messageFor = (root: string, self = "/x"): string | undefined => {
    try {
      permissionFlags(root, undefined, self);
    } catch (error) {
      return `iapeer: ${(error as Error).message}\n`;
    }
    return undefined;
  };
  await bundle.write("1.2.3");
  const own = await bundle.run(["status"]);
  assert.deepEqual([own.code, own.stderr], [2, messageFor("/r", bundle.path)]);
  await using other = await FakeBundle.make();
  const refused = await other.run(["status", "--root", "/a,b"]);
  assert.deepEqual([refused.code, refused.stderr], [2, messageFor("/a,b")]);
  const prefix = await other.run(["install", "--prefix", "/p,q"]);
  assert.deepEqual([prefix.code, prefix.stderr], [2, messageFor("/p,q")]);
  const none = await other.run(["status"], { HOME: "" });
  assert.equal(none.code, 2);
  assert.match(none.stderr, /^iapeer: Cannot tell where the root is: .*use --root DIR\n$/);
});

Deno.test("a bundle starts from any place, and through links and PATH", async () => {
  await using bundle = await FakeBundle.make("in here/iapeer");
  const { top, path } = bundle;
  await Deno.mkdir(join(top, "links"));
  await Deno.symlink(join("..", "in here", "iapeer"), join(top, "links", "relative"));
  await Deno.symlink(join(top, "links", "relative"), join(top, "links", "iapeer"));
  await Deno.symlink("in here", join(top, "folder"));
  const PATH = `${join(top, "links")}:/usr/bin:/bin`;
  const commands = [
    ["./in here/iapeer"],
    ["links/../in here/iapeer"],
    ["links/iapeer"],
    ["folder/iapeer"],
    ["folder/../in here/iapeer"],
    ["env", "iapeer"],
    ["sh", "links/relative"],
    ["bash", "iapeer"],
  ];
  for (const command of commands) {
    const { head } = await bundle.given(["x"], { PATH }, { command });
    assert.equal(head[1], path, command.join(" "));
  }
  const inside = await bundle.given(["x"], {}, {
    command: ["sh", "iapeer"],
    cwd: join(top, "in here"),
  });
  assert.deepEqual(inside.head.slice(1, 3), [path, join(top, "in here")]);
});

Deno.test("a bundle passes stdin, exit code, pid and signals on", async () => {
  await using bundle = await FakeBundle.make();
  const script = `printf 'a\\nb' | "$0" "$@"`;
  const piped = await bundle.run(["do-cat"], {}, { command: ["sh", "-c", script, bundle.path] });
  assert.deepEqual([piped.code, piped.stdout], [0, "a\nb"]);
  assert.equal((await bundle.run(["do-exit"])).code, 37);
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    const running = bundle.start(["do-sleep"]);
    await until("the program runs", () => running.stdout().endsWith("\n"));
    assert.equal(running.stdout(), `pid ${running.pid}\n`);
    running.kill(signal);
    assert.equal((await running.ended).signal, signal);
  }
});

Deno.test("a bundle changes nothing in the environment but Deno's own variables", async () => {
  await using bundle = await FakeBundle.make();
  const given = { A: "a\nb", OLDPWD: "/x", LC_ALL: "C.UTF-8", TZ: "Asia/Tokyo" };
  for (const before of [{}, { DENO_DIR: "/d", DENO_NO_UPDATE_CHECK: "" }]) {
    const { stdout } = await bundle.run(["do-env"], { ...given, ...before });
    const env = Object.fromEntries(
      stdout.split("\0").slice(0, -1).map((line) => line.split(/=(.*)/s).slice(0, 2)),
    );
    assert.equal(env["DENO_DIR"], `${bundle.folder}.v8`);
    assert.equal(env["DENO_NO_UPDATE_CHECK"], "1");
    for (const [name, value] of Object.entries({ ...given, PWD: bundle.top })) {
      assert.equal(env[name], value, name);
    }
  }
  const had = await bundle.given(["x"], { DENO_DIR: "/d", DENO_NO_UPDATE_CHECK: "" });
  assert.deepEqual(had.head.slice(3), ["=/d", "="]);
});
