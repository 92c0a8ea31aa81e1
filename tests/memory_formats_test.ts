import assert from "node:assert/strict";
import fc from "fast-check";
import {
  parseBoottime,
  parseMeminfo,
  parseSwapUsage,
  parseVmStat,
  parseVmstatCounter,
} from "../lib/memory_formats.ts";
import { assertNoNaN } from "./fixtures/root.ts";

/** Runs a tool of the list with the environment that the program gives it. */
async function output(tool: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(tool, {
    args,
    env: { LC_ALL: "C" },
  }).output();
  return new TextDecoder().decode(stdout);
}

const VM_STAT = `Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               19455.
Pages wired down:                        118425.
"Translation faults":                3191714332.
Pages stored in compressor:             1189972.
Pages occupied by compressor:            545078.
Swapins:                                      0.
Swapouts:                           12582000000.
`;

Deno.test("parseVmStat() reads sizes and counters", () => {
  const memory = parseVmStat(VM_STAT);
  assert.equal(memory.pageSize, 16384);
  assert.equal(memory.freeBytes, 19455 * 16384);
  assert.equal(memory.wiredBytes, 118425 * 16384);
  assert.equal(memory.compressorBytes, 545078 * 16384);
  assert.equal(memory.compressedBytes, 1189972 * 16384);
  assert.equal(memory.swapins, 0);
  assert.equal(memory.swapouts, 12_582_000_000);
  assert.equal(memory.activeBytes, undefined);
});

Deno.test("parseVmStat() leaves unknown what it cannot know", () => {
  const noPageSize = parseVmStat(VM_STAT.replace("16384", "?"));
  assert.equal(noPageSize.freeBytes, undefined);
  assert.equal(noPageSize.swapouts, 12_582_000_000);
  assert.ok(
    Object.values(parseVmStat("")).every((value) => value === undefined),
  );
  assert.equal(
    parseVmStat("Swapouts: 99999999999999999999.").swapouts,
    undefined,
  );
});

Deno.test("parseSwapUsage() reads sizes", () => {
  const text = "total = 4096.00M  used = 2947.81M  free = 1148.19M  (encrypted)\n";
  assert.deepEqual(parseSwapUsage(text), {
    totalBytes: 4294967296,
    usedBytes: Math.round(2947.81 * 1024 ** 2),
    freeBytes: Math.round(1148.19 * 1024 ** 2),
  });
  assert.deepEqual(parseSwapUsage("total = 2G used = 0.00M"), {
    totalBytes: 2 * 1024 ** 3,
    usedBytes: 0,
    freeBytes: undefined,
  });
});

Deno.test("parseBoottime() reads the seconds", () => {
  const text = "{ sec = 1789196391, usec = 979990 } Fri Sep 11 23:59:51 2026\n";
  assert.equal(parseBoottime(text), 1789196391);
  assert.equal(parseBoottime("usec = 979990"), undefined);
});

Deno.test("parseMeminfo() reads what is counted in kB", () => {
  const text =
    "MemTotal:       16384 kB\nActive(anon):   12 kB\nHugePages_Total:       0\nBad: x kB\n";
  assert.deepEqual([...parseMeminfo(text)], [["MemTotal", 16777216], [
    "Active(anon)",
    12288,
  ]]);
});

Deno.test("parseVmstatCounter() finds the whole name", () => {
  const text = "oom_kill_x 9\nnr_free_pages 12\noom_kill 3\nbad x\n";
  assert.equal(parseVmstatCounter(text, "oom_kill"), 3);
  assert.equal(parseVmstatCounter(text, "oom"), undefined);
  assert.equal(parseVmstatCounter(text, "bad"), undefined);
  assert.equal(parseVmstatCounter("oom_kill 0", "oom_kill"), 0);
});

Deno.test({
  name: "parseMeminfo() and parseVmstatCounter() read the files of this host",
  ignore: Deno.build.os !== "linux",
  async fn() {
    assert.ok(
      parseMeminfo(await output("cat", "/proc/meminfo")).get("MemTotal")! >
        1024 ** 2,
    );
    assert.ok(
      parseVmstatCounter(
        await output("cat", "/proc/vmstat"),
        "nr_free_pages",
      )! > 0,
    );
  },
});

const garbage = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.uint8Array().map((bytes) => new TextDecoder().decode(bytes)),
  fc.array(
    fc.constantFrom(
      "Pages free:  1.",
      '"A": 9',
      "total = 1",
      ".5M ",
      "{ sec = 5",
      "MemFree: 2 kB",
      "1 5",
      "99999999999",
      "\n",
    ),
  ).map((parts) => parts.join("")),
);

Deno.test("memory parsers never throw and never say NaN", () => {
  fc.assert(fc.property(garbage, (text) => {
    assertNoNaN([
      parseVmStat(text),
      parseSwapUsage(text),
      parseBoottime(text),
      parseVmstatCounter(text, "1"),
      ...parseMeminfo(text),
    ]);
  }));
});

Deno.test("memory parsers take time in proportion to the text", () => {
  for (
    const part of [
      "A: 1",
      "\n",
      " ",
      "total = 1",
      "{ sec = 1",
      "MemFree: 1 kB ",
      '"A',
      "A: 1\n",
      "page size of 1",
    ]
  ) {
    const text = "A: 1" + part.repeat(100_000);
    const started = performance.now();
    for (
      const parse of [parseVmStat, parseSwapUsage, parseBoottime, parseMeminfo]
    ) parse(text);
    assert.ok(performance.now() - started < 2000, part);
  }
});
