import assert from "node:assert/strict";
import { toolPath } from "../lib/environment.ts";
import { runJobIn } from "./fixtures/root.ts";

interface Seen {
  left: string | null;
  callers: Record<string, string>;
  given: Record<string, string>;
  inside: Record<string, string>;
  apart: Record<string, string>;
  thrown: string;
  restored: boolean;
  sh: string;
}

/** What a process of its own makes of an awkward environment. */
async function seen(): Promise<Seen> {
  const env = { LD_LIBRARY_PATH: "/lib/x", TMUX: "/tmp/t,1,0", TMUX_PANE: "%0", KEPT: "é\n$" };
  return JSON.parse(await runJobIn(env, "environment"));
}

Deno.test("callersEnvironment() gives all but the caller's tmux, the loader's variables too", async () => {
  const { left, callers, given } = await seen();
  assert.equal(left, null);
  assert.equal(callers["LD_LIBRARY_PATH"], "/lib/x");
  assert.equal(callers["EXTRA"], "1");
  assert.equal(callers["KEPT"], "over");
  assert.equal("TMUX" in callers || "TMUX_PANE" in callers, false);
  assert.equal(given["TMUX"], "theirs");
  assert.equal(given["KEPT"], "é\n$");
});

Deno.test("withEnvironment() is in force while it starts something, and no longer", async () => {
  const { inside, apart, restored, thrown } = await seen();
  assert.deepEqual(inside, { ONLY: "this", KEPT: "new" });
  assert.deepEqual(apart, { LD_PRELOAD: "x.so" });
  assert.equal(thrown, "not started");
  assert.equal(restored, true);
});

Deno.test("toolPath() finds a tool on PATH, whatever else is there", async () => {
  const { sh } = await seen();
  assert.match(sh, /^\/.*\/sh$/);
  assert(Deno.statSync(sh).isFile);
  assert.equal(toolPath("no-such-tool"), "no-such-tool");
});

Deno.test("dropNodeShim() takes back what Deno adds to PATH, and nothing else", async () => {
  assert.deepEqual(JSON.parse(await runJobIn({}, "shim")), [
    ["/bin:", false],
    // PATH was not set then.
    [null, false],
    ["/bin:/sbin", false],
    // Deno has not said that it did.
    ["/d/node_compat_bin:/bin", false],
  ]);
});
