import assert from "node:assert/strict";
import { Live } from "./live.ts";
import { until } from "./live_host.ts";

/** Over how many seconds it is counted: one message of the flight recorder falls into each 15. */
const SPAN_SECS = 20;
/** Half a minute after its start V8 tidies up, twice; by then that is over. */
const LIMIT_MS = 150_000;

/** How often the threads of a process have gone to sleep. */
function sleepsOf(pid: number): number {
  let sum = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    sum += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(statusOf(pid, name))?.[1] ?? 0);
  }
  return sum;
}

/** Empty for a thread that has just ended. */
function statusOf(pid: number, thread: string): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/task/${thread}/status`);
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return "";
    if ((error as { code?: string }).code === "ESRCH") return "";
    throw error;
  }
}

/** Seconds that the machine has run. */
function uptime(): number {
  return Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]);
}

/** Looks once a second; tells the switches per second of the last {@linkcode SPAN_SECS}. */
function meter(pid: number): () => number | undefined {
  const looks: { at: number; sleeps: number }[] = [];
  return () => {
    const at = uptime();
    if (at - (looks.at(-1)?.at ?? 0) < 1) return undefined;
    looks.push({ at, sleeps: sleepsOf(pid) });
    const from = looks.findLast((look) => at - look.at >= SPAN_SECS);
    return from && (looks.at(-1)!.sleeps - from.sleeps) / (at - from.at);
  };
}

Deno.test({
  name:
    "a canary that has nothing to do comes to wake less than once in two seconds, in either mode",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using live = await Live.open();
    const own = await live.launch("claude-bob");
    const attach = await live.launchAttached("claude-eve");
    await Promise.all([own, attach].map(async ({ identity, canaryPid }) => {
      const measure = meter(canaryPid);
      const rates: string[] = [];
      await until(
        `${identity}'s canary is quiet`,
        () => {
          const rate = measure();
          if (rate !== undefined) rates.push(rate.toFixed(2));
          return rate !== undefined && rate < 0.5;
        },
        () => `context switches per second: ${rates.join(" ")}`,
        LIMIT_MS,
      );
    }));
    assert.deepEqual(live.records("server-exit"), []);
  },
});
