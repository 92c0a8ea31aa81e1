import assert from "node:assert/strict";
import { join } from "node:path";
import type { Installed } from "../lib/install.ts";
import type { ServiceManager, ServiceState } from "../lib/service.ts";
import { bundleIn } from "./fixtures/bundle.ts";
import { FakeHost, filesOf, treeOf } from "./fixtures/service_manager.ts";
import { FORMAT_VERSION } from "../lib/config.ts";
import { readSession } from "../lib/sessions.ts";
import { assertRecorded, assertSilent, Live, type Session } from "./live.ts";
import { isRunning, sendSignal, untilGone } from "./live_host.ts";

const MANAGERS: readonly ServiceManager[] = ["systemd", "launchd"];

/** A root whose name either format has to escape. */
const ROOT = `r "&" 50% it's`;

async function installed(host: FakeHost, from: string): Promise<Installed & { pid: number }> {
  const result = await host.done<Installed>({ what: "install", from });
  assert(result.pid !== undefined && await isRunning(result.pid));
  return { ...result, pid: result.pid };
}

/** Server and canary are the very processes that they were. */
async function assertUntouched(live: Live, session: Session): Promise<void> {
  const { state, server, canary } = await live.status(session.identity);
  assert.equal(state, "alive");
  assert.equal(server?.pid, session.serverPid);
  assert.deepEqual([canary.state, canary.mode, canary.pid], ["armed", "own", session.canaryPid]);
}

for (const manager of MANAGERS) {
  Deno.test(`install under ${manager}, again as an update in place, and uninstall`, async () => {
    await using live = await Live.open(ROOT);
    const host = await FakeHost.open(live, manager);
    const first = await installed(host, host.binary("one"));
    assert.equal(first.replaced, true);
    assert.equal(first.program, join(host.bin, "iapeer"));
    const state = await host.done<ServiceState>({ what: "state" });
    assert.equal(state.manager, manager);
    assert.deepEqual([state.installed, state.loaded, state.running], [true, true, true]);
    assert.equal(state.pid, first.pid);
    assert.equal(state.program, first.program);
    assert.equal(Deno.statSync(first.program).mode! & 0o777, 0o755);

    const session = await live.launch("claude-bob");
    const second = await installed(host, host.binary("two"));
    assert.equal(second.replaced, true);
    assert.notEqual(second.pid, first.pid);
    await untilGone(first.pid, "the supervisor of the older version");
    await assertUntouched(live, session);

    await host.calls();
    const again = await installed(host, host.binary("two"));
    assert.equal(again.replaced, false);
    assert.notEqual(again.pid, second.pid);
    await assertUntouched(live, session);
    const calls = await host.calls();
    if (manager === "launchd") {
      assert.equal(calls.length, 1, "the same property list is not loaded anew");
      assert.match(
        calls[0]!,
        /^launchctl kickstart -k gui\/\d+\/dev\.iapeer\.supervise\.[0-9a-f]{12}$/,
      );
    } else assert.match(calls.at(-1)!, /^systemctl --user restart iapeer-[0-9a-f]{12}\.service$/);

    const before = treeOf(host.home);
    const refused = await host.perform({ what: "uninstall" });
    assert.equal(refused.error?.exitCode, 1);
    assert.match(refused.error!.message, /sessions of ".*" live: claude-bob; .*--stop-all/);
    assert.deepEqual(treeOf(host.home), before);
    await assertUntouched(live, session);

    const cache = await host.cache();
    await host.done({ what: "uninstall", stopAll: true, cache });
    await untilGone(again.pid, "the supervisor");
    await untilGone(session.canaryPid, "the canary");
    assert(!await isRunning(session.serverPid));
    assert.deepEqual(live.records("server-exit"), []);
    assert.deepEqual(filesOf(host.home), [join(cache, "not-ours")]);
    await Deno.remove(join(cache, "not-ours"));
    assert.deepEqual([...Deno.readDirSync(live.root)].map(({ name }) => name), ["logs"]);
    assert.equal((await host.done<ServiceState>({ what: "state" })).installed, false);

    await host.calls();
    await host.done({ what: "uninstall" });
    assert.deepEqual(await host.calls(), [], "nothing is left to be done");
    assert.deepEqual([...Deno.readDirSync(live.root)].map(({ name }) => name), ["logs"]);
  });

  Deno.test(`a dry run under ${manager} tells every step and changes nothing`, async () => {
    await using live = await Live.open(ROOT);
    const host = await FakeHost.open(live, manager);
    const from = host.binary("one");
    const { told, error } = await host.perform({ what: "install", from, dry: true });
    assert.equal(error, undefined);
    assert.deepEqual(await host.calls(), []);
    assert.deepEqual(treeOf(host.home), []);
    await assert.rejects(Deno.stat(live.root), Deno.errors.NotFound);

    const result = await installed(host, from);
    const { file } = await host.done<ServiceState>({ what: "state" });
    const text = await Deno.readTextFile(file!);
    for (const line of text.trimEnd().split("\n")) {
      assert(told.includes(line === "" ? "" : `    ${line}`), `the file's line: ${line}`);
    }
    for (const call of await host.calls()) {
      const words = call.split(" ").slice(0, 3).join(" ");
      assert(told.some((line) => line.startsWith(`run: ${words}`)), call);
    }
    assert(told.some((line) => line.startsWith(`copy ${from} to `)), "the binary");
    assert(!text.includes("IAPEER_CACHE"), "a service finds the usual cache by itself");
    const elsewhere = { what: "install", from, dry: true, cache: "/c d" } as const;
    const named = (await host.perform(elsewhere)).told.join("\n");
    assert.match(named, manager === "systemd" ? /"IAPEER_CACHE=\/c d"/ : /<string>\/c d</);

    const before = treeOf(host.home);
    const away = await host.perform({ what: "uninstall", dry: true });
    assert.deepEqual(treeOf(host.home), before);
    assert.deepEqual(await host.calls(), []);
    for (const path of [file!, result.program, join(live.root, "run"), join(live.root, "state")]) {
      const line = `remove '${path.replaceAll("'", `'\\''`)}'`;
      assert(away.told.includes(line), `${line}\nis not in\n${away.told.join("\n")}`);
    }
    assert(await isRunning(result.pid));
  });
}

Deno.test("a service that does not come up is said so, with the log to look at", async () => {
  await using live = await Live.open();
  const host = await FakeHost.open(live, "systemd");
  await host.spoil("broken");
  const from = host.binary("one");
  const { error } = await host.perform({ what: "install", from, waitMs: 300 });
  assert.equal(error?.exitCode, 1);
  assert.match(
    error!.message,
    /no new supervisor .* within 0\.3 s; see: journalctl --user -u iapeer-/,
  );
});

Deno.test("a manager that cannot be asked is a reason to refuse, before anything is changed", async () => {
  await using live = await Live.open();
  const host = await FakeHost.open(live, "systemd");
  await host.spoil("mute");
  const { error } = await host.perform({ what: "install", from: host.binary("one") });
  assert.match(
    error!.message,
    /^Cannot install the service .*: systemctl: Failed to connect to bus/,
  );
  assert.deepEqual(filesOf(host.home), []);
});

Deno.test("without a service manager the binary is installed, and the refusal says how to go on", async () => {
  await using live = await Live.open();
  const host = await FakeHost.open(live, undefined);
  const from = host.binary("one");
  const { error } = await host.perform({ what: "install", from });
  assert.equal(error?.name, "NoServiceManagerError");
  assert.equal(error?.exitCode, 1);
  assert.match(error!.message, /runit, s6, or @reboot/);
  assert.deepEqual(filesOf(host.home), [join(host.bin, "iapeer")]);
  const { service, replaced } = await host.done<Installed>({
    what: "install",
    from,
    service: false,
  });
  assert.deepEqual([service, replaced], [undefined, false]);
  await host.done({ what: "uninstall" });
  assert.deepEqual(filesOf(host.home), []);
});

Deno.test("a supervisor that is not the service's is a reason to refuse", async () => {
  await using live = await Live.open();
  const host = await FakeHost.open(live, "systemd");
  const other = live.start(["supervise"]);
  await live.until("the supervisor is at work", () => other.stdout().includes("SUPERVISING"));
  const from = host.binary("one");
  for (const what of ["install", "uninstall"] as const) {
    const { error } = await host.perform({ what, from });
    assert.match(
      error!.message,
      new RegExp(`^Cannot ${what}: a supervisor that is not the service .* kill ${other.pid}$`),
    );
  }
  assert.deepEqual(filesOf(host.home), []);
  assert(await isRunning(other.pid));
  other.kill("SIGTERM");
  await other.ended;
});

Deno.test("a death that nobody has seen is recorded before its session is forgotten", async () => {
  await using live = await Live.open();
  const host = await FakeHost.open(live, "systemd");
  const session = await live.launch("claude-bob");
  sendSignal(session.canaryPid, "SIGKILL");
  await untilGone(session.canaryPid, "the canary");
  sendSignal(session.serverPid, "SIGKILL");
  await untilGone(session.serverPid, "the server");
  await host.done({ what: "uninstall" });
  assert.equal(live.records("server-exit", "claude-bob").length, 1);
  assert.equal(live.records("server-verdict", "claude-bob").length, 1);
  assert.deepEqual([...Deno.readDirSync(live.root)].map(({ name }) => name), ["logs"]);
});

Deno.test("an adopted server is let go: it runs on, and nothing is recorded", async () => {
  await using live = await Live.open();
  const host = await FakeHost.open(live, "systemd");
  const { sock, pid } = await live.foreignServer("theirs");
  await live.ok(["adopt", "--identity", "codex-ann", "--sock", sock]);
  const canary = (await live.status("codex-ann")).canary.pid!;
  const { error } = await host.perform({ what: "uninstall" });
  assert.match(error!.message, /codex-ann \(adopted: it would run on, unwatched\)/);
  await host.done({ what: "uninstall", stopAll: true });
  await untilGone(canary, "the canary");
  assert(await isRunning(pid), "the server runs on");
  assert.deepEqual(live.records("server-exit"), []);
  assert.deepEqual([...Deno.readDirSync(live.root)].map(({ name }) => name), ["logs"]);
});

Deno.test("after an update the canaries of before record deaths, and believe claims of a newer program", async () => {
  await using live = await Live.open();
  const host = await FakeHost.open(live, "systemd");
  await installed(host, host.binary("one"));
  const killed = await live.launch("claude-killed");
  const stopped = await live.launch("claude-stopped");
  const claimed = await live.launch("claude-claimed");
  await installed(host, host.binary("two"));

  sendSignal(killed.serverPid, "SIGKILL");
  await assertRecorded(live, killed, { cause: "signal", signal: "SIGKILL", mode: "own" });

  await live.ok(["stop", stopped.identity]);
  await assertSilent(live, stopped);

  const server = readSession(live.ctx, claimed.identity)!.server!;
  const claim = { v: FORMAT_VERSION + 1, who: "a reason to come", at: Date.now(), server };
  await Deno.writeTextFile(live.ctx.paths.claim(claimed.identity), JSON.stringify(claim));
  sendSignal(claimed.serverPid, "SIGKILL");
  await assertSilent(live, claimed);
  assert.equal((await live.status(claimed.identity)).state, "gone");
});

Deno.test("a session does not uninstall what it runs in", async () => {
  await using live = await Live.open();
  const host = await FakeHost.open(live, "systemd");
  const session = await live.launch("claude-bob");
  const inside = { TMUX: `${session.sock},${session.serverPid},0` };
  const { error } = await host.perform({ what: "uninstall", stopAll: true }, inside);
  assert.match(error!.message, /^Cannot uninstall from inside a session .*another terminal$/);
  await assertUntouched(live, session);
});

Deno.test("two roots have services side by side, and the last one takes the binary away", async () => {
  await using live = await Live.open();
  const host = await FakeHost.open(live, "systemd");
  const from = host.binary("one");
  const one = await installed(host, from);
  const root = join(live.base, "r2");
  const script = await Deno.readTextFile(from);
  // The scoped permissions of the first one's script are those of its root.
  await Deno.writeTextFile(from, script.replaceAll(live.root, root));
  const two = await host.done<Installed>({ what: "install", from, root });
  assert.notEqual(two.service, one.service);
  assert(await isRunning(one.pid), "the other one's supervisor is untouched");
  const notes = await host.done<string[]>({ what: "uninstall" });
  assert.deepEqual(notes, [`${one.program} is kept: the service ${two.service} uses it`]);
  await untilGone(one.pid, "the first supervisor");
  assert(await isRunning(two.pid!));
  assert.deepEqual(await host.done<string[]>({ what: "uninstall", root }), []);
  assert.deepEqual(filesOf(host.home), []);
});

Deno.test("the service of another prefix is not taken for this one's", async () => {
  await using live = await Live.open();
  const host = await FakeHost.open(live, "launchd");
  const { program, pid } = await installed(host, host.binary("one"));
  const { error } = await host.perform({ what: "uninstall", prefix: join(live.base, "opt") });
  assert(
    error!.message.includes(`runs "${program}"; give the --prefix of that one`),
    error!.message,
  );
  assert(await isRunning(pid));
});

Deno.test("a bundle installs, updates and uninstalls itself within its permissions", async () => {
  await using live = await Live.open(ROOT);
  const host = await FakeHost.open(live, "systemd");
  const bundle = await bundleIn(live.base);
  const ok = async (binary: string, ...args: string[]) => {
    const { code, stdout, stderr } = await host.call(binary, args);
    assert.equal(code, 0, `${args.join(" ")}\n${stdout}${stderr}`);
    return stdout;
  };
  const own = join(host.bin, "iapeer");
  assert.match(await ok(bundle, "install", "--dry-run"), /^run: systemctl --user restart /m);
  await assert.rejects(Deno.stat(own), Deno.errors.NotFound);
  const first = await ok(bundle, "install");
  assert.match(
    first,
    /^INSTALLED program=.* version=\S+ service=iapeer-[0-9a-f]{12}\.service pid=/,
  );
  assert.match(
    await ok(
      own,
      "adopt",
      "--identity",
      "codex-ann",
      "--sock",
      (await live.foreignServer("x")).sock,
    ),
    /^ADOPTED/,
  );
  const again = await ok(own, "install");
  assert.notEqual(again.split(" pid=")[1], first.split(" pid=")[1]);
  assert.equal((await host.call(own, ["uninstall"])).code, 1);
  assert.match(await ok(own, "uninstall", "--stop-all"), /^UNINSTALLED root=/);
  assert.deepEqual(filesOf(host.home), []);
  assert.deepEqual([...Deno.readDirSync(live.root)].map(({ name }) => name), ["logs"]);
});

Deno.test("from source there is nothing to install, and the command line says so", async () => {
  await using live = await Live.open();
  const { code, stderr } = await live.cli(["install", "--no-service"]);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^iapeer: Cannot install from source: .*bootstrap compile/);
});
