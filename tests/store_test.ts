import assert from "node:assert/strict";
import fc from "fast-check";
import {
  createFileOnce,
  encodeJson,
  isThere,
  listJson,
  readJson,
  removeIfThere,
  writeFileAtomic,
  writeJson,
} from "../lib/store.ts";
import { inTempDir, runJob, startJob } from "./fixtures/root.ts";

const asIs = (value: unknown) => value as Record<string, unknown>;

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
}

Deno.test("writeFileAtomic() replaces a file and leaves nothing else", () =>
  inTempDir((dir) => {
    const path = `${dir}/x.json`;
    writeFileAtomic(path, "one");
    writeFileAtomic(path, "two", { sync: false });
    assert.equal(Deno.readTextFileSync(path), "two");
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    assert.deepEqual(names(dir), ["x.json"]);
  }));

Deno.test("writeFileAtomic() leaves nothing behind when the storage refuses", () =>
  inTempDir((dir) => {
    Deno.mkdirSync(`${dir}/x.json`);
    Deno.writeTextFileSync(`${dir}/x.json/full`, "");
    assert.throws(() => writeFileAtomic(`${dir}/x.json`, "text"));
    assert.deepEqual(names(dir), ["x.json"]);
    assert.throws(() => writeFileAtomic(`${dir}/none/x.json`, "text"), Deno.errors.NotFound);
  }));

Deno.test("writeFileAtomic() never shows a part to a reader in another process", () =>
  inTempDir(async (dir) => {
    const path = `${dir}/x.json`;
    writeJson(path, { n: -1, filler: "" });
    let over = false;
    const job = runJob("rewrite", path, "150").finally(() => over = true);
    const seen = new Set<number>();
    while (!over) {
      const stored = readJson(path, asIs);
      assert.equal(stored.state, "found");
      if (stored.state === "found") seen.add(stored.value["n"] as number);
      await new Promise((wake) => setTimeout(wake, 0));
    }
    await job;
    assert(seen.size > 1, "it was never replaced while it was read");
    assert.deepEqual(names(dir), ["x.json"]);
  }));

Deno.test("createFileOnce() is for the first", () =>
  inTempDir((dir) => {
    const path = `${dir}/x.json`;
    assert.equal(createFileOnce(path, "first"), true);
    assert.equal(createFileOnce(path, "second"), false);
    assert.equal(Deno.readTextFileSync(path), "first");
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    assert.deepEqual(names(dir), ["x.json"]);
    assert.throws(() => createFileOnce(`${dir}/none/x`, "text"), Deno.errors.NotFound);
  }));

Deno.test("createFileOnce() has one winner among many processes, whose text it is", () =>
  inTempDir(async (dir) => {
    const writers = ["ann", "bob", "cho", "dan", "eve", "fay"];
    const won = await Promise.all(writers.map((name) => runJob("once", dir, name, "60")));
    const owner = new Map<number, string>();
    won.forEach((line, n) => {
      for (const file of JSON.parse(line)) {
        assert(!owner.has(file), `two made ${file}`);
        owner.set(file, writers[n]!);
      }
    });
    assert.equal(owner.size, 60);
    for (const [file, name] of owner) {
      assert.equal(Deno.readTextFileSync(`${dir}/${file}.json`), `${name}\n`.repeat(500));
    }
    assert.equal(names(dir).length, 60);
  }));

Deno.test("writeFileAtomic() leaves the old file whole when its writer is killed", () =>
  inTempDir(async (dir) => {
    const path = `${dir}/x.json`;
    writeJson(path, { n: -1 });
    const writer = startJob("rewrite", path, "1000000");
    const reader = () => readJson(path, asIs);
    for (let stored = reader();; stored = reader()) {
      assert(stored.state === "found");
      if (stored.value["n"] as number > 20) break;
      await new Promise((wake) => setTimeout(wake, 1));
    }
    writer.kill("SIGKILL");
    await writer.stdout.cancel();
    await writer.status;
    assert.equal(reader().state, "found");
    assert.deepEqual(listJson(dir), ["x"]);
  }));

Deno.test("readJson() reads what writeJson() wrote", () =>
  inTempDir((dir) => {
    const path = `${dir}/x.json`;
    const json = fc.dictionary(fc.string().filter((key) => key !== "v"), fc.jsonValue());
    fc.assert(
      fc.property(json, (value) => {
        writeFileAtomic(path, encodeJson(value), { sync: false });
        const stored = readJson(path, asIs);
        assert(stored.state === "found");
        // As JSON has it: -0 is 0.
        assert.equal(JSON.stringify(stored.value), JSON.stringify({ v: 1, ...value }));
      }),
      { numRuns: 50 },
    );
  }));

Deno.test("readJson() tells a file that is not there", () =>
  inTempDir((dir) => {
    assert.deepEqual(readJson(`${dir}/x.json`, asIs), { state: "absent" });
  }));

for (
  const [what, text] of [
    ["an empty file", ""],
    ["a truncated file", '{"v":1,"identity":"cla'],
    ["zeroes, as a power cut leaves them", "\0".repeat(64)],
    ["a string", '"x"'],
    ["null", "null"],
    ["two documents", "{}{}"],
  ]
) {
  Deno.test(`readJson() sets ${what} aside`, () =>
    inTempDir((dir) => {
      const path = `${dir}/x.json`;
      Deno.writeTextFileSync(path, text!);
      const stored = readJson(path, asIs);
      assert(stored.state === "corrupt");
      assert.equal(stored.aside, `${path}.corrupt`);
      assert.notEqual(stored.why, "");
      assert.equal(Deno.readTextFileSync(stored.aside), text);
      assert.deepEqual(names(dir), ["x.json.corrupt"]);
      assert.deepEqual(readJson(path, asIs), { state: "absent" });
    }));
}

Deno.test("readJson() sets aside what its check refuses, and overwrites no other", () =>
  inTempDir((dir) => {
    const path = `${dir}/x.json`;
    const refuse = () => {
      throw new TypeError("no pid");
    };
    for (const aside of [`${path}.corrupt`, `${path}.corrupt-2`, `${path}.corrupt-3`]) {
      writeJson(path, { aside });
      assert.deepEqual(readJson(path, refuse), { state: "corrupt", aside, why: "no pid" });
    }
    assert.match(Deno.readTextFileSync(`${path}.corrupt`), /corrupt"/);
    assert.deepEqual(listJson(dir), []);
  }));

Deno.test("readJson() keeps its hands off a newer format", () =>
  inTempDir((dir) => {
    const path = `${dir}/x.json`;
    Deno.writeTextFileSync(path, '{"v":2}');
    assert.throws(() => readJson(path, asIs), {
      name: "NewerFormatError",
      exitCode: 4,
      message:
        `Cannot read "${path}": a newer iapeer has written it (format 2, this one knows 1); run that one, or install it: iapeer install`,
    });
    assert.deepEqual(names(dir), ["x.json"]);
    assert.deepEqual(readJson(path, asIs, { anyVersion: true }), {
      state: "found",
      value: { v: 2 },
    });
  }));

Deno.test("readJson() takes what says no version for the first, and keeps what it does not know", () =>
  inTempDir((dir) => {
    const path = `${dir}/x.json`;
    Deno.writeTextFileSync(path, '{"pid":7,"later":[1]}');
    const stored = readJson(path, (value) => value as object);
    assert(stored.state === "found");
    writeJson(path, stored.value);
    assert.equal(Deno.readTextFileSync(path), '{"v":1,"pid":7,"later":[1]}\n');
  }));

Deno.test("encodeJson() writes its own version over that of what was read", () => {
  assert.equal(encodeJson({ v: 0, pid: 7 }), '{"v":1,"pid":7}\n');
});

Deno.test("readJson() throws what cannot be read at all, and leaves it", () =>
  inTempDir((dir) => {
    Deno.mkdirSync(`${dir}/x.json`);
    assert.throws(() => readJson(`${dir}/x.json`, asIs));
    assert.deepEqual(names(dir), ["x.json"]);
  }));

Deno.test("readJson() loses no byte of what it cannot understand", () =>
  inTempDir((dir) => {
    const path = `${dir}/x.json`;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        Deno.writeFileSync(path, bytes);
        const stored = readJson(path, asIs);
        if (stored.state !== "corrupt") return;
        assert.deepEqual(Deno.readFileSync(stored.aside), bytes);
        Deno.removeSync(stored.aside);
      }),
      { numRuns: 50 },
    );
  }));

Deno.test("listJson() lists state files only, sorted", () =>
  inTempDir((dir) => {
    for (const name of ["b-2.json", "a-1.json", ".a-1.json.x.tmp", "a-1.json.corrupt", "x.txt"]) {
      Deno.writeTextFileSync(`${dir}/${name}`, "");
    }
    assert.deepEqual(listJson(dir), ["a-1", "b-2"]);
    assert.deepEqual(listJson(`${dir}/none`), []);
    assert.throws(() => listJson(`${dir}/x.txt`));
  }));

Deno.test("removeIfThere() removes a file or does nothing", () =>
  inTempDir((dir) => {
    Deno.writeTextFileSync(`${dir}/x`, "");
    removeIfThere(`${dir}/x`);
    removeIfThere(`${dir}/x`);
    assert.deepEqual(names(dir), []);
  }));

Deno.test("isThere() tells what is not there from what cannot be looked at", () =>
  inTempDir((dir) => {
    Deno.writeTextFileSync(`${dir}/file`, "");
    Deno.symlinkSync(`${dir}/nowhere`, `${dir}/link`);
    for (const name of ["", "/file", "/link"]) assert.equal(isThere(dir + name), true, name);
    for (const name of ["/nowhere", "/nowhere/x"]) assert.equal(isThere(dir + name), false, name);
    assert.throws(() => isThere(`${dir}/file/x`), /Not a directory/);
  }));
