import assert from "node:assert/strict";
import type { Examined } from "../lib/doctor/check.ts";
import {
  ancestorsOf,
  checkService,
  checkSettings,
  checkVersion,
  judgeService,
  judgeSettings,
} from "../lib/doctor/service.ts";
import { judgeCanaries, judgeSessions } from "../lib/doctor/sessions.ts";
import { canariesIn, checkStrays, serversIn } from "../lib/doctor/strays.ts";
import { checkTerminal, judgeTerminal, keeperOf, parseUnits } from "../lib/doctor/terminal.ts";
import type { ToolResult } from "../lib/process.ts";
import type { ServiceState } from "../lib/service.ts";
import { LAUNCHD, lines, NO_SERVICE, patient, row, session, SYSTEMD } from "./fixtures/examined.ts";
import { withRoot } from "./fixtures/root.ts";

const command = (args: string) => `iapeer ${args}`;

/** What is said of the service, and the remedies. */
function judged(
  service: Partial<ServiceState>,
  supervisor?: { pid?: number; version?: string },
  outside = false,
): string[] {
  return judgeService({ ...SYSTEMD, ...service }, supervisor, outside, command)
    .map(({ level, text, remedy }) =>
      `${level}: ${text}${remedy === undefined ? "" : ` → ${remedy}`}`
    );
}

Deno.test("judgeService() goes through every way a service can be", () => {
  const at = { pid: 700, version: "1.2.3" };
  assert.deepEqual(judged({}, at), ["ok: runs under systemd, pid 700"]);
  assert.deepEqual(judged({ ...LAUNCHD }, at), ["ok: runs under launchd, pid 700"]);
  assert.deepEqual(judged({}), [
    "warning: runs under systemd, pid 700, but is not at work on this root → iapeer install",
  ]);
  assert.deepEqual(judged({}, { pid: 99 }, true), [
    "ok: runs under systemd, pid 700",
    "warning: supervisor 99 is at work outside the service: it ends with the terminal it was " +
    "started from → kill 99 && iapeer install",
  ]);
  assert.deepEqual(judged({ running: false }), [
    "problem: installed and loaded, but it does not run → iapeer install",
  ]);
  assert.deepEqual(judged({ running: false }, { pid: 99 }).map((line) => line.split(":")[0]), [
    "problem",
    "warning",
  ]);
  assert.deepEqual(judged({ loaded: false, running: false }), [
    "problem: installed, but systemd has not loaded it → iapeer install",
  ]);
  const { loaded: _loaded, running: _running, ...unseen } = SYSTEMD;
  assert.deepEqual(
    lines(judgeService({ ...unseen, trouble: "systemctl: no bus" }, undefined, false, command)),
    ["warning: could not look: systemctl: no bus"],
  );
  assert.match(judged({ installed: false })[0]!, /^warning: not installed, and no supervisor runs/);
  assert.match(
    judged({ installed: false }, { pid: 99 })[0]!,
    /^warning: not installed: supervisor 99 was started by hand/,
  );
});

Deno.test("judgeService() takes a supervisor run by other means where there is no manager", () => {
  const of = (service: ServiceState, supervisor?: { pid: number }) =>
    judgeService(service, supervisor, false, command)[0]!;
  assert.deepEqual(lines([of(NO_SERVICE, { pid: 7 })]), [
    "ok: neither launchd nor systemd is at work here; supervisor 7 is at work",
  ]);
  assert.equal(of(NO_SERVICE).level, "warning");
  assert.equal(of(NO_SERVICE).remedy, "iapeer supervise");
  assert.deepEqual(lines([of({ ...NO_SERVICE, trouble: "HOME is not set" })]), [
    "warning: could not look: HOME is not set",
  ]);
});

Deno.test("checkService() knows a supervisor of the service by its parents", async () => {
  const rows = [row(1, { ppid: 0 }), row(700), row(701, { ppid: 700 }), row(99, { ppid: 50 })];
  assert.deepEqual(ancestorsOf(rows, 701), [701, 700, 1]);
  assert.deepEqual(ancestorsOf([row(5, { ppid: 6 }), row(6, { ppid: 5 })], 5), [5, 6]);
  const of = (pid: number | undefined) =>
    patient({
      service: () => Promise.resolve(SYSTEMD),
      supervisor: () => Promise.resolve(pid === undefined ? {} : { pid }),
      processes: () => Promise.resolve(rows),
    });
  const said = async (pid: number | undefined) => lines(await checkService(of(pid)));
  assert.equal((await said(700)).length, 1);
  assert.equal((await said(701)).length, 1, "sh and the program it has started");
  assert.equal((await said(undefined)).length, 1, "one that has not noted its pid yet");
  assert.match((await said(99))[1]!, /supervisor 99 is at work outside/);
});

Deno.test("checkVersion() compares the supervisor and the service's program with this one", async () => {
  const said = async (
    version: string | undefined,
    answer: (tool: string) => Partial<ToolResult> = () => ({}),
    service: ServiceState = SYSTEMD,
  ) =>
    lines(
      await checkVersion(patient({
        answer,
        service: () => Promise.resolve(service),
        supervisor: () =>
          Promise.resolve(version === "none" ? undefined : { ...version && { version } }),
      })),
    );
  const program = (result: Partial<ToolResult>) => (tool: string) => tool === "test" ? {} : result;
  assert.deepEqual(await said("1.2.3"), ["ok: this program and the supervisor: 1.2.3"]);
  assert.deepEqual(await said("1.2.0"), [
    "warning: the supervisor is of version 1.2.0, this program of 1.2.3",
  ]);
  assert.match((await said(undefined))[0]!, /^warning: the supervisor is of version unknown/);
  assert.deepEqual(await said("none", program({ stdout: "1.2.3\n" })), [
    "ok: this program: 1.2.3; no supervisor runs",
  ]);
  assert.deepEqual(await said("1.2.3", program({ stdout: "1.2.0\n" })), [
    "ok: this program and the supervisor: 1.2.3",
    "warning: the service's program is of version 1.2.0, this one of 1.2.3",
  ]);
  assert.deepEqual(await said("1.2.3", program({ stdout: "deno 2.9.6 (stable)\n" })), [
    "ok: this program and the supervisor: 1.2.3",
  ]);
  const refused = program({ code: undefined, failure: "not permitted" });
  assert.deepEqual(await said("1.2.3", refused), ["ok: this program and the supervisor: 1.2.3"]);
  assert.deepEqual(await said("none", refused), [
    "warning: could not look: /home/bob/.local/bin/iapeer may not be run from here",
  ]);
  assert.deepEqual(
    (await said("1.2.3", (tool) => ({ code: tool === "test" ? 1 : 0 })))[1],
    "problem: the service's program is gone: /home/bob/.local/bin/iapeer",
  );
  assert.deepEqual(await said("none", undefined, NO_SERVICE), [
    "ok: this program: 1.2.3; no supervisor runs",
  ]);
});

Deno.test("judgeSettings() wants what lets sessions outlive the service", () => {
  const of = (settings: Record<string, string>, more: Partial<ServiceState> = {}) =>
    lines(judgeSettings(
      { ...SYSTEMD, settings: { ...SYSTEMD.settings, ...settings }, ...more },
      "iapeer install",
    ));
  assert.deepEqual(of({}), [
    "ok: KillMode=process, OOMPolicy=continue, Delegate=yes, UnitFileState=enabled, Linger=yes",
  ]);
  assert.deepEqual(of({ KillMode: "control-group" }), [
    "problem: KillMode is control-group, not process: every session dies when the service stops " +
    "or restarts",
  ]);
  assert.deepEqual(
    of({ OOMPolicy: "stop", Delegate: "no", UnitFileState: "disabled" }).map((line) =>
      line.split(" is ")[0]
    ),
    ["warning: OOMPolicy", "warning: Delegate", "warning: UnitFileState"],
  );
  const [linger] = judgeSettings(
    { ...SYSTEMD, settings: { ...SYSTEMD.settings, Linger: "no" } },
    "iapeer install",
  );
  assert.equal(linger!.level, "warning");
  assert.equal(linger!.remedy, "loginctl enable-linger");
  assert.deepEqual(of({}, { settings: {}, trouble: "no bus" }), [
    "warning: could not look at KillMode, OOMPolicy, Delegate, UnitFileState, Linger: no bus",
  ]);
  const { Linger: _linger, ...rest } = SYSTEMD.settings;
  assert.deepEqual(of({}, { settings: rest }), [
    "warning: could not look at Linger: systemd does not tell",
  ]);
});

Deno.test("judgeSettings() takes what is not in a property list for unset", async () => {
  const of = (settings: Record<string, string>) =>
    lines(judgeSettings({ ...LAUNCHD, settings }, "x"));
  assert.deepEqual(of({ AbandonProcessGroup: "true" }), ["ok: AbandonProcessGroup=yes"]);
  assert.match(of({})[0]!, /^warning: AbandonProcessGroup is not set, not yes: launchd kills/);
  assert.match(of({ AbandonProcessGroup: "false" })[0]!, /^warning: AbandonProcessGroup is false/);
  assert.deepEqual(await checkSettings(patient()), []);
});

Deno.test("judgeSessions() tells what is the matter, and leaves alone what is at work just now", () => {
  const judged = (...known: ReturnType<typeof session>[]) =>
    judgeSessions({ known, damaged: [] }, patient());
  assert.deepEqual(lines(judged()), ["ok: none yet"]);
  const stopped = session("old-one", { status: { state: "stopped" } });
  assert.deepEqual(lines(judged(session("claude-bob"), stopped)), ["ok: 2 sessions, 1 at work"]);
  const gone = { status: { state: "gone" } } as const;
  const said = judged(
    session("a-a", gone),
    session("b-b", gone),
    session("c-c", { status: { state: "crash-loop" } }),
    session("d-d", { status: { state: "unreachable" } }),
    session("e-e", { ...gone, busy: true }),
  );
  assert.deepEqual(lines(said), [
    "warning: gone, and not looked after yet: a-a, b-b",
    "warning: c-c is left alone after several deaths in a row",
    "warning: d-d does not answer: its server is busy, or held up by a signal",
  ]);
  assert.deepEqual(said.map(({ remedy }) => remedy), [
    "iapeer supervise --once",
    "iapeer deaths c-c\niapeer start c-c",
    "kill -CONT 4242\niapeer status d-d",
  ]);
  const damaged = judgeSessions({
    known: [],
    damaged: [
      { identity: "x-x", trouble: { kind: "corrupt", why: "no sock" } },
      { identity: "y-y", trouble: { kind: "newer", why: "format 2" } },
      { identity: "z-z", trouble: { kind: "closed", why: "EACCES" } },
    ],
  }, patient());
  assert.deepEqual(lines(damaged), [
    "problem: x-x: its record is damaged (no sock); a tick sets it aside",
    "problem: y-y: a newer iapeer has written its record (format 2); run that one",
    "problem: z-z: its record may not be read (EACCES)",
  ]);
  assert.deepEqual(damaged.map(({ remedy }) => remedy), [
    "iapeer supervise --once",
    "iapeer install",
    "chmod 600 /nowhere/root/state/sessions/z-z.json",
  ]);
});

Deno.test("judgeCanaries() wants one for every server that lives", () => {
  const of = patient({ root: "/nowhere/my root", made: false });
  const judged = (...known: ReturnType<typeof session>[]) => judgeCanaries(known, of);
  assert.deepEqual(lines(judged()), ["ok: nothing to watch"]);
  const attached = session("b-b", {
    status: { canary: { state: "armed", pid: 1, mode: "attach" } },
  });
  assert.deepEqual(lines(judged(session("a-a"), attached)), ["ok: all 2 armed (1 own, 1 attach)"]);
  const missing = { canary: { state: "missing" } } as const;
  const said = judged(
    session("a-a", { status: missing }),
    session("b-b", { status: missing, busy: true }),
    session("c-c", { status: { ...missing, state: "stopped" } }),
    session("d-d", { status: { canary: { state: "failed" } } }),
  );
  assert.deepEqual(lines(said), [
    "warning: nobody watches a-a; the next tick arms a canary",
    "problem: it cannot be told who watches d-d: the lock cannot be opened",
  ]);
  assert.deepEqual(said.map(({ remedy }) => remedy), [
    "iapeer supervise --once",
    "chmod 600 '/nowhere/my root/state/locks/d-d.canary'",
  ]);
});

Deno.test("keeperOf() tells with whom a server goes down", () => {
  const home = { handedOver: false, ancestors: [42, 41, 1] };
  const service = { pid: 700, unit: "iapeer.service" };
  const units = (...units: string[]) => ({ ...home, units });
  const linux = (at: Parameters<typeof keeperOf>[1], keeper = service) =>
    keeperOf("linux", at, keeper);
  assert.equal(linux(units("user.slice", "user-1000.slice", "session-3.scope")), "login");
  assert.equal(
    linux(units("user.slice", "user@1000.service", "app.slice", "iapeer.service")),
    "service",
  );
  assert.equal(linux(units("system.slice", "cron.service")), "nobody");
  assert.equal(linux(units()), "nobody");
  assert.equal(linux(home), "unknown");
  assert.equal(linux({ ...units("session-3.scope"), ancestors: [42, 700, 1] }), "service");
  const mac = (at: Parameters<typeof keeperOf>[1], keeper?: typeof service) =>
    keeperOf("darwin", at, keeper);
  assert.equal(mac({ ...home, ancestors: [42, 41, 700, 1] }, service), "service");
  assert.equal(mac({ ...home, handedOver: true }, service), "service");
  assert.equal(mac({ ...home, handedOver: true }), "unknown", "no service runs");
  assert.equal(
    mac(home, service),
    "unknown",
    "its canary's parent is launchd, whoever launched it",
  );
});

Deno.test("judgeTerminal() warns of logouts that logind makes deadly, and of terminals on macOS", () => {
  const kept = {
    login: [],
    unknown: [],
    all: 2,
    kills: undefined,
    install: undefined,
    anew: (names: readonly string[]) => `anew ${names.join(" ")}`,
  };
  const said = (platform: string, over: object) =>
    judgeTerminal(platform, { ...kept, ...over })[0]!;
  assert.deepEqual(lines([said("linux", {})]), ["ok: 2 servers, none in a login session"]);
  assert.deepEqual(lines([said("darwin", {})]), ["ok: 2 servers, launched by the service"]);
  const login = ["a-a"];
  assert.match(
    lines([said("linux", { login, kills: false })])[0]!,
    /^ok: in a login session: a-a; logind leaves/,
  );
  assert.match(
    lines([said("linux", { login, kills: true })])[0]!,
    /^warning: in a login session: a-a; logind kills/,
  );
  assert.match(lines([said("linux", { login })])[0]!, /^warning: .* logind does not tell/);
  assert.equal(said("linux", { login, kills: true }).remedy, "anew a-a");
  assert.equal(
    said("linux", { login, kills: true, install: "iapeer install" }).remedy,
    "iapeer install\nanew a-a",
  );
  assert.match(
    lines([said("linux", { unknown: ["b-b"] })])[0]!,
    /^warning: could not tell in which/,
  );
  const mac = said("darwin", { unknown: ["a-a", "b-b"] });
  assert.match(
    mac.text,
    /^could not tell whether a-a, b-b belong to the service or to the terminal/,
  );
  assert.equal(mac.remedy, "anew a-a b-b");
});

Deno.test("checkTerminal() asks once for the cgroups of all servers, and logind only where it matters", async () => {
  const asked: string[] = [];
  const cgroup: Record<string, string> = {
    "4242": "0::/user.slice/user-1000.slice/session-3.scope\n",
    "4300": "0::/user.slice/user-1000.slice/user@1000.service/app.slice/iapeer.service\n",
  };
  const answer = (tool: string, args: readonly string[]): Partial<ToolResult> => {
    asked.push(`${tool} ${args.length}`);
    if (tool === "loginctl") return { stdout: "KillUserProcesses=yes\n" };
    return {
      stdout: Object.entries(cgroup).map(([pid, text]) => `${pid} (tmux: server) S 1 2 3\n${text}`)
        .join(""),
    };
  };
  const of = (...known: ReturnType<typeof session>[]): Examined =>
    patient({
      answer,
      service: () => Promise.resolve(SYSTEMD),
      sessions: () => Promise.resolve({ known, damaged: [] }),
    });
  const served = session("codex-ann", { record: { server: { pid: 4300, startedAt: 1 } } });
  const said = await checkTerminal(of(session("claude-bob"), served));
  assert.deepEqual(lines(said), [
    "warning: in a login session: claude-bob; logind kills what runs there at logout",
  ]);
  assert.equal(said[0]!.remedy, "iapeer stop claude-bob && iapeer start claude-bob");
  assert.deepEqual(asked, ["cat 4", "loginctl 2"]);
  asked.length = 0;
  assert.deepEqual(lines(await checkTerminal(of(served))), [
    "ok: 1 server, none in a login session",
  ]);
  assert.deepEqual(asked, ["cat 2"]);
  const external = session("x-y", { record: { external: true } });
  assert.deepEqual(await checkTerminal(of(external)), []);
});

Deno.test("parseUnits() keeps apart what several processes tell", () => {
  const units = parseUnits(
    "7 (a (b) c) S 1\n12:pids:/x\n1:name=systemd:/user.slice/session-2.scope\n0::/\n" +
      "8 (sh) S 1\n0::/system.slice/cron.service\n9 (gone) Z 1\n",
  );
  assert.deepEqual([...units], [
    [7, ["user.slice", "session-2.scope"]],
    [8, ["system.slice", "cron.service"]],
  ]);
});

const ROOT = "/srv/my root";

Deno.test("serversIn() tells servers of a root from clients and from those of others", () => {
  const sock = `${ROOT}/run/claude-bob.sock`;
  const linux = (ucomm: string, command: string) => row(5, { ucomm, command });
  const found = (...rows: ReturnType<typeof row>[]) => serversIn(rows, [ROOT, "/real/root"]);
  const bob = [{ pid: 5, identity: "claude-bob" }];
  assert.deepEqual(found(linux("tmux: server", `/usr/bin/tmux -D -S ${sock}`)), bob);
  assert.deepEqual(found(linux("tmux: server", `tmux -S ${sock} new-session -d`)), bob);
  assert.deepEqual(
    found(linux("tmux: server", "tmux -D -S /real/root/run/claude-bob.sock -f x")),
    bob,
  );
  assert.deepEqual(found(linux("tmux: client", `tmux -N -S ${sock} wait-for x`)), []);
  assert.deepEqual(found(linux("tmux: server", `tmux -D -S ${sock}.old`)), []);
  assert.deepEqual(found(linux("tmux: server", "tmux -D -S /other/run/claude-bob.sock")), []);
  assert.deepEqual(found(linux("vi", `vi tmux -D -S ${sock}`)), []);
  assert.deepEqual(
    found(row(5, { ucomm: "tmux: server", stat: "Zs", command: `tmux -D -S ${sock}` })),
    [],
  );
  // macOS lets no program change the name under which it runs.
  const mac = (ppid: number, command: string) => row(5, { ppid, ucomm: "tmux", command });
  assert.deepEqual(found(mac(40, `/opt/homebrew/bin/tmux -D -S ${sock}`)), bob);
  assert.deepEqual(found(mac(1, `tmux -f /dev/null -S ${sock} new-session -d sleep 9`)), bob);
  assert.deepEqual(found(mac(40, `tmux -S ${sock} new-session`)), [], "its client, on a terminal");
  assert.deepEqual(found(mac(1, `tmux -N -S ${sock} wait-for iap-canary-claude-bob`)), []);
  assert.deepEqual(found(mac(1, `tmux -S ${sock} attach`)), []);
});

Deno.test("canariesIn() knows the canaries that iapeer started on a root", () => {
  const found = (command: string, stat = "Ssl") =>
    canariesIn([row(5, { command, stat })], [ROOT]).map(({ identity }) => identity);
  const end = `--root ${ROOT}`;
  assert.deepEqual(found(`iapeer canary --own 1795340498722 --identity claude-bob ${end}`), [
    "claude-bob",
  ]);
  assert.deepEqual(found(`deno run main.ts canary --identity codex-ann --sock /a b ${end}`), [
    "codex-ann",
  ]);
  assert.deepEqual(found(`iapeer canary --identity codex-ann --sock /x ${end}-other`), []);
  assert.deepEqual(found(`iapeer supervise ${end}`), []);
  assert.deepEqual(found(`iapeer canary --identity codex-ann --sock /x ${end}`, "Z"), []);
});

Deno.test("checkStrays() says nothing of canaries that gather evidence, or of sessions that are being worked on", () =>
  withRoot(async (ctx) => {
    const { root } = ctx.paths;
    const canary = row(5, {
      command: `iapeer canary --identity claude-bob --sock /x --root ${root}`,
    });
    const server = row(6, {
      ucomm: "tmux: server",
      command: `tmux -D -S ${ctx.paths.sock("claude-bob")}`,
    });
    const of = (...known: ReturnType<typeof session>[]) =>
      patient({
        root,
        processes: () => Promise.resolve([canary, server]),
        sessions: () => Promise.resolve({ known, damaged: [] }),
      });
    const said = await checkStrays(of());
    assert.deepEqual(lines(said).map((line) => line.split(";")[0]), [
      "warning: tmux server 6 of claude-bob: no session knows it, and its socket is gone",
      "warning: canary 5 of claude-bob watches nothing",
    ]);
    assert.match(said[0]!.remedy!, /^kill -USR1 6 && .* attach\nkill 6$/);
    assert.equal(said[1]!.remedy, "kill 5");
    const another = session("claude-bob", { record: { server: { pid: 7, startedAt: 1 } } });
    assert.match(lines(await checkStrays(of(another)))[0]!, /another one has taken its socket/);
    assert.deepEqual(lines(await checkStrays(of({ ...another, busy: true }))), [
      "ok: every server and canary of this root is known",
    ]);
    const known = session("claude-bob", { record: { server: { pid: 6, startedAt: 1 } } });
    Deno.writeTextFileSync(ctx.paths.death("claude-bob-7-1000"), '{"step":"recorded"}');
    assert.deepEqual(lines(await checkStrays(of(known))), [
      "ok: every server and canary of this root is known",
    ]);
    Deno.writeTextFileSync(ctx.paths.death("claude-bob-7-1000"), '{"step":"closed"}');
    assert.match(lines(await checkStrays(of(known)))[0]!, /canary 5 of claude-bob watches nothing/);
  }));
