import assert from "node:assert/strict";
import fc from "fast-check";
import { parseProcStat, parsePsIncarnations } from "../lib/host_formats.ts";
import { assertNoNaN } from "./fixtures/root.ts";

/** Runs a tool of the list with the environment that the program gives it. */
async function output(tool: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(tool, {
    args,
    env: { LC_ALL: "C" },
  }).output();
  return new TextDecoder().decode(stdout);
}

function local(
  ...parts: [number, number, number, number, number, number]
): number {
  return new Date(...parts).getTime() / 1000;
}

/** Any name that a process can give itself: up to 15 bytes. */
const anyName = fc.array(fc.nat(0xff), { maxLength: 15 })
  .map((bytes) => new TextDecoder().decode(new Uint8Array(bytes)));

/** A line of `/proc/<pid>/stat` with this name, state and start. */
function stat(
  pid: number,
  name: string,
  state: string,
  ppid: number,
  ticks: number,
): string {
  return `${pid} (${name}) ${state} ${ppid} ${pid} ${pid} 0 -1 4194560 90 0 0 0 0 1 2 0 20 0 1 0 ` +
    `${ticks} 3133440 380 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 1\n`;
}
const CPU = "cpu  10 0 20 3000 4 0 5 0 0 0\nctxt 123\nbtime 1795327142\nprocesses 3683\n";

Deno.test("parseProcStat() reads pid, parent and start", () => {
  assert.deepEqual(
    parseProcStat(CPU + stat(2117, "tmux: server", "S", 2115, 99194)),
    [{
      pid: 2117,
      ppid: 2115,
      startedAt: 1795327142 + 991,
      startTicks: 99194,
      zombie: false,
      stopped: false,
    }],
  );
});

Deno.test("parseProcStat() tells zombies, dead and stopped processes", () => {
  const states = ["R", "S", "D", "I", "Z", "X", "x", "T", "t"];
  const text = CPU +
    states.map((state, index) => stat(index + 1, "a", state, 1, 5)).join("");
  const infos = parseProcStat(text);
  assert.deepEqual(
    infos.filter((info) => info.zombie).map((info) => info.pid),
    [5, 6, 7],
  );
  assert.deepEqual(
    infos.filter((info) => info.stopped).map((info) => info.pid),
    [8, 9],
  );
});

Deno.test("parseProcStat() is not misled by any name", () => {
  const names = [
    "",
    " ",
    ")",
    "((",
    "a) S 1 2 3 (b",
    "\n77 (x",
    "x) Z 1\n",
    "\nbtime 5\n",
    "a\nb",
  ];
  for (const name of names) {
    const infos = parseProcStat(
      CPU + stat(10, name, "S", 9, 100) + stat(11, "b", "S", 9, 200),
    );
    assert.deepEqual(
      infos.map((info) => [info.pid, info.ppid, info.startTicks]),
      [
        [10, 9, 100],
        [11, 9, 200],
      ],
      JSON.stringify(name),
    );
    assert.equal(infos[0]?.startedAt, 1795327143);
  }
  fc.assert(fc.property(anyName, (name) => {
    assert.equal(
      parseProcStat(CPU + stat(10, name, "Z", 9, 100))[0]?.zombie,
      true,
    );
  }));
});

Deno.test("parseProcStat() reads the long names of kernel threads", () => {
  const name = "kworker/u8:0-events_unbound_power_efficient";
  assert.equal(parseProcStat(CPU + stat(10, name, "I", 2, 7))[0]?.pid, 10);
});

Deno.test("parseProcStat() passes over torn lines", () => {
  const torn = "2117 (tmux: server) S 2115 2117 0\n";
  assert.deepEqual(
    parseProcStat(CPU + torn + stat(11, "b", "S", 9, 2)).map((info) => info.pid),
    [11],
  );
  assert.deepEqual(parseProcStat(CPU + torn), []);
  assert.deepEqual(parseProcStat(stat(11, "b", "S", 9, 200)), []);
});

Deno.test({
  name: "parseProcStat() and parsePsIncarnations() agree about this process",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const pid = String(Deno.pid);
    const cat = await output(
      "cat",
      "/proc/stat",
      `/proc/${pid}/stat`,
      "/proc/1/stat",
    );
    const ps = await output(
      "ps",
      "-ww",
      "-o",
      "pid=,ppid=,stat=,lstart=",
      "-p",
      `${pid},1`,
    );
    const fromProc = parseProcStat(cat);
    assert.deepEqual(fromProc.map((info) => [info.pid, info.ppid]), [[
      Deno.pid,
      Deno.ppid,
    ], [1, 0]]);
    for (const info of parsePsIncarnations(ps)) {
      const same = fromProc.find((other) => other.pid === info.pid);
      assert.equal(info.ppid, same?.ppid);
      assert.ok(Math.abs(info.startedAt - same!.startedAt) <= 2);
    }
  },
});

Deno.test("parsePsIncarnations() reads local times and states", () => {
  const text = "    1     0 S<Ll Sun Nov 22 06:19:02 2026\n" +
    " 2117     - Zs   Mon Nov  2 06:28:14 2026    \n" +
    "99999     1 T    Wed Feb 29 00:00:59 2028\n";
  assert.deepEqual(
    parsePsIncarnations(text).map((info) => [
      info.pid,
      info.ppid,
      info.startedAt,
      info.startTicks,
      info.zombie,
      info.stopped,
    ]),
    [
      [1, 0, local(2026, 10, 22, 6, 19, 2), undefined, false, false],
      [2117, undefined, local(2026, 10, 2, 6, 28, 14), undefined, true, false],
      [99999, 1, local(2028, 1, 29, 0, 0, 59), undefined, false, true],
    ],
  );
});

Deno.test("parsePsIncarnations() passes over what is not a process", () => {
  const bad = [
    "",
    "PID PPID STAT STARTED",
    "1 0 S -",
    "x 0 S Sun Nov 22 06:19:02 2026",
    "1 0 S",
  ];
  assert.deepEqual(parsePsIncarnations(bad.join("\n")), []);
});

const garbage = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.uint8Array().map((bytes) => new TextDecoder().decode(bytes)),
  fc.array(
    fc.constantFrom(
      "btime 5\n",
      "1 (",
      "a) S",
      " 0",
      " 0 0 0 0 0 0 0",
      "-",
      "\n",
      "1 1 S Sun Nov 22 06:19:34 2026",
    ),
  ).map((parts) => parts.join("")),
);

Deno.test("parseProcStat() and parsePsIncarnations() never throw and never say NaN", () => {
  fc.assert(fc.property(garbage, (text) => {
    assertNoNaN([parseProcStat(text), parsePsIncarnations(text)]);
  }));
});

Deno.test("parseProcStat() and parsePsIncarnations() take time in proportion to the text", () => {
  for (
    const part of [
      "1 ",
      "1 (",
      "\n",
      " ",
      "1 (a) S 1",
      "a) S 1 1 1 1",
      "btime 1",
      "1 1 S Sun Nov",
    ]
  ) {
    const text = "btime 1\n" + part.repeat(100_000);
    const started = performance.now();
    for (const parse of [parseProcStat, parsePsIncarnations]) parse(text);
    assert.ok(performance.now() - started < 2000, part);
  }
});
