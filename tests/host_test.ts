import assert from "node:assert/strict";
import {
  bootId,
  denoHost,
  type Host,
  type Incarnation,
  incarnationOf,
  inspect,
  liveness,
  livenessOf,
  sameIncarnation,
  sendSignal,
  waitGone,
} from "../lib/host.ts";
import { type Child, spawnChild } from "../lib/process.ts";
import { noTools, toolsThat, until } from "./fixtures/root.ts";

const nobodyAnswers: Host = { ...denoHost, tools: noTools };

function macos(answer: Parameters<typeof toolsThat>[0]): Host {
  return { ...denoHost, platform: "darwin", tools: toolsThat(answer) };
}

/** Runs `work` with a process that sleeps, and sees to its end. */
async function withSleeper(
  work: (sleeper: Incarnation, child: Child) => Promise<void>,
): Promise<void> {
  const child = spawnChild("sleep", ["60"]);
  try {
    await work((await incarnationOf(denoHost, child.pid))!, child);
  } finally {
    child.kill("SIGKILL");
    await child.ended;
  }
}

Deno.test("inspect() sees those that exist, in one spawn", async () => {
  let spawns = 0;
  const counted: Host = {
    ...denoHost,
    tools: {
      run: (...args) => {
        spawns++;
        return denoHost.tools.run(...args);
      },
    },
  };
  await withSleeper(async (sleeper) => {
    const infos = (await inspect(counted, [Deno.pid, sleeper.pid, 2 ** 22 + 1, 0, -1, NaN]))!;
    assert.deepEqual([...infos.keys()].sort(), [Deno.pid, sleeper.pid].sort());
    assert.equal(infos.get(sleeper.pid)!.ppid, Deno.pid);
    assert.equal(spawns, 1);
    const age = denoHost.now() / 1000 - sleeper.startedAt;
    assert(age > -3 && age < 60, `${age}`);
  });
});

Deno.test("inspect() asks nobody about nothing", async () => {
  assert.deepEqual(await inspect(nobodyAnswers, [0, -1]), new Map());
});

Deno.test("inspect() does not take silence for absence", async () => {
  assert.equal(await inspect(nobodyAnswers, [1]), undefined);
  assert.equal(await livenessOf(nobodyAnswers, { pid: Deno.pid, startedAt: 0 }), "unknown");
  assert.equal(await incarnationOf(nobodyAnswers, Deno.pid), undefined);
  const late = { ...denoHost, tools: toolsThat(() => ({ timedOut: true, stdout: "btime 1\n" })) };
  assert.equal(await inspect(late, [1]), undefined);
});

Deno.test("inspect() asks ps on macOS", async () => {
  const ps = macos((tool, args) => {
    assert.equal(tool, "ps");
    assert.equal(args.at(-1), "42,43");
    return { code: 1, stdout: "   42     1 Ss   Sun Nov 22 06:28:14 2026\n" };
  });
  const infos = (await inspect(ps, [42, 43]))!;
  assert.deepEqual([...infos.keys()], [42]);
  assert.equal(infos.get(42)!.startTicks, undefined);
  assert.deepEqual(await inspect(macos(() => ({ code: 1 })), [42]), new Map());
  const denied = macos(() => ({ code: 1, stderr: "ps: sysctl: denied\n" }));
  assert.equal(await inspect(denied, [42]), undefined);
});

Deno.test("sameIncarnation() goes by ticks, and by seconds where there are none", () => {
  const is = (a: Partial<Incarnation>, b: Partial<Incarnation>, same: boolean) => {
    const base = { pid: 42, startedAt: 1000 };
    assert.equal(sameIncarnation({ ...base, ...a }, { ...base, ...b }), same);
    assert.equal(sameIncarnation({ ...base, ...b }, { ...base, ...a }), same);
  };
  is({}, {}, true);
  is({}, { pid: 43 }, false);
  is({}, { startedAt: 1002 }, true);
  is({}, { startedAt: 1003 }, false);
  is({ startTicks: 7 }, { startTicks: 7, startedAt: 5000 }, true);
  is({ startTicks: 7 }, { startTicks: 8 }, false);
  is({ startTicks: 7 }, { startedAt: 1002 }, true);
  is({ startTicks: 7 }, { startedAt: 1003 }, false);
});

Deno.test("liveness() tells alive, stopped, gone and unknown apart", () => {
  const info = {
    pid: 42,
    ppid: 1,
    startedAt: 1000,
    startTicks: 7,
    zombie: false,
    stopped: false,
  };
  const of = (fields: Partial<typeof info>) =>
    liveness(new Map([[42, { ...info, ...fields }]]), { pid: 42, startedAt: 1000, startTicks: 7 });
  assert.equal(of({}), "alive");
  assert.equal(of({ stopped: true }), "stopped");
  assert.equal(of({ zombie: true }), "gone");
  assert.equal(of({ startTicks: 8 }), "gone");
  assert.equal(liveness(new Map(), info), "gone");
  assert.equal(liveness(undefined, info), "unknown");
});

Deno.test("livenessOf() calls a zombie gone for as long as nobody reaps it", async () => {
  // It execs into a program that knows nothing of the child it has.
  const parent = spawnChild("sh", ["-c", "sleep 60 & echo $!; exec sleep 60"], { stdout: true });
  try {
    const reader = parent.stdout!.getReader();
    const pid = Number(new TextDecoder().decode((await reader.read()).value));
    await reader.cancel();
    // The shell itself would reap a child that ends before the exec.
    await until(
      "the exec",
      async () =>
        (await denoHost.tools.run("ps", ["-o", "args=", "-p", `${parent.pid}`])).stdout ===
          "sleep 60\n",
    );
    Deno.kill(pid, "SIGKILL");
    await until("a zombie", async () => (await inspect(denoHost, [pid]))!.get(pid)!.zombie);
    const { startedAt, startTicks } = (await inspect(denoHost, [pid]))!.get(pid)!;
    const zombie = { pid, startedAt, ...(startTicks === undefined ? {} : { startTicks }) };
    assert.equal((await denoHost.tools.run("kill", ["-0", String(pid)])).code, 0);
    assert.equal(await livenessOf(denoHost, zombie), "gone");
    assert.equal(await waitGone(denoHost, zombie, 0), true);
    assert.equal(await incarnationOf(denoHost, pid), undefined);
    assert.equal(await sendSignal(denoHost, zombie, "TERM"), false);
  } finally {
    parent.kill("SIGKILL");
    await parent.ended;
  }
});

Deno.test("livenessOf() tells a stopped process from a living one", () =>
  withSleeper(async (sleeper) => {
    assert.equal(await livenessOf(denoHost, sleeper), "alive");
    assert.equal(await sendSignal(denoHost, sleeper, "STOP"), true);
    await until("it stops", async () => await livenessOf(denoHost, sleeper) === "stopped");
    assert.equal(await waitGone(denoHost, sleeper, 0), false);
    assert.equal(await sendSignal(denoHost, sleeper, "KILL"), true);
    assert.equal(await waitGone(denoHost, sleeper, 10_000), true);
  }));

Deno.test("sendSignal() leaves another incarnation of the pid alone", () =>
  withSleeper(async (sleeper) => {
    const { startTicks, ...seconds } = sleeper;
    const others = [
      { ...seconds, startedAt: sleeper.startedAt - 10 },
      ...(startTicks === undefined ? [] : [{ ...sleeper, startTicks: startTicks - 1 }]),
    ];
    for (const other of others) {
      assert.equal(await sendSignal(denoHost, other, "KILL"), false);
      assert.equal(await livenessOf(denoHost, other), "gone");
    }
    assert.equal(await livenessOf(denoHost, sleeper), "alive");
    assert.equal(await livenessOf(denoHost, seconds), "alive");
  }));

Deno.test("sendSignal() tells when it could not", async () => {
  assert.equal(await sendSignal(nobodyAnswers, { pid: Deno.pid, startedAt: 0 }, "TERM"), false);
  await withSleeper(async (sleeper) => {
    assert.equal(await sendSignal(denoHost, sleeper, "NOSUCH"), false);
    assert.equal(await livenessOf(denoHost, sleeper), "alive");
  });
});

Deno.test("waitGone() gives up after its time, on a clock of its own", () =>
  withSleeper(async (sleeper) => {
    const pauses: number[] = [];
    const host: Host = {
      ...denoHost,
      sleep: (ms) => {
        pauses.push(ms);
        return denoHost.sleep(1);
      },
    };
    assert.equal(await waitGone(host, sleeper, 30), false);
    assert.deepEqual(pauses.slice(0, 2), [2, 4].slice(0, pauses.length));
    assert.equal(await waitGone(nobodyAnswers, sleeper, 5), false);
  }));

Deno.test("bootId() reads the boot of this machine", async () => {
  const id = await bootId(denoHost);
  assert.match(id!, /^[\dA-Fa-f-]{36}$/);
  assert.equal(await bootId(denoHost), id);
});

Deno.test("bootId() asks by the name that the system has for it, and does not guess", async () => {
  const mac = macos((_, args) => ({ stdout: `${args.join(" ")}\n` }));
  assert.equal(await bootId(mac), "-n kern.bootsessionuuid");
  assert.equal(await bootId(macos(() => ({ stdout: "\n" }))), undefined);
  assert.equal(await bootId(macos(() => ({ code: 1, stdout: "x" }))), undefined);
  assert.equal(await bootId(nobodyAnswers), undefined);
});
