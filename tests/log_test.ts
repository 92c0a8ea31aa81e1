import assert from "node:assert/strict";
import fc from "fast-check";
import { tryLock } from "../lib/locks.ts";
import { appendLine, moveOn, readLines } from "../lib/log.ts";
import { parseLine } from "../lib/logfmt.ts";
import { inTempDir, runJob, withRoot } from "./fixtures/root.ts";

Deno.test("appendLine() appends whole lines to a file of the user's own", () =>
  withRoot(({ paths }) => {
    const log = paths.exitsLog;
    appendLine(paths, log, "one", { sync: true });
    appendLine(paths, log, "two é");
    assert.equal(Deno.readTextFileSync(log), "one\ntwo é\n");
    assert.equal(Deno.statSync(log).mode! & 0o777, 0o600);
  }));

Deno.test("appendLine() begins a line of its own after one that was cut", () =>
  withRoot(({ paths }) => {
    const log = paths.exitsLog;
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (cut) => {
        Deno.writeTextFileSync(log, `whole\n${cut}`);
        const before = Deno.readTextFileSync(log);
        appendLine(paths, log, "next");
        appendLine(paths, log, "after");
        const text = Deno.readTextFileSync(log);
        assert.equal(text, `${before}${before.endsWith("\n") ? "" : "\n"}next\nafter\n`);
      }),
      { numRuns: 50 },
    );
  }));

Deno.test("appendLine() rotates by size and keeps five", () =>
  withRoot(({ paths }) => {
    const log = paths.exitsLog;
    for (let n = 0; n < 40; n++) appendLine(paths, log, `n=${n}`.padEnd(9), { maxBytes: 30 });
    const files = [...Deno.readDirSync(paths.logs)].filter((entry) => entry.isFile)
      .map((entry) => entry.name).sort();
    assert.deepEqual(
      files,
      ["exits.log", ...[1, 2, 3, 4, 5].map((n) => `exits.log.${n}`)],
    );
    for (const name of files) {
      assert.equal(Deno.statSync(`${paths.logs}/${name}`).mode! & 0o777, 0o600, name);
    }
    const kept = readLines(paths, log).map((line) => Number(/\d+/.exec(line)![0]));
    assert.deepEqual(kept, Array.from(kept, (_, n) => 40 - kept.length + n));
    assert(kept.length >= 15);
  }));

Deno.test("appendLine() writes a line longer than the limit whole", () =>
  withRoot(({ paths }) => {
    const log = paths.exitsLog;
    const long = "x".repeat(100_000);
    appendLine(paths, log, long, { maxBytes: 10 });
    appendLine(paths, log, "y", { maxBytes: 10 });
    assert.deepEqual(readLines(paths, log), [long, "y"]);
  }));

Deno.test("appendLine() does not wait for ever for a rotation that hangs", () =>
  withRoot(({ paths }) => {
    using _stopped = tryLock(paths.lock("exits.log.log"));
    appendLine(paths, paths.exitsLog, "all the same");
    assert.deepEqual(readLines(paths, paths.exitsLog), ["all the same"]);
  }));

Deno.test("appendLine() lets the log grow while somebody who shares its lock is stopped, and rotates then", () =>
  withRoot(({ paths }) => {
    const log = paths.exitsLog;
    const lines = Array.from({ length: 100 }, (_, n) => `n=${n}`.padEnd(99));
    {
      using _stopped = tryLock(paths.lock("exits.log.log"), false);
      for (const line of lines) appendLine(paths, log, line, { maxBytes: 1000 });
      assert.equal(Deno.statSync(log).size, 10_000);
    }
    appendLine(paths, log, "last", { maxBytes: 1000 });
    assert.deepEqual(readLines(paths, log), [...lines, "last"]);
    assert.equal(Deno.statSync(`${log}.1`).size, 10_005);
  }));

Deno.test("moveOn() moves every file one number on, gaps too, and drops the oldest", () =>
  inTempDir((dir) => {
    const log = `${dir}/a.log`;
    for (const name of [log, `${log}.1`, `${log}.3`]) Deno.writeTextFileSync(name, name);
    moveOn(log, 3);
    const files = [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
    assert.deepEqual(files, ["a.log.1", "a.log.2"]);
    assert.equal(Deno.readTextFileSync(`${log}.1`), log);
    assert.equal(Deno.readTextFileSync(`${log}.2`), `${log}.1`);
  }));

Deno.test("appendLine() throws when the storage refuses", () =>
  withRoot(({ paths }) => {
    Deno.mkdirSync(paths.exitsLog);
    assert.throws(() => appendLine(paths, paths.exitsLog, "x"));
  }));

Deno.test("appendLine() of many processes loses, tears and doubles no line while it rotates", () =>
  withRoot(async ({ paths }) => {
    const writers = ["ann", "bob", "cho", "dan"];
    const each = 250;
    await Promise.all(writers.map((name) => runJob("append", paths.root, name, String(each))));
    const files = [...Deno.readDirSync(paths.logs)].filter((entry) => entry.isFile)
      .map((entry) => entry.name).filter((name) => name.startsWith("lifecycle.log"));
    assert(files.length > 2, `it rotated ${files.length - 1} times`);
    // Oldest first: the higher its number, the older a file is.
    files.sort((a, b) => Number(b.split(".")[2] ?? 0) - Number(a.split(".")[2] ?? 0));
    const next = new Map(writers.map((name) => [name, 0]));
    for (const file of files) {
      for (const line of Deno.readTextFileSync(`${paths.logs}/${file}`).split("\n").slice(0, -1)) {
        const fields = parseLine(line);
        const name = fields.get("writer")!;
        const n = next.get(name)!;
        assert.equal(line, `writer=${name} n=${n} filler=${"x".repeat(n % 90)}`);
        next.set(name, n + 1);
      }
    }
    assert.deepEqual([...next.values()], writers.map(() => each));
  }));

Deno.test("readLines() gives nothing for a log that is not there", () =>
  withRoot(({ paths }) => {
    assert.deepEqual(readLines(paths, paths.exitsLog), []);
  }));

Deno.test("readLines() reads rotated files first, and a cut line as it is", () =>
  withRoot(({ paths }) => {
    const log = paths.exitsLog;
    Deno.writeTextFileSync(`${log}.5`, "a\nb\n");
    Deno.writeTextFileSync(`${log}.1`, "c\n");
    Deno.writeTextFileSync(log, "d\n\ne");
    assert.deepEqual(readLines(paths, log), ["a", "b", "c", "d", "e"]);
  }));

Deno.test("readLines() gives only the lines that hold what is looked for, of every file", () =>
  withRoot(({ paths }) => {
    const path = paths.exitsLog;
    Deno.writeTextFileSync(`${path}.2`, "a death=x-1\nb death=x-12\n");
    Deno.writeTextFileSync(`${path}.1`, "c death=y-1\n");
    Deno.writeTextFileSync(path, "d death=x-1\n\ne cut death=x");
    assert.deepEqual(readLines(paths, path, "x-1"), ["a death=x-1", "b death=x-12", "d death=x-1"]);
    assert.deepEqual(readLines(paths, path, "z"), []);
    assert.equal(readLines(paths, path).length, 5);
  }));
