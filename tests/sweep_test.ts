import assert from "node:assert/strict";
import { join } from "node:path";
import { openRoot } from "../lib/config.ts";
import { contextOf } from "../lib/context.ts";
import { sweepTemporary } from "../lib/sweep.ts";

Deno.test("sweepTemporary() removes what killed writers left, and nothing else", () => {
  const root = Deno.makeTempDirSync({ prefix: "iap" });
  try {
    const ctx = contextOf(root);
    openRoot(ctx.paths, Deno.uid());
    const { sessions, claims, deaths, locks, requests, serverDeaths } = ctx.paths;
    const hourAgo = new Date(Date.now() - 3_600_000);
    for (const dir of [sessions, claims, deaths, serverDeaths]) {
      for (const name of [".old.json.tmp", ".young.json.tmp", "old.json", "old.tmp"]) {
        Deno.writeTextFileSync(join(dir, name), "{}");
        if (name.includes("old")) Deno.utimeSync(join(dir, name), hourAgo, hourAgo);
      }
      sweepTemporary(ctx);
      assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), [
        ".young.json.tmp",
        "old.json",
        "old.tmp",
      ]);
    }
    for (const kind of ["json", "taken", "answer"]) {
      for (const age of ["old", "young"]) {
        Deno.writeTextFileSync(join(requests, `${age}.${kind}`), "{}");
        if (age === "old") Deno.utimeSync(join(requests, `old.${kind}`), hourAgo, hourAgo);
      }
    }
    sweepTemporary(ctx);
    assert.deepEqual([...Deno.readDirSync(requests)].map(({ name }) => name).sort(), [
      "young.answer",
      "young.json",
      "young.taken",
    ]);
    for (const name of ["rehearsal-old", "rehearsal-young"]) {
      Deno.mkdirSync(join(locks, name, "state"), { recursive: true });
    }
    Deno.utimeSync(join(locks, "rehearsal-old"), hourAgo, hourAgo);
    sweepTemporary(ctx);
    assert.deepEqual([...Deno.readDirSync(locks)].map(({ name }) => name), ["rehearsal-young"]);
    Deno.removeSync(root, { recursive: true });
    sweepTemporary(ctx);
  } finally {
    try {
      Deno.removeSync(root, { recursive: true });
    } catch {
      // The test itself has removed it.
    }
  }
});
