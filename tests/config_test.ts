import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import {
  checkSockPath,
  chooseRoot,
  exitLogPath,
  MAX_SOCK_BYTES,
  openRoot,
  parseIdentity,
  pathsOf,
  serverDeathsDir,
} from "../lib/config.ts";
import { IapeerError, UsageError } from "../lib/errors.ts";
import { inTempDir, runJob } from "./fixtures/root.ts";

const word = fc.string({
  unit: fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz0123456789"),
  minLength: 1,
  maxLength: 12,
});
const identity = fc.array(word, { minLength: 2, maxLength: 4 }).map((words) => words.join("-"));

function modeOf(path: string): number {
  return Deno.lstatSync(path).mode! & 0o7777;
}

function everyPath(dir: string): string[] {
  return [...Deno.readDirSync(dir)].flatMap((entry) => {
    const path = join(dir, entry.name);
    return entry.isDirectory ? [path, ...everyPath(path)] : [path];
  });
}

Deno.test("parseIdentity() takes two or more words joined by hyphens", () => {
  fc.assert(fc.property(identity, (text) => parseIdentity(text) === text));
});

Deno.test("parseIdentity() refuses whatever is not such words", () => {
  const nearly = fc.string({ unit: fc.constantFrom(..."ab0-AÄ_. \n/=$"), maxLength: 12 });
  const allowed = new Set("abcdefghijklmnopqrstuvwxyz0123456789");
  fc.assert(fc.property(fc.oneof(nearly, fc.string({ unit: "binary" })), (text) => {
    const words = text.split("-");
    const good = words.length >= 2 && words.every((word) => word !== "") &&
      words.join("").split("").every((character) => allowed.has(character));
    if (good) assert.equal(parseIdentity(text), text);
    else assert.throws(() => parseIdentity(text), UsageError);
  }));
});

Deno.test("parseIdentity() allows 64 characters and no more", () => {
  assert.equal(parseIdentity(`a-${"b".repeat(62)}`).length, 64);
  assert.throws(() => parseIdentity(`a-${"b".repeat(63)}`), {
    message: /it has 65 characters, at most 64 are allowed$/,
  });
});

Deno.test("parseIdentity() says what an identity looks like", () => {
  assert.throws(() => parseIdentity("Bob"), {
    name: "UsageError",
    exitCode: 2,
    message:
      'Cannot use the identity "Bob": it must be <runtime>-<personality>, lower-case letters and digits in two or more words joined by "-", for example claude-bob',
  });
});

Deno.test("pathsOf() keeps everything in the root, and sessions apart", () => {
  fc.assert(fc.property(identity, identity, (a, b) => {
    const paths = pathsOf("/srv/x");
    const of = (name: string) => [
      paths.sock(name),
      paths.session(name),
      paths.claim(name),
      paths.death(name),
      paths.lock(name),
      paths.paneLog(name),
    ];
    for (const path of of(a)) assert(path.startsWith("/srv/x/"), path);
    assert.equal(new Set([...of(a), ...of(b)]).size, a === b ? 6 : 12);
  }));
});

Deno.test("exitLogPath() and serverDeathsDir() are what others rely on", () => {
  assert.equal(exitLogPath("/r/logs/iapeer"), "/r/logs/iapeer/exits.log");
  assert.equal(serverDeathsDir("/r/logs/iapeer"), "/r/logs/iapeer/server-deaths");
  assert.equal(pathsOf("/r").exitsLog, "/r/logs/iapeer/exits.log");
  assert.equal(pathsOf("/r").serverDeaths, "/r/logs/iapeer/server-deaths");
});

Deno.test("chooseRoot() prefers the flag, then IAPEER_ROOT, then the home directory", () => {
  const env = (vars: Record<string, string>) => (name: string) => vars[name];
  const all = env({ IAPEER_ROOT: "/from/env", HOME: "/home/bob" });
  const cwd = () => "/here";
  assert.equal(chooseRoot("/from/flag/", all, cwd), "/from/flag");
  assert.equal(chooseRoot("relative/../r", all, cwd), "/here/r");
  assert.equal(chooseRoot(undefined, all, cwd), "/from/env");
  assert.equal(chooseRoot(undefined, env({ IAPEER_ROOT: "e" }), cwd), "/here/e");
  assert.equal(chooseRoot(undefined, env({ IAPEER_ROOT: "", HOME: "/h/" }), cwd), "/h/.iapeer");
});

Deno.test("chooseRoot() does not guess a root", () => {
  const cwd = () => "/here";
  assert.throws(() => chooseRoot("", () => "/x", cwd), /^UsageError: Cannot use an empty --root/);
  for (const home of [undefined, ""]) {
    assert.throws(
      () => chooseRoot(undefined, (name) => name === "HOME" ? home : undefined, cwd),
      /^UsageError: Cannot find a root: .*; give --root DIR$/,
    );
  }
});

for (const mask of ["0", "22", "777"]) {
  Deno.test(`openRoot() closes everything to others under umask ${mask}`, () =>
    inTempDir(async (dir) => {
      const root = join(dir, "a", "root");
      Deno.mkdirSync(join(dir, "a"));
      await runJob("umask", root, mask);
      const paths = [root, ...everyPath(root)];
      assert(paths.length >= 14, `${paths}`);
      for (const path of paths) {
        const info = Deno.lstatSync(path);
        assert.equal(info.mode! & 0o7777, info.isDirectory ? 0o700 : 0o600, path);
      }
    }));
}

Deno.test("openRoot() makes a root below directories that are not there yet", () =>
  inTempDir((dir) => {
    const root = join(dir, "one", "two", "root");
    openRoot(pathsOf(root), Deno.uid());
    openRoot(pathsOf(root), Deno.uid());
    assert.equal(modeOf(root), 0o700);
    assert.equal(modeOf(pathsOf(root).locks), 0o700);
  }));

Deno.test("openRoot() refuses a root that others can write to, and names the remedy", () =>
  inTempDir((dir) => {
    for (const mode of [0o720, 0o702, 0o777, 0o1777]) {
      Deno.chmodSync(dir, mode);
      assert.throws(() => openRoot(pathsOf(dir), Deno.uid()), {
        name: "IapeerError",
        exitCode: 1,
        message: `Cannot use the root "${dir}": others can write to it (mode ${
          (mode & 0o777).toString(8).padStart(4, "0")
        }); run: chmod 700 '${dir}'`,
      });
      assert.deepEqual(everyPath(dir), []);
    }
    Deno.chmodSync(dir, 0o755);
    openRoot(pathsOf(dir), Deno.uid());
  }));

Deno.test("openRoot() refuses a root of another user", () =>
  inTempDir((dir) => {
    const me = Deno.uid()!;
    assert.throws(
      () => openRoot(pathsOf(dir), me + 1),
      new RegExp(`belongs to user ${me}, not to you \\(${me + 1}\\); choose another with --root`),
    );
    openRoot(pathsOf(dir), null);
  }));

Deno.test("openRoot() refuses a file in the place of a directory", () =>
  inTempDir((dir) => {
    const root = join(dir, "root");
    Deno.writeTextFileSync(root, "");
    assert.throws(() => openRoot(pathsOf(root), Deno.uid()), /it is not a directory; choose/);
    assert.throws(
      () => openRoot(pathsOf(join(root, "below")), Deno.uid()),
      (error) => error instanceof IapeerError && /choose another with --root/.test(error.message),
    );
    Deno.removeSync(root);
    Deno.mkdirSync(root);
    Deno.writeTextFileSync(join(root, "run"), "");
    assert.throws(
      () => openRoot(pathsOf(root), Deno.uid()),
      /^IapeerError: Cannot use the directory ".*\/run": a file is in its place; move it away$/,
    );
  }));

Deno.test("openRoot() follows a symlink to a root, and judges what it leads to", () =>
  inTempDir((dir) => {
    const real = join(dir, "real");
    const link = join(dir, "link");
    Deno.mkdirSync(real, { mode: 0o700 });
    Deno.symlinkSync(real, link);
    openRoot(pathsOf(link), Deno.uid());
    assert.equal(modeOf(join(real, "run")), 0o700);
    Deno.chmodSync(real, 0o770);
    assert.throws(() => openRoot(pathsOf(link), Deno.uid()), /others can write to it/);
  }));

Deno.test("openRoot() refuses a symlink that leads nowhere", () =>
  inTempDir((dir) => {
    const link = join(dir, "link");
    Deno.symlinkSync(join(dir, "nowhere"), link);
    assert.throws(() => openRoot(pathsOf(link), Deno.uid()), IapeerError);
  }));

Deno.test("checkSockPath() counts bytes, and names length and remedy", () => {
  const path = (bytes: number) => "/" + "x".repeat(bytes - 1);
  checkSockPath(path(MAX_SOCK_BYTES));
  assert.throws(() => checkSockPath(path(MAX_SOCK_BYTES + 1)), {
    name: "UsageError",
    message: `Cannot use the socket path "${
      path(104)
    }": it has 104 bytes, at most 103 fit; choose a shorter --root or identity`,
  });
  assert.throws(() => checkSockPath("/" + "é".repeat(52)), /it has 105 bytes/);
});
