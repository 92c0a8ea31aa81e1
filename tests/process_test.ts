import assert from "node:assert/strict";
import { denoTools, failureOf, runOnTerminal, spawnChild } from "../lib/process.ts";
import { denoHost, inspect, livenessOf } from "../lib/host.ts";
import { inTempDir, result, runJob, until } from "./fixtures/root.ts";

function sh(script: string, ...args: string[]): [string, string[]] {
  return ["sh", ["-c", script, "sh", ...args]];
}

Deno.test("denoTools.run() gives output and exit code", async () => {
  const { code, signal, stdout, stderr, timedOut, failure, truncated } = await denoTools.run(
    ...sh('echo "$1"; echo err >&2; exit 3', "it's $HOME;*"),
  );
  assert.deepEqual(
    { code, signal, stdout, stderr, timedOut, failure, truncated },
    result({ code: 3, stdout: "it's $HOME;*\n", stderr: "err\n" }),
  );
});

Deno.test("denoTools.run() speaks C and leaves COLUMNS alone", async () => {
  const { stdout } = await denoTools.run(...sh('echo "$LC_ALL,$COLUMNS"'));
  assert.equal(stdout, "C,\n");
});

Deno.test("denoTools.run() works where it is told", () =>
  inTempDir(async (dir) => {
    assert.equal((await denoTools.run("pwd", ["-P"], { cwd: dir })).stdout, `${dir}\n`);
  }));

Deno.test("denoTools.run() tells the signal that ended a program", async () => {
  const ended = await denoTools.run(...sh("kill -TERM $$"));
  assert.equal(ended.signal, "SIGTERM");
  assert.equal(ended.code, undefined);
});

Deno.test({
  name: "denoTools.run() does not throw for a signal that Deno has no name for",
  // Deno itself throws before it closes the child [measured, 2.9.6].
  sanitizeResources: false,
  async fn() {
    const ended = await denoTools.run(...sh("kill -34 $$"));
    assert.equal(ended.code, undefined);
    assert.match(failureOf("sh", ended)!, /34/);
  },
});

Deno.test("denoTools.run() says that a tool is missing", async () => {
  const ended = await denoTools.run("no-such-tool", []);
  assert.deepEqual(ended, result({ code: undefined, failure: "no-such-tool: not found" }));
});

Deno.test("denoTools.run() kills what takes too long, and waits for no grandchild", async () => {
  const ended = await denoTools.run(...sh("sleep 60 & echo $!; exec sleep 60"), {
    timeoutMs: 200,
  });
  const grandchild = Number(ended.stdout);
  assert(grandchild > 0, JSON.stringify(ended));
  Deno.kill(grandchild, "SIGKILL");
  assert.equal(ended.timedOut, true);
  assert.equal(failureOf("sh", ended), "sh: timed out");
  await until("the grandchild is gone", async () => {
    const info = (await inspect(denoHost, [grandchild]))!.get(grandchild);
    return info === undefined || info.zombie;
  });
});

for (const keepTail of [false, true]) {
  Deno.test(`denoTools.run() keeps the ${keepTail ? "last" : "first"} maxBytes`, async () => {
    const count = 200_000;
    const script = `i=0; while [ $i -lt 20 ]; do printf %010000d $i; i=$((i+1)); done`;
    const whole = await denoTools.run(...sh(script), { maxBytes: count, keepTail });
    assert.equal(whole.stdout.length, count);
    assert.equal(whole.truncated, false);
    for (const maxBytes of [0, 1, 9_999, 100_001, count - 1]) {
      const cut = await denoTools.run(...sh(script), { maxBytes, keepTail });
      const kept = keepTail
        ? whole.stdout.slice(count - maxBytes)
        : whole.stdout.slice(0, maxBytes);
      assert.equal(cut.stdout, kept, `${maxBytes}`);
      assert.equal(cut.truncated, true);
      assert.equal(cut.code, 0);
    }
  });
}

Deno.test("denoTools.run() keeps the first of stderr even with keepTail", async () => {
  const ended = await denoTools.run(...sh("echo 123456 >&2"), { maxBytes: 3, keepTail: true });
  assert.equal(ended.stderr, "123");
  assert.equal(ended.truncated, true);
});

Deno.test("denoTools.run() decodes what is not UTF-8", async () => {
  assert.equal((await denoTools.run("printf", ["a\\377b"])).stdout, "a\ufffdb");
});

Deno.test("failureOf() says in one line why a run gave nothing", () => {
  for (
    const [fields, said] of [
      [{}, undefined],
      [{ stderr: "a warning\n" }, undefined],
      [{ code: undefined, failure: "dmesg: not found" }, "dmesg: not found"],
      [{ code: undefined, signal: "SIGKILL", timedOut: true }, "dmesg: timed out"],
      [{ code: undefined, signal: "SIGSEGV" }, "dmesg: ended by SIGSEGV"],
      [{ code: 1 }, "dmesg: exit code 1"],
      [{ code: 1, stderr: " \n" }, "dmesg: exit code 1"],
      [{ code: 1, stderr: "no\nmore" }, "dmesg: no"],
      [{ code: 1, stderr: "dmesg: denied\n" }, "dmesg: denied"],
      [{ code: 1, stderr: "/usr/bin/dmesg: /x: denied\n" }, "dmesg: /x: denied"],
    ] as const
  ) assert.equal(failureOf("dmesg", result(fields)), said);
});

Deno.test("spawnChild() tells how its child ended", async () => {
  assert.deepEqual(await spawnChild(...sh("exit 3")).ended, { code: 3 });
  assert.deepEqual(await spawnChild(...sh("kill -KILL $$")).ended, { signal: "SIGKILL" });
});

Deno.test({
  name: "spawnChild() tells a real-time signal by its number",
  // Deno itself throws before it closes the child [measured, 2.9.6].
  sanitizeResources: false,
  async fn() {
    assert.deepEqual(await spawnChild(...sh("kill -34 $$")).ended, { signal: "SIG34" });
  },
});

Deno.test("spawnChild() gives exactly the environment it is given", async () => {
  const child = spawnChild("env", [], { env: { ONLY: "this" }, stdout: true });
  assert.equal(await new Response(child.stdout).text(), "ONLY=this\n");
  assert.deepEqual(await child.ended, { code: 0 });
});

Deno.test("spawnChild() works where it is told, in a session of its own", () =>
  inTempDir(async (dir) => {
    const child = spawnChild(...sh("pwd -P; ps -o sid= -p $$"), { cwd: dir, stdout: true });
    const [pwd, sid] = (await new Response(child.stdout).text()).split("\n");
    assert.equal(pwd, dir);
    assert.equal(Number(sid), child.pid);
    await child.ended;
  }));

Deno.test("spawnChild() lets its child be killed, twice too", async () => {
  const child = spawnChild("sleep", ["60"]);
  assert.equal(child.stdout, undefined);
  child.kill("SIGTERM");
  assert.deepEqual(await child.ended, { signal: "SIGTERM" });
  child.kill("SIGTERM");
  assert.equal(await livenessOf(denoHost, { pid: child.pid, startedAt: 0 }), "gone");
});

Deno.test("spawnChild() throws when there is no such program", () => {
  assert.throws(() => spawnChild("no-such-tool", []), Deno.errors.NotFound);
});

Deno.test("runOnTerminal() gives the exit code, 128 + n after signal n", () => {
  assert.equal(runOnTerminal(...sh("exit 3")), 3);
  assert.equal(runOnTerminal(...sh("kill -TERM $$")), 143);
});

Deno.test("run() needs no working directory of its own: it may have been removed", async () => {
  assert.deepEqual(JSON.parse(await runJob("removedDir")), { code: 0, stdout: "/\n" });
});
