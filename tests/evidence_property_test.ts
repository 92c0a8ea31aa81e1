import assert from "node:assert/strict";
import fc from "fast-check";
import type { Cause, DeathFacts, Fact, Finding } from "../lib/evidence.ts";
import { decide, type VerdictName } from "../lib/verdict.ts";
import { BOOT, death, DIED, found, hidden, PANE, PID } from "./fixtures/evidence.ts";
import * as about from "./fixtures/facts.ts";

const SIGNALS = ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGTERM", "SIGHUP", "SIGUSR2"];
const CAUSES: Cause[] = [
  "signal",
  "exit-code",
  "vanished",
  "orderly",
  "client-killed",
  "unobserved",
];

const deaths: fc.Arbitrary<DeathFacts> = fc.record({
  cause: fc.constantFrom(...CAUSES),
  signal: fc.constantFrom(...SIGNALS),
  code: fc.constantFrom(0, 1, 137),
  peersLost: fc.nat(3),
}).map(({ cause, signal, code, peersLost }) =>
  death({
    cause,
    peersLost,
    lastSeenAt: (DIED - 30) * 1000,
    ...(cause === "signal" ? { signal } : {}),
    ...(cause === "exit-code" ? { code } : {}),
  })
);

/** Facts that name a process. */
const NAMING: Fact[] = [
  about.oom,
  about.earlyoom,
  about.crash,
  about.core,
  about.report,
  about.jetsam,
  about.memorystatus,
  about.systemdKill,
];
/** Facts that a verdict may be drawn from, save counters, which others can account for. */
const TELLING: Fact[] = [
  ...NAMING,
  about.unit,
  about.logout,
  about.shutdown,
  about.unitStop,
  about.coalition,
  about.oomd,
];

const pids = fc.integer({ min: 1, max: 99_999 }).filter((pid) => pid !== PID && pid !== PANE);
const strange = fc.tuple(fc.constantFrom(...NAMING, about.unit), pids).map((
  [fact, pid],
) => ({ ...fact, pid } as Fact));
const outside = fc.oneof(
  fc.integer({ min: 0, max: BOOT + 90 }),
  fc.integer({ min: DIED + 700, max: DIED + 1_000_000 }),
);
const untimely = fc.tuple(
  fc.constantFrom(...TELLING.filter(({ kind }) => kind !== "unit")),
  outside,
)
  .map(([fact, at]) => ({ ...fact, at } as Fact));
const reading = fc.record({ name: fc.string(), value: fc.string() })
  .map((given): Fact => ({ kind: "reading", ...given }));
const irrelevant = fc.array(fc.oneof(strange, untimely, reading), { maxLength: 8 });

const base: fc.Arbitrary<Finding[]> = fc.record({
  facts: fc.subarray(TELLING),
  dmesg: fc.boolean(),
}).map((
  { facts, dmesg },
) => [dmesg ? found("dmesg") : hidden("dmesg"), found("journalctl", ...facts)]);

Deno.test("decide() never changes its verdict for irrelevant evidence", () => {
  fc.assert(
    fc.property(deaths, base, irrelevant, (seen, findings, more) => {
      const without = decide({ death: seen, findings });
      const first = decide({ death: seen, findings: [found("more", ...more), ...findings] });
      const last = decide({ death: seen, findings: [...findings, found("more", ...more)] });
      for (const given of [first, last]) {
        assert.equal(given.verdict, without.verdict);
        assert.equal(given.confidence, without.confidence);
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("decide() counts evidence about other pids for nothing", () => {
  fc.assert(
    fc.property(deaths, fc.array(strange), (seen, facts) => {
      const given = decide({ death: seen, findings: [found("dmesg", ...facts)] });
      const none = decide({ death: seen, findings: [found("dmesg")] });
      assert.equal(given.verdict, none.verdict);
      assert.equal(given.confidence, none.confidence);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("decide() never calls a SIGKILL an OOM kill without evidence of one", () => {
  const others = TELLING.filter(({ kind }) => !["oom-kill", "earlyoom", "unit-oom"].includes(kind));
  const facts = fc.array(fc.oneof(strange, untimely, reading, fc.constantFrom(...others)), {
    maxLength: 10,
  });
  fc.assert(
    fc.property(facts, fc.nat(5), (given, peersLost) => {
      const { verdict } = decide({
        death: death({ peersLost }),
        findings: [found("dmesg", ...given)],
      });
      assert.notEqual(verdict, "oom-kill");
    }),
    { numRuns: 2000 },
  );
});

Deno.test("decide() without evidence says no more than what was observed", () => {
  const allowed = (seen: DeathFacts): VerdictName[] => {
    if (seen.cause === "orderly" || seen.code === 0) return ["shutdown-request"];
    if (seen.cause === "exit-code") return ["crash"];
    if (seen.cause !== "signal") return ["unknown"];
    if (["SIGTERM", "SIGHUP"].includes(seen.signal ?? "")) return ["shutdown-request"];
    return ["SIGSEGV", "SIGABRT"].includes(seen.signal ?? "") ? ["crash"] : ["killed"];
  };
  fc.assert(
    fc.property(deaths, fc.subarray(["dmesg", "journalctl", "coredumpctl"]), (seen, sources) => {
      const { verdict, confidence } = decide({
        death: seen,
        findings: sources.map((source) => hidden(source)),
      });
      assert(allowed(seen).includes(verdict), verdict);
      assert.notEqual(confidence, "certain");
    }),
  );
});

Deno.test("decide() gives one printable line, whatever the evidence says", () => {
  const hostile = fc.tuple(
    fc.constantFrom(...NAMING),
    fc.string({ unit: "binary", maxLength: 3000 }),
  )
    .map(([fact, line]) => ({ ...fact, line, name: line } as Fact));
  fc.assert(fc.property(deaths, fc.array(hostile), (seen, facts) => {
    const { reason } = decide({ death: seen, findings: [found("dmesg", ...facts)] });
    assert(reason.length <= 1500);
    // deno-lint-ignore no-control-regex -- none may be left
    assert(!/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(reason));
  }));
});
