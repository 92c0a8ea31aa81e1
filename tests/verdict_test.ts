import assert from "node:assert/strict";
import type { Evidence, Fact } from "../lib/evidence.ts";
import { decide, explain, TABLE } from "../lib/verdict.ts";
import { death, DIED, found, hidden, PANE } from "./fixtures/evidence.ts";
import {
  cgroupRise,
  crash,
  hostRise,
  kill,
  logout,
  oom,
  orderly,
  paneOom,
  segv,
  strangerOom,
  unit,
  unobserved,
  vanished,
} from "./fixtures/facts.ts";
import { CASES } from "./fixtures/verdict_cases.ts";

for (const [row, seen, findings, concluded, says] of CASES) {
  Deno.test(`decide() by the row ${row}`, () => {
    const explained = explain({ death: seen, findings });
    assert.equal(explained.row, row);
    const { verdict, confidence, reason } = explained.verdict;
    assert.equal(`${verdict} ${confidence}`, concluded);
    assert(reason.includes(says), reason);
  });
}

Deno.test("decide() has a test for every row of its table", () => {
  assert.deepEqual(CASES.map(([row]) => row), TABLE.map(({ name }) => name));
});

Deno.test("decide() leaves evidence as it is, and evidence survives JSON", () => {
  const evidence: Evidence = {
    death: vanished,
    findings: [found("dmesg", crash), hidden("journalctl -k")],
  };
  const kept: Evidence = JSON.parse(JSON.stringify(evidence));
  assert.deepEqual(decide(kept), decide(evidence));
  assert.deepEqual(kept, evidence);
});

Deno.test("decide() says that dmesg could not be read rather than that no line exists", () => {
  const { reason } = decide({
    death: segv,
    findings: [hidden("dmesg", "dmesg: denied")],
  });
  assert(reason.includes("could not look at dmesg (denied)"), reason);
  assert(!reason.includes("no kernel line exists"), reason);
});

Deno.test("decide() expects no kernel line of an abort", () => {
  const seen = death({ cause: "signal", signal: "SIGABRT" });
  const { reason } = decide({ death: seen, findings: [found("dmesg")] });
  assert(reason.includes("writes no line for this signal"), reason);
});

Deno.test("decide() does not blame a counter on the server when others account for its rise", () => {
  const findings = [
    found("dmesg", strangerOom),
    found("/proc/vmstat", hostRise),
  ];
  const { verdict, reason } = decide({ death: kill, findings });
  assert.equal(verdict, "killed");
  assert(
    reason.includes("rose from 3 to 4") && reason.includes("777 (python3)"),
    reason,
  );
  const twice = [
    found("dmesg", strangerOom),
    found("/proc/vmstat", { ...hostRise, to: 5 }),
  ];
  assert.equal(decide({ death: kill, findings: twice }).verdict, "oom-kill");
});

Deno.test("decide() does not let a stranger account for the rise in the server's cgroup", () => {
  const findings = [
    found("dmesg", strangerOom),
    found("memory cgroup", cgroupRise),
  ];
  assert.equal(decide({ death: kill, findings }).verdict, "oom-kill");
  const child = [found("dmesg", paneOom), found("memory cgroup", cgroupRise)];
  const { verdict, reason } = decide({ death: kill, findings: child });
  assert.equal(verdict, "killed");
  assert(
    reason.includes(
      `its process ${PANE} (claude) was killed for want of memory`,
    ),
    reason,
  );
});

Deno.test("decide() quotes of two OOM lines the one that says that it was done", () => {
  const chosen: Fact = {
    ...oom,
    line: "oom-kill:constraint=CONSTRAINT_MEMCG,pid=11385",
  };
  const { reason } = decide({
    death: kill,
    findings: [found("dmesg", oom, chosen)],
  });
  assert(
    reason.startsWith(
      "kernel log: Memory cgroup out of memory: Killed process",
    ),
    reason,
  );
});

Deno.test("decide() heeds the logout only of the session that the server lived in", () => {
  const other: Fact = { ...logout, unit: "session-8.scope" };
  const findings = [found("journalctl", other), found("cgroup", unit)];
  assert.equal(
    decide({ death: orderly, findings }).verdict,
    "shutdown-request",
  );
  const long: Fact = { ...logout, at: DIED - 60 };
  assert.equal(
    explain({
      death: orderly,
      findings: [found("journalctl", long), found("cgroup", unit)],
    }).row,
    "orderly",
  );
});

Deno.test("decide() takes an unobserved death's pid for a later process with another name", () => {
  const later = { ...oom, name: "python3" };
  assert.equal(
    decide({ death: unobserved, findings: [found("dmesg", later)] }).verdict,
    "unknown",
  );
  assert.equal(
    decide({ death: unobserved, findings: [found("dmesg", oom)] }).verdict,
    "oom-kill",
  );
  const named = {
    ...unobserved,
    server: { ...unobserved.server, name: "python3" },
  };
  assert.equal(
    decide({ death: named, findings: [found("dmesg", later)] }).verdict,
    "oom-kill",
  );
});

Deno.test("decide() treats a real-time signal and a killed client as unseen ends", () => {
  for (
    const seen of [
      death({ cause: "signal", signal: undefined }),
      death({ cause: "client-killed" }),
    ]
  ) {
    assert.equal(decide({ death: seen, findings: [] }).verdict, "unknown");
  }
});

Deno.test("decide() says how many servers went along, and draws no verdict from it", () => {
  const alone = decide({ death: kill, findings: [found("dmesg")] });
  const many = decide({
    death: { ...kill, peersLost: 3 },
    findings: [found("dmesg")],
  });
  assert.equal(many.verdict, alone.verdict);
  assert(many.reason.includes("3 other servers of this root"), many.reason);
});

Deno.test("decide() mentions a stop at the same time that it draws no verdict from", () => {
  const logoutAndUnit = [found("dmesg"), found("journalctl", logout), found("cgroup", unit)];
  const { verdict, reason } = decide({ death: kill, findings: logoutAndUnit });
  assert.equal(verdict, "killed");
  assert(reason.includes("at the same time: Stopping session-3.scope"), reason);
});

Deno.test("explain() concludes nothing from a table in which no row fits", () => {
  const { row, verdict } = explain({ death: kill, findings: [] }, []);
  assert.equal(row, "none");
  assert.equal(verdict.verdict, "unknown");
});
