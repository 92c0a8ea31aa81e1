import assert from "node:assert/strict";
import type { DeathFacts, Finding } from "../lib/evidence.ts";
import { collectEvidence } from "../lib/evidence/collect.ts";
import { coredumps } from "../lib/evidence/linux.ts";
import { journal, kernelJournal } from "../lib/evidence/linux_logs.ts";
import { unifiedLog } from "../lib/evidence/macos.ts";
import { Together } from "../lib/evidence/together.ts";
import type { Tools } from "../lib/process.ts";
import * as fixture from "./fixtures/evidence.ts";

const { BOOT, context, DIED, fakeTools, KILLED, logLine, result } = fixture;

/** Deaths of different times: an early one, one that crashed, one that was OOM-killed, one without a trace. */
const DEATHS: readonly DeathFacts[] = [
  [200, BOOT + 300],
  [300, DIED - 40],
  [fixture.PID, DIED],
  [400, DIED + 500],
].map(([pid, at]) => ({
  ...KILLED,
  identity: `claude-p${pid}`,
  server: { pid: pid!, startedAt: BOOT + 100 },
  observedAt: at! * 1000,
  armedAt: (at! - 60) * 1000,
}));

const JOURNAL: readonly [at: number, line: string][] = [
  [BOOT + 250, "host kernel: tmux: server[400]: segfault at 0 ip 0 sp 0 error 4 in x"],
  [BOOT + 299, "host systemd[1]: x.scope: Killing process 200 (tmux: server) with signal SIGKILL."],
  [DIED - 41, "host kernel: tmux: server[300]: segfault at 0 ip 0 sp 0 error 4 in x"],
  [DIED - 1, `host kernel: ${fixture.OOM_LINE}`],
];

/** A journal that gives what lies in the span, and dumps of the pids, as the real ones do. */
function machine(calls: fixture.Call[] = []): Tools {
  const second = (args: readonly string[], flag: string) =>
    Number(args.find((arg) => arg.startsWith(flag))!.slice(flag.length));
  return fakeTools({
    dmesg: result({ stdout: fixture.DMESG_OOM }),
    journalctl(args) {
      const [from, to] = [second(args, "--since=@"), second(args, "--until=@")];
      const lines = JOURNAL.filter(([at, line]) =>
        at >= from && at <= to && args.includes("-k") === line.includes(" kernel: ")
      );
      return result({ stdout: lines.map(([at, line]) => `${at}.000000 ${line}\n`).join("") });
    },
    coredumpctl(args) {
      if (!args.includes("300")) return result({ code: 1, stderr: "No coredumps found.\n" });
      const dump = { time: (DIED - 40) * 1e6, pid: 300, sig: 11, exe: "/usr/bin/tmux" };
      return result({ stdout: JSON.stringify([dump]) });
    },
  }, calls);
}

/** The evidence about each of the deaths, gathered in one go. */
function gatherTogether(tools: Tools): Promise<Finding[][]> {
  const together = new Together(tools, DEATHS);
  return Promise.all(
    DEATHS.map((death) =>
      collectEvidence(context({ tools: together.tools(), death, together: together.deaths }))
    ),
  );
}

Deno.test("Together finds for every death what it would have found alone", async () => {
  const calls: fixture.Call[] = [];
  const all = await gatherTogether(machine(calls));
  for (const [n, death] of DEATHS.entries()) {
    const alone = await collectEvidence(context({ tools: machine(), death }));
    assert.deepEqual(all[n], alone, death.identity);
  }
  const count = (tool: string) => calls.filter((call) => call.tool === tool).length;
  assert.deepEqual(["journalctl", "coredumpctl", "last", "who"].map(count), [2, 1, 1, 1]);
  assert.equal(count("dmesg"), 2, "the late look is shared, too");
  assert(all.flat().some(({ source, state }) => source === "journalctl" && state === "found"));
});

Deno.test("Together asks each death's own question where the answer to all was too much or too slow", async () => {
  for (const trouble of [{ truncated: true }, { timedOut: true, code: undefined }]) {
    const whole = machine();
    const tools: Tools = {
      async run(tool, args, options) {
        const answer = await whole.run(tool, args, options);
        const early = args.includes(`--since=@${BOOT + 238}`);
        const late = args.includes(`--until=@${DIED + 510}`);
        const forAll = tool === "coredumpctl" ? args.length > 4 : early && late;
        return forAll ? { ...answer, ...trouble, stdout: "" } : answer;
      },
    };
    const together = new Together(tools, DEATHS);
    for (const look of [journal, kernelJournal, coredumps]) {
      for (const death of DEATHS) {
        const ctx = { death, together: together.deaths };
        assert.deepEqual(
          await look(context({ ...ctx, tools: together.tools() })),
          await look(context({ death, tools: whole })),
        );
      }
    }
  }
});

Deno.test("Together could not look for any death where the tool is not permitted", async () => {
  const stderr = "Hint: You are currently not seeing messages from other users and the system.";
  const all = await gatherTogether(
    fakeTools({ journalctl: result({ stderr }), dmesg: result({ code: 1, stderr: "dmesg: no" }) }),
  );
  for (const findings of all) {
    const why = (name: string) => findings.find(({ source }) => source === name)?.why;
    assert.equal(why("journalctl"), stderr);
    assert.equal(why("dmesg"), "dmesg: no");
    assert.equal(why("coredumpctl"), "coredumpctl: not found");
    assert(findings.every(({ state }) => state === "unseen"));
  }
});

Deno.test("unifiedLog() reads once for deaths of one hour, and for each of those that lie apart", async () => {
  const died = (pid: number, at: number): DeathFacts => ({
    ...KILLED,
    server: { pid, startedAt: at - 60 },
    observedAt: at * 1000,
    armedAt: (at - 30) * 1000,
  });
  const line = (pid: number, at: number) =>
    logLine("/kernel", `memorystatus: killing_specific_process pid ${pid} [tmux] (x)`, at);
  for (const [apart, runs] of [[1800, 1], [7200, 2]] as const) {
    const calls: fixture.Call[] = [];
    const stdout = `${line(7, DIED - 1)}\n${line(8, DIED + apart - 1)}\n`;
    const deaths = [died(7, DIED), died(8, DIED + apart)];
    const together = new Together(fakeTools({ log: result({ stdout }) }, calls), deaths);
    for (const death of deaths) {
      const ctx = { platform: "darwin", death, together: together.deaths };
      const { facts } = await unifiedLog(context({ ...ctx, tools: together.tools() }));
      assert.deepEqual(facts.map((fact) => "pid" in fact && fact.pid), [death.server.pid]);
    }
    assert.equal(calls.length, runs);
  }
});
