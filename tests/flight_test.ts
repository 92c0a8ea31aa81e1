import assert from "node:assert/strict";
import { drawCurves, FlightRecorder, type FlightSample, sparkline } from "../lib/flight.ts";
import { until } from "./fixtures/root.ts";

const KEPT = 360;

Deno.test("FlightRecorder takes a first and a last look, however short it lives", () => {
  using recorder = new FlightRecorder();
  const samples = recorder.read();
  assert(samples.length >= 1 && samples.length <= 2);
  const [at, available, swapFree, load] = samples.at(-1)!;
  assert(Math.abs(Date.now() - at) < 60_000);
  const { swapTotal, total } = Deno.systemMemoryInfo();
  assert(available > 0 && available <= total / 1024);
  assert.equal(swapFree === null, swapTotal === 0, "no swap is not 0 free");
  assert(load >= 0);
});

Deno.test("FlightRecorder samples on its own, oldest first", async () => {
  using recorder = new FlightRecorder(() => {}, 5);
  await until("ten samples", () => recorder.read().length > 10);
  const times = recorder.read().map(([at]) => at);
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
});

Deno.test("FlightRecorder keeps half an hour of samples, the newest", async () => {
  using recorder = new FlightRecorder(() => {}, 1);
  await until("it is full", () => recorder.read().length === KEPT);
  const oldest = recorder.read()[1]![0];
  await until("the oldest is gone", () => recorder.read()[0]![0] > oldest);
  const samples = recorder.read();
  assert.equal(samples.length, KEPT);
  const times = samples.map(([at]) => at);
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
});

Deno.test("FlightRecorder tells its owner early, then with every second sample", async () => {
  let told = 0;
  using early = new FlightRecorder(() => told++, 2000);
  await until("it has told within its first step", () => told >= 2);
  assert(early.read().length <= 2, "the first sample and the look of read() itself");
  let later = 0;
  using recorder = new FlightRecorder(() => later++, 5);
  await until("it has told more often than in the first step", () => later > 5);
  assert(recorder.read().length > 2);
});

Deno.test("sparkline() draws a rising curve from the lowest to the highest block", () => {
  assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7]), "▁▂▃▄▅▆▇█");
  assert.equal(sparkline([7, 0]), "█▁");
});

Deno.test("sparkline() draws level values level, and nearly level ones nearly so", () => {
  assert.equal(sparkline([5, 5, 5]), "▁▁▁");
  assert.equal(sparkline([0, 0]), "▁▁");
  assert.equal(sparkline([1000, 1001, 1000]), "▁▁▁");
  assert.equal(sparkline([3]), "▁");
  assert.equal(sparkline([]), "");
});

Deno.test("sparkline() averages what is wider than the row, and keeps both ends", () => {
  const wide = sparkline(Array.from({ length: 360 }, (_, n) => n));
  assert.equal(wide.length, 60);
  assert.equal(wide[0], "▁");
  assert.equal(wide.at(-1), "█");
  assert.equal(sparkline(Array.from({ length: 61 }, (_, n) => n)).length, 60);
  assert.doesNotMatch(sparkline(Array.from({ length: 61 }, (_, n) => n)), /undefined|NaN/);
});

const clock = (ms: number) => `t${ms / 1000}`;

Deno.test("drawCurves() tells beginning, end and extremes with their times", () => {
  const flight: FlightSample[] = [
    [0, 4 << 20, 2048, 0.5],
    [5000, 512, 1024, 3],
    [10_000, 2 << 20, 1024, 1.25],
  ];
  assert.deepEqual(drawCurves(flight, [[0, 100], [60_000, 2048]], clock), [
    "available memory  █▁▄",
    "                  4.0 GiB at t0 → 2.0 GiB at t10; lowest 512 KiB at t5; highest 4.0 GiB at t0",
    "free swap         █▁▁",
    "                  2 MiB at t0 → 1 MiB at t10; lowest 1 MiB at t5; highest 2 MiB at t0",
    "load              ▁█▃",
    "                  0.5 at t0 → 1.25 at t10; lowest 0.5 at t0; highest 3 at t5",
    "session's memory  ▁█",
    "                  100 KiB at t0 → 2 MiB at t60; lowest 100 KiB at t0; highest 2 MiB at t60",
  ]);
});

Deno.test("drawCurves() leaves out the swap of a machine that has none, and what nobody saw", () => {
  const lines = drawCurves([[0, 1024, null, 0]], [], clock);
  assert.deepEqual(lines.filter((line) => !line.startsWith(" ")), [
    "available memory  ▁",
    "load              ▁",
  ]);
  assert.deepEqual(drawCurves([], [], clock), []);
});
