import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import config from "../deno.json" with { type: "json" };
import { bundleIn } from "./fixtures/bundle.ts";
import { Live } from "./live.ts";
import { type Ran, run } from "./live_host.ts";
import { writeProgram } from "./fixtures/program.ts";

/** What launchd gives a job. */
const LAUNCHD = "/usr/bin:/bin:/usr/sbin:/sbin";

/** Runs the bundle in an environment that holds nothing but what is given. */
function alone(
  live: Live,
  bundle: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Ran> {
  return run(bundle, args, {
    env: { PATH: LAUNCHD, IAPEER_CACHE: join(live.base, "cache"), ...live.env(env) },
    cwd: live.base,
    clearEnv: true,
  });
}

/**
 * Tries what the program may and may not do. It stands in for the program, so
 * that the bundle's own head, runtime and flags are what holds it.
 */
const PROBE = String.raw`
const [self, base, , , , root] = Deno.args;
const tell = async (what, work) => {
  try {
    await work();
    console.log(what + ": done");
  } catch (error) {
    const refused = /Requires \w+ access|--no-remote is specified/.test(error.message);
    console.log(what + ": " + (refused ? "NotCapable" : error.name));
  }
};
const runs = (program, ...args) => () => new Deno.Command(program, { args }).outputSync();
await tell("write below the root", () => Deno.writeTextFileSync(root + "/probe", ""));
await tell("read below the root", () => Deno.readTextFileSync(root + "/probe"));
await tell("write outside", () => Deno.writeTextFileSync(base + "/probe", ""));
await tell("read outside", () => Deno.readTextFileSync(base + "/outside"));
await tell("read a list outside", () => [...Deno.readDirSync("/etc")]);
await tell("look at a file outside", () => Deno.statSync(base + "/outside"));
await tell("link out of the root", () => Deno.symlinkSync(base + "/outside", root + "/link"));
await tell("remove outside", () => Deno.removeSync(base + "/outside"));
await tell("write the bundle", () => Deno.writeTextFileSync(self, ""));
await tell("write the runtime", () => Deno.writeTextFileSync(Deno.execPath(), ""));
await tell("connect", () => Deno.connect({ hostname: "127.0.0.1", port: 9 }));
await tell("listen", () => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
await tell("listen on a socket file", () => Deno.listen({ transport: "unix", path: base + "/s" }));
await tell("fetch", () => fetch("http://127.0.0.1:4/"));
await tell("resolve a name", () => Deno.resolveDns("localhost", "A"));
await tell("import from a server", () => import("https://deno.land/x/none.ts"));
await tell("import outside", () => import("file://" + base + "/outside.js"));
await tell("load a library", () => Deno.dlopen("libc.so.6", {}));
await tell("run ps", runs("ps", "-p", "1"));
await tell("run sh", runs("sh", "-c", "exit 0"));
await tell("run the runtime", runs(Deno.execPath(), "--version"));
await tell("run a tool by another path", runs(base + "/ps"));
await tell("run the bundle", runs(self, "--version"));
await tell("kill", () => Deno.kill(Deno.ppid, "SIGCONT"));
await tell("ask for more", async () => {
  const { state } = await Deno.permissions.request({ name: "net" });
  if (state !== "granted") throw new Deno.errors.NotCapable("");
});
`;

Deno.test("a bundle cannot do what is not declared", async () => {
  await using live = await Live.open();
  const { base, root } = live;
  const bundle = await bundleIn(base);
  await Deno.mkdir(root, { mode: 0o700 });
  await Deno.writeTextFile(join(base, "outside"), "");
  await Deno.writeTextFile(join(base, "outside.js"), "");
  writeProgram(join(base, "ps"), "#!/bin/sh\n");
  // The head alone, so that it can end with another program.
  const text = new TextDecoder("latin1").decode(await Deno.readFile(bundle));
  const last = text.split("\n").findIndex((line) => line.startsWith("exec "));
  const head = text.split("\n").slice(0, last + 1).join("\n");
  const version = await alone(live, bundle, ["--version"], { HOME: base });
  assert.equal(
    version.stdout,
    `iapeer ${config.version} (bundle, ${Deno.build.target}, deno ${Deno.version.deno})\n`,
    version.stderr,
  );
  const probe = join(base, "probe.mjs");
  await Deno.writeTextFile(probe, PROBE);
  const instead = head.replace('set -- "$_iap_dir/iapeer.mjs"', `set -- '${probe}'`);
  assert.notEqual(instead, head);
  const other = join(base, "iapeer-probe");
  writeProgram(other, `${instead}\n`);
  const { stdout, stderr } = await alone(live, other, ["--root", root], {});
  assert.deepEqual(stdout.trim().split("\n"), [
    "write below the root: done",
    "read below the root: done",
    "write outside: NotCapable",
    "read outside: NotCapable",
    "read a list outside: NotCapable",
    "look at a file outside: NotCapable",
    "link out of the root: NotCapable",
    "remove outside: NotCapable",
    "write the bundle: NotCapable",
    "write the runtime: NotCapable",
    "connect: NotCapable",
    "listen: NotCapable",
    "listen on a socket file: NotCapable",
    "fetch: NotCapable",
    "resolve a name: NotCapable",
    "import from a server: NotCapable",
    "import outside: NotCapable",
    "load a library: NotCapable",
    "run ps: done",
    "run sh: NotCapable",
    "run the runtime: NotCapable",
    "run a tool by another path: NotCapable",
    "run the bundle: done",
    "kill: NotCapable",
    "ask for more: NotCapable",
  ], stderr);
});

/** Roots given in each way, from an environment that holds next to nothing. */
const ROOTS: Record<string, (root: string) => [flags: string[], env: Record<string, string>]> = {
  "--root": (root) => [["--root", root], {}],
  "IAPEER_ROOT": (root) => [[], { IAPEER_ROOT: root }],
  "the default": (root) => [[], { HOME: dirname(root) }],
};

for (const [name, given] of Object.entries(ROOTS)) {
  Deno.test(`all commands of a bundle work within its permissions, root by ${name}`, async () => {
    await using live = await Live.open(".iapeer");
    const bundle = await bundleIn(live.base);
    const [flags, env] = given(live.root);
    const ok = async (...args: string[]): Promise<string> => {
      const at = args.includes("--") ? args.indexOf("--") : args.length;
      const all = [...args.slice(0, at), ...flags, ...args.slice(at)];
      const { code, stdout, stderr } = await alone(live, bundle, all, env);
      assert.deepEqual([code, stderr], [0, ""], `${all.join(" ")}: ${stdout}`);
      return stdout;
    };
    const foreign = await live.foreignServer("foreign");
    assert.match(
      (await alone(live, bundle, ["--version"], { HOME: live.base, ...env })).stdout,
      /\(bundle, /,
    );
    const session = JSON.parse(
      await ok(
        "launch",
        "--identity",
        "a-one",
        "--json",
        "--",
        "sh",
        "-c",
        "env; exec sleep 10000",
      ),
    );
    // Nothing of the bundle's own reaches the session.
    const log = await live.until("the session's environment is in its log", () => {
      const text = Deno.readTextFileSync(live.ctx.paths.paneLog("a-one"));
      return text.includes("PATH=") && text.includes("TMUX_PANE=") && text;
    });
    assert(!/^(?:DENO_|_iap_)/m.test(log), log);
    assert.match(log, new RegExp(`^PATH=${LAUNCHD}\\r?$`, "m"));
    await ok("adopt", "--identity", "b-two", "--sock", foreign.sock);
    assert.equal(JSON.parse(await ok("status", "--json")).length, 2);
    assert.equal(JSON.parse(await ok("supervise", "--once", "--json")).length, 2);
    // A terminal of its own: the pane of another server.
    const bare = ["-i", `PATH=${LAUNCHD}`, `IAPEER_CACHE=${join(live.base, "cache")}`];
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const shown = ["env", ...bare, "TERM=screen", ...variables, bundle];
    const terminal = await live.foreignServer("terminal", [...shown, "attach", ...flags, "a-one"]);
    await live.until(
      "the session is shown",
      async () => (await live.tmux(session.sock, "list-clients")).stdout !== "",
    );
    await live.tmux(terminal.sock, "kill-server");
    const watcher = live.startOther("env", [
      ...[...bare, ...variables, bundle, "canary", ...flags],
      ...["--identity", "c-three", "--sock", (await live.foreignServer("other")).sock],
    ]);
    await live.until("the canary is armed", () => watcher.stdout().startsWith("ARMED "));
    watcher.kill("SIGTERM");
    assert.equal((await watcher.ended).code, 0);
    const { findings } = JSON.parse(await ok("doctor", "--no-drill", "--json"));
    assert.doesNotMatch(JSON.stringify(findings), /Requires \w+ access/);
    await run("kill", ["-KILL", String(session.serverPid)]);
    await live.record("server-verdict", "a-one");
    const [death] = JSON.parse(await ok("deaths", "--json"));
    assert.equal(death.signal, "SIGKILL");
    assert.match(await ok("deaths", death.id), /SIGKILL/);
    await ok("start", "a-one");
    await ok("stop", "a-one");
    await ok("drill");
  });
}
