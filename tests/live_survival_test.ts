/**
 * Ten sessions live through everything that can happen to their supervisor
 * when it is a service: killed, stopped, restarted, upgraded.
 */

import assert from "node:assert/strict";
import type { SessionStatus } from "../lib/status.ts";
import { assertRecorded, assertSilent, Live, type Session, SLEEP } from "./live.ts";
import { isRunning, processesOf, readLog, sendSignal, untilGone } from "./live_host.ts";
import { Installed, KINDS, Service } from "./live_service.ts";

const SESSIONS = 10;

for (const kind of KINDS) {
  Deno.test(`${kind}: sessions survive whatever happens to their supervisor`, async (t) => {
    await using live = await Live.open();
    const program = await Installed.install(live);
    // It ticks when it begins, and when something happens.
    const job = program.command(["supervise", "--interval", "3600", "--verbose"]);
    await using service = await Service.define(live, kind, job);
    const fleet: Session[] = [];

    await t.step("the first start makes the root; sessions come up", async () => {
      assert.throws(() => Deno.statSync(live.root), Deno.errors.NotFound);
      await service.up();
      await atWork(live, service);
      assert.equal(Deno.statSync(live.root).mode! & 0o777, 0o700);
      while (fleet.length < SESSIONS) {
        const two = [0, 1].map((n) => launch(live, program, `claude-n${fleet.length + n}`));
        fleet.push(...await Promise.all(two));
      }
      await assertAllLive(live, fleet);
    });

    await t.step("the supervisor is killed: it is started again, all live on", async () => {
      const control = await controlOf(service);
      const old = await service.pid();
      await service.kill("SIGKILL");
      await untilGone(control, "what shared the supervisor's process group");
      assert.notEqual(await atWork(live, service), old);
      await ticked(live, service, fleet);
      await assertAllLive(live, fleet);
    });

    await t.step("the service is stopped with its process group, and started again", async () => {
      const control = await controlOf(service);
      await service.stop();
      await untilGone(control, "what shared the supervisor's process group");
      assert.equal(await service.pid(), undefined);
      await assertAllLive(live, fleet);
      await service.up();
      await ticked(live, service, fleet);
      await assertAllLive(live, fleet);
    });

    for (const how of ["restart", "SIGHUP"] as const) {
      await t.step(`${how}: another supervisor, the same sessions`, async () => {
        const control = await controlOf(service);
        const old = await service.pid();
        if (how === "restart") await service.restart();
        else await service.kill(how);
        await untilGone(control, "what shared the supervisor's process group");
        assert.notEqual(await atWork(live, service), old);
        await ticked(live, service, fleet);
        await assertAllLive(live, fleet);
      });
    }

    await t.step("another build takes its place: older canaries go on working", async () => {
      await program.replace();
      await assertAllLive(live, fleet);
      await service.restart();
      await ticked(live, service, fleet);
      await assertAllLive(live, fleet);
      const [dead] = fleet.splice(0, 1) as [Session];
      sendSignal(dead.serverPid, "SIGKILL");
      await assertRecorded(live, dead, { cause: "signal", signal: "SIGKILL", mode: "own" });
      await assertBooks(live, [dead.identity]);
      fleet.push(await launch(live, program, "claude-young"));
      await assertAllLive(live, fleet);
    });

    await t.step("deaths while there is no supervisor are recorded once", async () => {
      await service.stop();
      const watched = fleet.splice(0, 3);
      const unwatched = fleet.splice(0, 2);
      const [wanted] = fleet.splice(0, 1) as [Session];
      for (const { canaryPid } of unwatched) {
        sendSignal(canaryPid, "SIGKILL");
        await untilGone(canaryPid, "the canary");
      }
      for (const { serverPid } of [...watched, ...unwatched]) sendSignal(serverPid, "SIGKILL");
      await program.cli(["stop", wanted.identity]);
      for (const session of watched) {
        await assertRecorded(live, session, { cause: "signal", signal: "SIGKILL", mode: "own" });
      }
      assert.equal(live.records("server-exit").length, 1 + watched.length, "nobody saw the others");
      await service.up();
      await ticked(live, service, [...watched, ...unwatched, wanted, ...fleet]);
      const dead = [...watched, ...unwatched].map(({ identity }) => identity);
      await assertBooks(live, ["claude-n0", ...dead]);
      const missed = { witness: "supervise", cause: "unobserved" };
      for (const session of unwatched) await assertRecorded(live, session, missed);
      await assertSilent(live, wanted);
      await assertAllLive(live, fleet);
      assert.equal(fleet.length, SESSIONS - 6);
    });

    await service.down();
    await program.cli(["stop", "--all"]);
  });
}

async function launch(live: Live, program: Installed, identity: string): Promise<Session> {
  const { stdout } = await program.cli([
    "launch",
    "--identity",
    identity,
    "--cwd",
    live.base,
    "--json",
    "--",
    ...SLEEP,
  ]);
  return JSON.parse(stdout);
}

/** Waits until the supervisor that the service runs now is at work; gives its pid. */
function atWork(live: Live, service: Service): Promise<number> {
  return live.until("the supervisor is at work", async () => {
    const pid = await service.pid();
    const lines = (await Deno.readTextFile(service.log).catch(() => "")).split("\n");
    return pid !== undefined && lines.includes(`SUPERVISING root=${live.root} pid=${pid}`) && pid;
  });
}

/** Waits until the present supervisor has looked at these sessions. */
async function ticked(live: Live, service: Service, sessions: readonly Session[]): Promise<void> {
  const pid = String(await atWork(live, service));
  await live.until("its first tick", () => {
    const lines = readLog(live.ctx.paths.lifecycleLog);
    const from = lines.findLastIndex((line) =>
      line["ev"] === "supervise-started" && line["pid"] === pid
    );
    const looked = lines.slice(from).filter((line) => line["ev"] === "tick");
    return from !== -1 &&
      sessions.every(({ identity }) => looked.some((line) => line["identity"] === identity));
  });
}

/** A process that shares the supervisor's process group, and lives. */
async function controlOf(service: Service): Promise<number> {
  const { leader, control } = service.group()!;
  assert.equal(leader, await service.pid());
  assert(await isRunning(control));
  return control;
}

/** Same servers, same canaries, each at work. */
async function assertAllLive(live: Live, sessions: readonly Session[]): Promise<void> {
  const { stdout } = await live.cli(["status", "--json"]);
  const all = JSON.parse(stdout) as SessionStatus[];
  const running = new Set((await processesOf(live.base)).map(({ pid }) => pid));
  for (const { identity, serverPid, canaryPid, sock } of sessions) {
    const one = all.find((status) => status.identity === identity);
    assert.equal(one?.state, "alive", identity);
    assert.equal(one.server?.pid, serverPid, identity);
    assert.deepEqual(one.canary, { state: "armed", pid: canaryPid, mode: "own" }, identity);
    assert(running.has(serverPid) && running.has(canaryPid), identity);
    assert.equal((await live.tmux(sock, "has-session", "-t", `=${identity}`)).code, 0, identity);
    assert.deepEqual(live.records("server-exit", identity), []);
  }
}

/** One record and one verdict for each of these, and none of any other. */
async function assertBooks(live: Live, dead: readonly string[]): Promise<void> {
  const verdicts = () => live.records("server-verdict").filter((one) => !("revises" in one));
  await live.until("the verdicts", () => verdicts().length >= dead.length);
  // Whatever could add to them has had its turn then.
  await live.tick();
  const identities = (lines: readonly Record<string, string>[]) =>
    lines.map((line) => line["identity"]).sort();
  assert.deepEqual(identities(live.records("server-exit")), [...dead].sort());
  assert.deepEqual(identities(verdicts()), [...dead].sort());
}
