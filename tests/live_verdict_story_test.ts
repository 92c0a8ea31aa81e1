import assert from "node:assert/strict";
import { assertRecorded, Live, SLEEP } from "./live.ts";
import { sendSignal } from "./live_host.ts";

/** Every file below a directory, with its text. */
function* texts(dir: string): Generator<[path: string, text: string]> {
  for (const { name, isDirectory, isFile } of Deno.readDirSync(dir)) {
    const path = `${dir}/${name}`;
    if (isDirectory) yield* texts(path);
    else if (isFile) yield [path, Deno.readTextFileSync(path)];
  }
}

Deno.test("secrets of other processes and of the pane are in no snapshot, log or entry", async () => {
  await using live = await Live.open();
  // Not spelled out here: this very file may be in somebody's command line.
  const secret = (n: number) => `s3cr${n}${crypto.randomUUID().replaceAll("-", "")}Zq`;
  const planted = Array.from({ length: 9 }, (_, n) => secret(n));
  // Large enough to be among the processes that a snapshot lists.
  const large =
    'x=$(head -c 30000000 /dev/zero | tr "\\0" x); echo ready; while :; do sleep 1000; done';
  const wait = ["-c", large, "sh"];
  const others = [
    live.startOther("sh", [...wait, `--password=${planted[0]}`, "--api-key", planted[1]!]),
    live.startOther("sh", [...wait, `https://bob:${planted[2]}@example.org/x`]),
    live.startOther("sh", [...wait, `AWS_SECRET_ACCESS_KEY=${planted[3]}`]),
    live.startOther("sh", [...wait, "-H", `Authorization: Bearer ${planted[4]}`]),
    live.startOther("sh", wait, { env: { DB_PASSWORD: planted[5]! } }),
  ];
  for (const { stdout } of others) await live.until("they are ready", () => stdout() !== "");
  const pane = [
    `export OPENAI_API_KEY=${planted[6]}`,
    `{"password": "${planted[7]}"}`,
    `Authorization: Basic ${planted[8]}`,
  ];
  const script = 'printf "%s\\n" "$@"; echo "the end"; exec sleep 10000';
  const session = await live.launch("claude-bob", ["--env", `API_TOKEN=${secret(9)}`], [
    "sh",
    "-c",
    script,
    "sh",
    ...pane,
  ]);
  await live.until(
    "the pane's output",
    () => Deno.readTextFileSync(live.ctx.paths.paneLog("claude-bob")).includes("the end"),
  );
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, session, { signal: "SIGKILL" });
  await live.record("server-verdict", "claude-bob");
  await live.tick();
  const { stdout } = await live.cli([
    "deaths",
    live.records("server-exit")[0]!["death"]!,
    "--json",
  ]);
  const told = [...texts(live.ctx.paths.logs), ...texts(live.ctx.paths.deaths)];
  assert(
    told.some(([path]) => path.endsWith(".txt")) && told.some(([path]) => path.endsWith(".json")),
  );
  const snapshot = told.find(([path]) => path.endsWith(".txt"))![1];
  // What surrounds them is there: they were not merely cut off.
  for (const { pid } of others) assert.match(snapshot, new RegExp(`^ *${pid} .*sh -c x=`, "m"));
  assert.match(snapshot, /--password=/);
  assert.match(snapshot, /AWS_SECRET_ACCESS_KEY=/);
  assert.match(snapshot, /export OPENAI_API_KEY=/);
  assert.match(snapshot, /the end/);
  for (const [path, text] of [...told, ["deaths --json", stdout] as const]) {
    for (const [n, value] of planted.entries()) {
      assert(!text.includes(value), `secret ${n} is in ${path}`);
    }
  }
});

Deno.test("deaths DEATH tells verdict, reason, timeline, evidence and curves", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", [], [
    "sh",
    "-c",
    "echo hello there; exec sleep 10000",
  ]);
  await live.tick();
  await live.tick();
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, session, { signal: "SIGKILL" });
  const id = live.records("server-exit")[0]!["death"]!;
  const reason = live.records("server-verdict")[0]!["reason"]!;
  const text = await live.ok(["deaths", id]);
  const order = [
    "VERDICT\nkilled (",
    reason,
    "TIMELINE (UTC)\n",
    `server ${session.serverPid} started`,
    "canary armed (own mode)",
    "death noticed by canary",
    "line in exits.log on disk",
    "verdict written",
    "snapshot on disk",
    "BEFORE THE DEATH\n",
    "available memory  ",
    "session's memory  ",
    "EVIDENCE\n",
    "SNAPSHOT\n",
    "== processes ==",
    "hello there",
  ];
  let at = 0;
  for (const part of order) {
    const found = text.indexOf(part, at);
    assert.notEqual(found, -1, `${part}\nin its place in\n${text}`);
    at = found;
  }
  assert.doesNotMatch(text, /\d{10}\.\d/, "times are for reading");
});

Deno.test("deaths DEATH --json tells the same as data", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob");
  await live.tick();
  sendSignal(session.serverPid, "SIGKILL");
  await assertRecorded(live, session, { signal: "SIGKILL" });
  const id = live.records("server-exit")[0]!["death"]!;
  const death = JSON.parse(await live.ok(["deaths", id, "--json"]));
  assert.deepEqual([death.id, death.cause, death.signal, death.verdict], [
    id,
    "signal",
    "SIGKILL",
    "killed",
  ]);
  assert.equal(death.reason, live.records("server-verdict")[0]!["reason"]);
  assert(death.timeline.length >= 6);
  const times = death.timeline.map((moment: { at: string }) => moment.at);
  assert.deepEqual(times, times.toSorted());
  assert(death.evidence.length > 0);
  for (const { source, state } of death.evidence) {
    assert(source !== "" && ["found", "nothing", "unseen"].includes(state));
  }
  assert(death.flight.length >= 2, "the first look and the last");
  for (const { at, availableKiB, load } of death.flight) {
    assert(Date.parse(at) > 0 && availableKiB > 0 && load >= 0);
  }
  assert(death.memory.length >= 1 && death.memory[0].rssKiB > 0);
  assert.equal(death.snapshot, await Deno.readTextFile(death.forensics));
});

Deno.test("the snapshot begins with verdict, reason, timeline and evidence", async () => {
  await using live = await Live.open();
  const session = await live.launch("claude-bob", [], SLEEP);
  sendSignal(session.serverPid, "SIGTERM");
  await assertRecorded(live, session, { cause: "exit-code", code: "0" });
  const text = await Deno.readTextFile(live.records("server-exit")[0]!["forensics"]!);
  const titles = [...text.matchAll(/^== (.*) ==$/gm)].map(([, title]) => title);
  assert.deepEqual(titles.slice(0, 5), [
    "verdict",
    "timeline",
    "evidence",
    "flight recorder",
    "memory",
  ]);
  const reason = live.records("server-verdict")[0]!["reason"]!;
  assert(
    text.includes(
      `== verdict ==\nfrom: the evidence below\nshutdown-request (likely)\n${reason}\n`,
    ),
    text.slice(0, 2000),
  );
});
