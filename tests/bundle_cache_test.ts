import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { FakeBundle, SHELLS } from "./fixtures/bundle.ts";

/** Nothing but runtimes lies in the cache: no lock, nothing half unpacked. */
function assertTidy(bundle: FakeBundle): void {
  const names = [...Deno.readDirSync(bundle.cache)].map(({ name }) => name).sort();
  assert.deepEqual(names, [basename(bundle.folder), `${basename(bundle.folder)}.v8`]);
  for (const path of [bundle.cache, bundle.folder, `${bundle.folder}.v8`]) {
    assert.equal(Deno.lstatSync(path).mode! & 0o7777, 0o700, path);
    assert.equal(Deno.lstatSync(path).uid, Deno.uid());
  }
}

/** It runs, and what it runs is what was packed. */
async function assertRuns(bundle: FakeBundle): Promise<void> {
  const { head, args } = await bundle.given(["x"]);
  assert.deepEqual([head[0], args], [join(bundle.folder, "iapeer.mjs"), ["x"]]);
  assertTidy(bundle);
}

for (const shell of SHELLS) {
  Deno.test(`twenty first starts at once unpack a bundle once (${shell.join(" ")})`, async () => {
    await using bundle = await FakeBundle.make();
    const command = [...shell, bundle.path];
    const starts = Array.from({ length: 20 }, (_, n) => bundle.given([`${n}`], {}, { command }));
    for (const [n, { args }] of (await Promise.all(starts)).entries()) {
      assert.deepEqual(args, [`${n}`]);
    }
    assert.equal(bundle.unpacked, 1);
    assertTidy(bundle);
    await assertRuns(bundle);
    assert.equal(bundle.unpacked, 1);
  });
}

Deno.test("a bundle whose unpacking was killed is unpacked by the next start", async () => {
  await using bundle = await FakeBundle.make();
  await assertRuns(bundle);
  const { folder } = bundle;
  await Deno.remove(folder, { recursive: true });
  await Deno.mkdir(`${folder}.lock`);
  const child = new Deno.Command("true").spawn();
  await child.status;
  await Deno.writeTextFile(`${folder}.lock/pid`, `${child.pid}\n`);
  await Deno.mkdir(folder, { mode: 0o700 });
  await Deno.writeTextFile(join(folder, "iapeer.mjs"), "half");
  await assertRuns(bundle);
});

Deno.test("a bundle finds the cache's place", async () => {
  await using bundle = await FakeBundle.make();
  await bundle.given(["x"]);
  const { top, home, cache, folder } = bundle;
  const root = join(top, "root");
  const cases: [env: Record<string, string>, cache: string][] = [
    [{ IAPEER_CACHE: "some/./where", XDG_CACHE_HOME: join(top, "xdg") }, join(top, "some/where")],
    [{ XDG_CACHE_HOME: join(top, "xdg") }, join(top, "xdg/iapeer")],
    [{ XDG_CACHE_HOME: "relative" }, cache],
    [{ HOME: `${home}/` }, cache],
    [{ HOME: "" }, `${root}.cache`],
  ];
  for (const [env, expected] of cases) {
    const { head } = await bundle.given(["x", "--root", root], env);
    assert.equal(head[0], join(expected, basename(folder), "iapeer.mjs"));
  }
});

const DAMAGES: Record<string, (folder: string, top: string) => void> = {
  "a byte of the runtime changed and its times set back": (folder) => {
    const path = join(folder, "iapeer");
    const { mtime, atime } = Deno.statSync(path);
    const bytes = Deno.readFileSync(path);
    bytes[bytes.length - 2]! ^= 1;
    Deno.writeFileSync(path, bytes);
    Deno.utimeSync(path, atime!, mtime!);
  },
  "another runtime in its place": (folder) => {
    Deno.removeSync(join(folder, "iapeer"));
    Deno.writeTextFileSync(join(folder, "iapeer"), "#!/bin/sh\necho evil\n", { mode: 0o700 });
  },
  "the program cut short": (folder) => Deno.truncateSync(join(folder, "iapeer.mjs"), 3),
  "the program gone": (folder) => Deno.removeSync(join(folder, "iapeer.mjs")),
  "the runtime gone": (folder) => Deno.removeSync(join(folder, "iapeer")),
  "the runtime a link": (folder, top) => {
    Deno.renameSync(join(folder, "iapeer"), join(top, "elsewhere"));
    Deno.symlinkSync(join(top, "elsewhere"), join(folder, "iapeer"));
  },
  "the program a directory": (folder) => {
    Deno.removeSync(join(folder, "iapeer.mjs"));
    Deno.mkdirSync(join(folder, "iapeer.mjs", "x"), { recursive: true });
  },
  "the folder open to others": (folder) => Deno.chmodSync(folder, 0o755),
  "the folder a link": (folder, top) => {
    Deno.renameSync(folder, join(top, "elsewhere"));
    Deno.symlinkSync(join(top, "elsewhere"), folder);
  },
  "the folder a dangling link": (folder, top) => {
    Deno.removeSync(folder, { recursive: true });
    Deno.symlinkSync(join(top, "nowhere"), folder);
  },
  "the folder a file": (folder) => {
    Deno.removeSync(folder, { recursive: true });
    Deno.writeTextFileSync(folder, "x");
  },
  "Deno's folder a link": (folder, top) => {
    Deno.removeSync(`${folder}.v8`, { recursive: true });
    Deno.symlinkSync(top, `${folder}.v8`);
  },
};
if (Deno.uid() === 0) {
  // Only root can give a folder away.
  DAMAGES["the folder somebody else's"] = (folder) => Deno.chownSync(folder, 12345, 12345);
}

for (const [name, damage] of Object.entries(DAMAGES)) {
  Deno.test(`a bundle refuses an unpacked runtime: ${name}`, async () => {
    await using bundle = await FakeBundle.make();
    await assertRuns(bundle);
    damage(bundle.folder, bundle.top);
    await assertRuns(bundle);
    const { unpacked } = bundle;
    await assertRuns(bundle);
    assert.equal(bundle.unpacked, unpacked, "whole again");
  });
}

Deno.test("a bundle does not unpack again what only looks changed", async () => {
  await using bundle = await FakeBundle.make();
  await assertRuns(bundle);
  const runtime = join(bundle.folder, "iapeer");
  const { ino } = await Deno.stat(runtime);
  const stamp = join(bundle.folder, "stamp");
  const before = await Deno.readTextFile(stamp);
  await Deno.utime(runtime, 1, 1);
  await assertRuns(bundle);
  assert.notEqual(await Deno.readTextFile(stamp), before, "stamped anew");
  await Deno.remove(stamp);
  await assertRuns(bundle);
  assert.equal((await Deno.stat(runtime)).ino, ino);
  assert.equal(bundle.unpacked, 1);
});

Deno.test("a bundle says why it cannot keep its runtime, and what to do", async () => {
  await using bundle = await FakeBundle.make();
  const { top } = bundle;
  const refuses = async (cache: string, why: RegExp) => {
    const { code, stderr } = await bundle.run(["x"], { IAPEER_CACHE: cache });
    const [line, ...more] = stderr.trim().split("\n");
    assert.deepEqual([code, more], [1, []], stderr);
    assert(line!.startsWith(`iapeer: Cannot keep the runtime in "${cache}": `), line);
    assert.match(line!, why);
    assert.match(line!, /; set IAPEER_CACHE to a folder of your own with 150 MB to spare/);
  };
  await Deno.writeTextFile(join(top, "file"), "");
  await refuses(join(top, "file/in"), /: it cannot be made;/);
  await Deno.mkdir(join(top, "open"));
  await Deno.chmod(join(top, "open"), 0o777);
  await refuses(join(top, "open"), /: others may write there;/);
  const broken = await bundle.run(["x"], { IAPEER_CACHE: join(top, "c"), DOES_NOT_RUN: "1" });
  assert.equal(broken.code, 1);
  assert.match(
    broken.stderr,
    /^iapeer: Cannot run the build for \S+ on \S+ \S+: no such thing; get the one for this system, or, .* set IAPEER_CACHE to .*\n$/,
  );
  const left = [...Deno.readDirSync(join(top, "c"))].map(({ name }) => name);
  assert.deepEqual(left.filter((name) => !name.endsWith(".v8")), []);
  if (Deno.uid() === 0) {
    await Deno.mkdir(join(top, "theirs"));
    await Deno.chown(join(top, "theirs"), 12345, 12345);
    await refuses(join(top, "theirs"), /: it belongs to somebody else;/);
  } else {
    await Deno.mkdir(join(top, "closed"), { mode: 0o500 });
    await refuses(join(top, "closed"), /: it cannot be written to;/);
  }
});

Deno.test("a bundle that was cut short says so and leaves nothing", async () => {
  await using bundle = await FakeBundle.make();
  const { size } = await Deno.stat(bundle.path);
  for (const kept of [size - 30, size - 400]) {
    await Deno.truncate(bundle.path, kept);
    const { code, stderr } = await bundle.run(["x"]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /iapeer: Cannot (?:unpack "[^"]+": it is damaged; get it again|keep the runtime)/,
    );
    const left = [...Deno.readDirSync(bundle.cache)].map(({ name }) => name);
    assert.deepEqual(left.filter((name) => !name.endsWith(".v8")), []);
  }
});

Deno.test("a bundle of another version unpacks beside, and removes what is old", async () => {
  await using bundle = await FakeBundle.make();
  await assertRuns(bundle);
  const first = bundle.folder;
  await bundle.write("1.2.4");
  await bundle.given(["x"]);
  assert(Deno.statSync(first).isDirectory, "a version that may be in use");
  const long = Date.now() / 1000 - 40 * 86400;
  await Deno.utime(first, long, long);
  await bundle.write("1.2.5");
  await bundle.given(["x"]);
  assert.throws(() => Deno.statSync(first), Deno.errors.NotFound);
});
