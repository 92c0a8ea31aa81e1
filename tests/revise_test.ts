import assert from "node:assert/strict";
import type { Context } from "../lib/context.ts";
import { type Death, readDeath } from "../lib/deaths.ts";
import type { Host } from "../lib/host.ts";
import { tryLock } from "../lib/locks.ts";
import { appendLine, readLines } from "../lib/log.ts";
import { parseLine } from "../lib/logfmt.ts";
import { deathLock, recordDeath } from "../lib/record.ts";
import { reviseDeaths } from "../lib/revise.ts";
import { noTools, result, withRoot } from "./fixtures/root.ts";

/** When the server died. */
const AT = Date.UTC(2026, 10, 22, 5, 44, 45);
const PID = 9580;
const SECOND = 1000;

/** A crash report as macOS writes it, of a server that segfaulted a second before. */
function report(pid = PID, more: Record<string, unknown> = {}): string {
  const stamp = (ms: number) =>
    new Date(ms).toISOString().replace("T", " ").replace("Z", "0 +0000");
  const head = { app_name: "tmux", timestamp: stamp(AT), bug_type: "309", name: "tmux" };
  const body = {
    captureTime: stamp(AT - SECOND),
    procLaunch: stamp(AT - 3600 * SECOND),
    pid,
    procName: "tmux",
    exception: { type: "EXC_BAD_ACCESS", signal: "SIGSEGV" },
    ...more,
  };
  return `${JSON.stringify(head)}\n${JSON.stringify(body, null, 1)}\n`;
}

interface Mac {
  readonly ctx: Context;
  /** The same root so many seconds after the death. */
  after(secs: number): Context;
  /** Writes a report into the user's folder. */
  write(text: string, name?: string): void;
  death(): Death;
  verdicts(): Map<string, string>[];
}

/** A Mac whose server vanished under the eyes of an attach canary, without a trace so far. */
function onMac(work: (mac: Mac) => Promise<void>, changes: Partial<Host> = {}): Promise<void> {
  return withRoot(async (ctx) => {
    const home = `${ctx.paths.root}/home`;
    const folder = `${home}/Library/Logs/DiagnosticReports`;
    Deno.mkdirSync(folder, { recursive: true });
    const host: Host = { ...ctx.host, platform: "darwin", home, tools: noTools, ...changes };
    const after = (secs: number) => ({ ...ctx, host: { ...host, now: () => AT + secs * SECOND } });
    const recorded = recordDeath(after(0), {
      identity: "claude-bob",
      server: { pid: PID, startedAt: (AT - 3600 * SECOND) / 1000 },
      cause: "vanished",
      waitRc: 1,
      witness: "canary",
      mode: "attach",
      observedAt: AT,
    })!;
    const { id } = await recorded.closed;
    await work({
      ctx: after(1),
      after,
      write: (text, name = "tmux-2026-11-22-054445.ips") =>
        Deno.writeTextFileSync(`${folder}/${name}`, text, { mode: 0o600 }),
      death: () => readDeath(ctx, id)!,
      verdicts: () =>
        readLines(ctx.paths, ctx.paths.exitsLog).map(parseLine)
          .filter((fields) => fields.get("ev") === "server-verdict"),
    });
  }, changes);
}

Deno.test("reviseDeaths() leaves a verdict alone while nothing new appears", () =>
  onMac(async ({ after, death, verdicts }) => {
    const before = death();
    assert.deepEqual([before.verdict, before.confidence], ["killed", "possible"]);
    for (const secs of [1, 60, 599]) await reviseDeaths(after(secs));
    assert.deepEqual(death(), before);
    assert.equal(verdicts().length, 1);
  }));

Deno.test("reviseDeaths() raises a verdict from a crash report that comes late, once", () =>
  onMac(async ({ after, write, death, verdicts }) => {
    await reviseDeaths(after(60));
    write(report());
    for (const secs of [120, 180, 240]) await reviseDeaths(after(secs));
    const { verdict, confidence, reason, revisedAt } = death();
    assert.deepEqual([verdict, confidence], ["crash", "certain"]);
    assert.match(reason!, /tmux-2026-11-22-054445\.ips: EXC_BAD_ACCESS, SIGSEGV/);
    assert.equal(revisedAt, AT + 120 * SECOND);
    const [first, second, ...more] = verdicts();
    assert.deepEqual(more, []);
    assert.deepEqual([first!.get("verdict"), first!.get("revises")], ["killed", undefined]);
    assert.deepEqual(
      [second!.get("verdict"), second!.get("confidence"), second!.get("revises")],
      ["crash", "certain", "killed"],
    );
    assert.equal(second!.get("death"), first!.get("death"));
    assert.equal(second!.get("ts"), new Date(AT + 120 * SECOND).toISOString());
  }));

Deno.test("reviseDeaths() looks no more once ten minutes have passed", () =>
  onMac(async ({ after, write, death, verdicts }) => {
    write(report());
    await reviseDeaths(after(601));
    assert.equal(death().verdict, "killed");
    assert.equal(verdicts().length, 1);
    await reviseDeaths(after(600));
    assert.equal(death().verdict, "crash", "until then it does");
  }));

Deno.test("reviseDeaths() does not look into the future of a clock that was set back", () =>
  onMac(async ({ after, write, death }) => {
    write(report());
    await reviseDeaths(after(-30));
    assert.equal(death().verdict, "killed");
  }));

Deno.test("reviseDeaths() takes no report of another process or another time", () =>
  onMac(async ({ after, write, death, verdicts }) => {
    write(report(PID + 1));
    const old = new Date(AT - 7200 * SECOND).toISOString().replace("T", " ").replace(
      "Z",
      "0 +0000",
    );
    write(report(PID, { captureTime: old, procLaunch: old }), "tmux-2026-11-22-054446.ips");
    await reviseDeaths(after(60));
    assert.equal(death().verdict, "killed");
    assert.equal(verdicts().length, 1);
  }));

Deno.test("reviseDeaths() names who sent the signal, where a report tells", () =>
  onMac(async ({ after, write, death }) => {
    const termination = {
      namespace: "SIGNAL",
      indicator: "Abort trap: 6",
      byProc: "zsh",
      byPid: 77,
    };
    write(report(PID, { exception: { type: "EXC_CRASH", signal: "SIGABRT" }, termination }));
    await reviseDeaths(after(60));
    const { verdict, confidence, reason } = death();
    assert.deepEqual([verdict, confidence], ["killed", "certain"]);
    assert.match(reason!, /sent by zsh \(77\)/);
  }));

Deno.test("reviseDeaths() gets over reports that are cut, binary, huge or no files", () =>
  onMac(async ({ ctx, after, write, death, verdicts }) => {
    write(report().slice(0, 200), "tmux-2026-11-22-054441.ips");
    write("\u0000\ufffd".repeat(1000), "tmux-2026-11-22-054442.ips");
    const folder = `${ctx.host.home}/Library/Logs/DiagnosticReports`;
    Deno.mkdirSync(`${folder}/tmux-2026-11-22-054443.ips`);
    Deno.symlinkSync("/dev/zero", `${folder}/tmux-2026-11-22-054444.ips`);
    write(report());
    // 100 MB, most of them a hole.
    Deno.truncateSync(`${folder}/tmux-2026-11-22-054445.ips`, 100_000_000);
    await reviseDeaths(after(30));
    assert.equal(death().verdict, "killed");
    assert.equal(verdicts().length, 1);
    write(report(), "tmux-2026-11-22-054446.ips");
    await reviseDeaths(after(60));
    assert.equal(death().verdict, "crash");
  }));

Deno.test("reviseDeaths() leaves an entry alone that somebody else works on", () =>
  onMac(async ({ after, write, death, verdicts }) => {
    write(report());
    {
      using _lock = tryLock(deathLock(after(0), death().id))!;
      await reviseDeaths(after(60));
      assert.equal(death().verdict, "killed");
    }
    await reviseDeaths(after(120));
    assert.equal(death().verdict, "crash");
    assert.equal(verdicts().length, 2);
  }));

Deno.test("reviseDeaths() that was killed after its line writes the entry, and no second line", () =>
  onMac(async ({ after, write, death, verdicts }) => {
    write(report());
    const ctx = after(60);
    const said =
      `ts=x ev=server-verdict identity=claude-bob death=${death().id} verdict=crash confidence=certain revises=killed reason=x`;
    appendLine(ctx.paths, ctx.paths.exitsLog, said);
    await reviseDeaths(ctx);
    assert.equal(death().verdict, "crash");
    assert.equal(verdicts().length, 2);
  }));

Deno.test("reviseDeaths() asks coredumpctl again on Linux", () => {
  let dumped = false;
  const dump = [{
    time: (AT - SECOND) * 1000,
    pid: PID,
    sig: 11,
    exe: "/usr/bin/tmux",
    corefile: "present",
  }];
  const tools = {
    run: (tool: string) =>
      Promise.resolve(
        tool !== "coredumpctl"
          ? result({ code: undefined, failure: `${tool}: not found` })
          : dumped
          ? result({ stdout: JSON.stringify(dump) })
          : result({ code: 1, stderr: "No coredumps found.\n" }),
      ),
  };
  return onMac(async ({ after, death, verdicts }) => {
    await reviseDeaths(after(30));
    assert.equal(verdicts().length, 1);
    dumped = true;
    await reviseDeaths(after(60));
    await reviseDeaths(after(90));
    const { verdict, confidence, reason } = death();
    assert.deepEqual([verdict, confidence], ["crash", "certain"]);
    assert.match(reason!, /core dump of pid 9580 by SIGSEGV/);
    assert.equal(verdicts().length, 2);
  }, { platform: "linux", tools });
});

Deno.test("reviseDeaths() asks once about all deaths, and revises those that there is news of", () => {
  const asked: (readonly string[])[] = [];
  const tools = {
    run(tool: string, args: readonly string[]) {
      if (tool !== "coredumpctl") {
        return Promise.resolve(result({ code: undefined, failure: `${tool}: not found` }));
      }
      asked.push(args);
      const dump = { time: (AT - SECOND) * 1000, pid: 9581, sig: 11, exe: "/usr/bin/tmux" };
      return Promise.resolve(result({ stdout: JSON.stringify([dump]) }));
    },
  };
  return onMac(async ({ ctx, after }) => {
    const others = await Promise.all(
      [9581, 9582].map((pid) =>
        recordDeath({ ...ctx, host: { ...ctx.host, tools: noTools } }, {
          identity: `claude-p${pid}`,
          server: { pid, startedAt: (AT - 3600 * SECOND) / 1000 },
          cause: "vanished",
          waitRc: 1,
          witness: "canary",
          observedAt: AT,
        })!.closed
      ),
    );
    asked.length = 0;
    await reviseDeaths(after(60));
    assert.equal(asked.length, 1);
    const pids = asked[0]!.filter((arg) => /^\d+$/.test(arg)).sort();
    assert.deepEqual(pids, [PID, 9581, 9582].map(String));
    const verdicts = others.map(({ id }) => readDeath(ctx, id)!.verdict);
    assert.deepEqual(verdicts, ["crash", others[1]!.verdict]);
    assert.notEqual(others[1]!.verdict, "crash");
  }, { platform: "linux", tools });
});
