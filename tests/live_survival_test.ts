/**
 * Ten sessions live through everything that can happen to their supervisor
 * when it is a service: killed, stopped, restarted, upgraded.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import type { SessionStatus } from "../lib/status.ts";
import { assertRecorded, assertSilent, Live, type Session, SLEEP } from "./live.ts";
import { isRunning, processesOf, readLog, sendSignal, untilGone } from "./live_host.ts";
import { Installed, KINDS, Service } from "./live_service.ts";

const SESSIONS = 10;
/** Those that come up anew before anything happens, by the supervisor's own hands. */
const LAST = ["claude-n8", "claude-n9"];

for (const kind of KINDS) {
  Deno.test(`${kind}: sessions survive whatever happens to their supervisor`, async (t) => {
    await using live = await Live.open();
    const program = await Installed.install(live);
    // It ticks when it begins, and when something happens.
    const job = program.command(["supervise", "--interval", "3600", "--verbose"]);
    await using service = await Service.define(live, kind, job);
    const fleet: Session[] = [];
    // What comes after a step that failed would only fail, too.
    const step = async (name: string, run: () => Promise<void>) =>
      assert(await t.step(name, run), name);

    await step("the first start makes the root; sessions come up", async () => {
      assert.throws(() => Deno.statSync(live.root), Deno.errors.NotFound);
      await service.up();
      await atWork(live, service);
      assert.equal(Deno.statSync(live.root).mode! & 0o777, 0o700);
      for (let n = 0; n < SESSIONS; n += 2) {
        const two = [
          launch(live, program, `claude-n${n}`),
          launch(live, program, `claude-n${n + 1}`),
        ];
        fleet.push(...await Promise.all(two));
      }
      // The last ones are the supervisor's own children, whoever launched them.
      const own = fleet.splice(-2).map((session) => startedAgain(live, session));
      fleet.push(...await Promise.all(own));
      await assertAllLive(live, fleet);
    });

    await step("the supervisor is killed: it is started again, all live on", async () => {
      const control = await controlOf(service);
      const old = await service.pid();
      await service.kill("SIGKILL");
      await untilGone(control, "what shared the supervisor's process group");
      assert.notEqual(await atWork(live, service), old);
      await ticked(live, service, fleet);
      await assertAllLive(live, fleet);
    });

    await step("the service is stopped with its process group, and started again", async () => {
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
      await step(`${how}: another supervisor, the same sessions`, async () => {
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

    await step("another build takes its place: older canaries go on working", async () => {
      await program.replace();
      // The new build's client, and a supervisor that is still the old build.
      fleet.push(await launch(live, program, "claude-between"));
      await assertAllLive(live, fleet);
      await service.restart();
      await ticked(live, service, fleet);
      await program.removeReplaced();
      await assertAllLive(live, fleet);
      const [dead] = fleet.splice(0, 1) as [Session];
      sendSignal(dead.serverPid, "SIGKILL");
      await assertRecorded(live, dead, { cause: "signal", signal: "SIGKILL", mode: "own" });
      await assertBooks(live, [dead.identity]);
      fleet.push(await launch(live, program, "claude-young"));
      await assertAllLive(live, fleet);
    });

    await step("deaths while there is no supervisor are recorded once", async () => {
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
      assert.equal(fleet.length, SESSIONS + 2 - 7);
    });

    await service.down();
    await program.cli(["stop", "--all"]);
  });
}

/** Sleeps for good, but fails first if it is told to. */
const FAILS_ONCE =
  'until [ -e "$1.failed" ]; do sleep 0.05; if [ -e "$1" ]; then mv "$1" "$1.failed"; exit 1; fi; done; ' +
  "exec sleep 10000";

async function launch(live: Live, program: Installed, identity: string): Promise<Session> {
  const restarted = LAST.includes(identity);
  const policy = restarted ? ["--restart", "on-failure"] : [];
  const argv = restarted ? ["sh", "-c", FAILS_ONCE, "sh", join(live.base, identity)] : SLEEP;
  const flags = ["--identity", identity, "--cwd", live.base, ...policy, "--json"];
  return JSON.parse((await program.cli(["launch", ...flags, "--", ...argv])).stdout);
}

/** Has a session fail, so that the supervisor starts it again. */
async function startedAgain(live: Live, { identity, serverPid }: Session): Promise<Session> {
  await Deno.writeTextFile(join(live.base, identity), "");
  return await live.until(`${identity} runs again`, async () => {
    const { state, server, canary, sock } = await live.status(identity);
    return state === "alive" && canary.state === "armed" && server!.pid !== serverPid &&
      { identity, serverPid: server!.pid, canaryPid: canary.pid!, sock };
  });
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
