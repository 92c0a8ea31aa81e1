import assert from "node:assert/strict";
import process from "node:process";
import {
  denoSnapshotHost,
  gatherSections,
  renderSnapshot,
  type Section,
  type SnapshotHost,
  type SnapshotSubject,
  writeSnapshot,
} from "../lib/forensics.ts";
import { denoTools, type ToolResult } from "../lib/process.ts";
import { plainText } from "../lib/snapshot_sections.ts";
import { result } from "./fixtures/root.ts";

const SUBJECT: SnapshotSubject = {
  identity: "claude-bob",
  deathId: "claude-bob-4242-1795327507",
  serverPid: 4242,
  observedAt: Date.UTC(2026, 10, 22, 5, 44, 45, 123),
  header: [["cause", "signal"], ["signal", "SIGKILL"], ["code", undefined], ["witness", "canary"], [
    "mode",
    "own",
  ]],
  paneLog: "/root/logs/lifecycle/claude-bob.log",
};
const NAME = "claude-bob-1795326285-4242";
// Put together here so that no scanner takes this file for a leak.
const SECRET = "sk-ant-" + "api03-" + "A1b2C3d4".repeat(8);

const PS_HEAD =
  "  PID  PPID  PGID   UID   RSS    VSZ     ELAPSED                  STARTED STAT TT       COMMAND         COMMAND";
const PS_LINUX = Array.from({ length: 30 }, (_, n) => {
  const numbers = `  ${n + 100}     1   100  1000 ${
    String((n + 1) * 1024).padStart(5)
  }  90000       15:59`;
  const row = `${numbers} Sun Nov 22 05:19:34 2026 Ss   ?        worker-${n}`;
  return `${row.padEnd(PS_HEAD.lastIndexOf("COMMAND"))}/opt/worker-${n} --api-key=${SECRET}\n`;
}).reduce((text, row) => text + row, `${PS_HEAD}\n`);

const LINUX: Readonly<Record<string, Partial<ToolResult>>> = {
  "cat /proc/meminfo": {
    stdout:
      "MemTotal:       24684084 kB\nMemAvailable:     419872 kB\nVmallocChunk:          0 kB\nSwapFree: 0 kB\n",
  },
  "cat /proc/vmstat": {
    stdout: "nr_free_pages 12\npswpin 4\npswpout 5\noom_kill 7\noom_killer_x 1\n",
  },
  "cat /proc/swaps": { stdout: "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" },
  "ps": { stdout: PS_LINUX },
  "uname": { stdout: "Linux box 6.18.0 #1 SMP x86_64 GNU/Linux\n" },
  "tmux": { stdout: "tmux 3.3a\n" },
  "coredumpctl": { code: 1, stderr: "No coredumps found.\n" },
};
const LINUX_FILES: Readonly<Record<string, string>> = {
  "/proc/pressure/memory":
    "some avg10=61.50 avg60=22.00 avg300=5.00 total=9\nfull avg10=40.00 avg60=9.00 avg300=2.00 total=8\n",
  "/proc/pressure/cpu": "some avg10=1.00 avg60=0.00 avg300=0.00 total=3\n",
  "/proc/pressure/io": "some avg10=2.00 avg60=0.00 avg300=0.00 total=4\n",
};

const DARWIN: Readonly<Record<string, Partial<ToolResult>>> = {
  "vm_stat": {
    stdout:
      "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:                               19455.\n" +
      '"Translation faults":                3191714332.\n',
  },
  "sysctl -n kern.memorystatus_vm_pressure_level": { stdout: "4\n" },
  "sysctl -n vm.swapusage": {
    stdout: "total = 4096.00M  used = 2947.81M  free = 1148.19M  (encrypted)\n",
  },
  "ps": {
    stdout:
      "  PID  PPID  PGID   UID    RSS      VSZ  ELAPSED STARTED                      STAT TTY      UCOMM            COMMAND\n" +
      " 2117     1  2117   501   4236 33554432 02:15:59 Sun Nov 22 03:19:34 2026     Ss   ??       tmux             tmux -D -S a\n",
  },
  "uname": { stdout: "Darwin mac 27.0.0 arm64\n" },
  "sw_vers": { stdout: "ProductName:\t\tmacOS\nProductVersion:\t\t27.0\n" },
  "tmux": { stdout: "tmux 3.5a\n" },
};

interface Fake {
  readonly platform?: string;
  readonly tools?: Readonly<Record<string, Partial<ToolResult> | "hang" | "throw">>;
  readonly files?: Readonly<Record<string, string>>;
  readonly dirs?: Readonly<Record<string, ReturnType<SnapshotHost["listDir"]> | "denied">>;
  readonly home?: string;
}

/** A host whose tools answer from a table, by command line or by name, and are not found otherwise. */
function fakeHost(
  { platform = "linux", tools = LINUX, files = LINUX_FILES, dirs = {}, home }: Fake = {},
): SnapshotHost {
  return {
    platform,
    home,
    loadavg: () => [12.5, 8, 0.123],
    uptime: () => 93784.6,
    readTail(path, maxBytes) {
      const text = files[path];
      if (text === undefined) throw new Deno.errors.NotFound(path);
      return text.slice(-maxBytes);
    },
    listDir(path) {
      const entries = dirs[path];
      if (entries === undefined) throw new Deno.errors.NotFound(path);
      if (entries === "denied") throw new Deno.errors.PermissionDenied(path);
      return entries;
    },
    tools: {
      run(tool, args, options) {
        assert((options?.timeoutMs ?? Infinity) <= 2000, `${tool} has a short limit`);
        const answer = tools[[tool, ...args].join(" ")] ?? tools[tool] ??
          { failure: `${tool}: not found` };
        if (answer === "hang") return new Promise(() => {});
        if (answer === "throw") return Promise.reject(new Error("out of processes"));
        const code = answer.failure === undefined && answer.timedOut !== true ? 0 : undefined;
        return Promise.resolve(result({ code, ...answer }));
      },
    },
  };
}

async function bodies(fake?: Fake, subject = SUBJECT): Promise<Record<string, string>> {
  const sections = await gatherSections(fakeHost(fake), subject);
  assert.equal(
    new Set(sections.map(({ title }) => title)).size,
    sections.length,
    "titles are unique",
  );
  return Object.fromEntries(sections.map(({ title, body }) => [title, body]));
}

function section(title: string, body: string): Section {
  return { title, source: "test", ms: 1.4, body };
}

async function withDir(use: (dir: string) => void | Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "iapeer-forensics-" });
  try {
    await use(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

const modeOf = (path: string) => (Deno.statSync(path).mode! & 0o7777).toString(8);

Deno.test("gatherSections() tells of memory, swap and host on Linux", async () => {
  const told = await bodies();
  assert.equal(
    told["memory"],
    "MemTotal:       24684084 kB\nMemAvailable:     419872 kB\nSwapFree: 0 kB",
  );
  assert.match(told["memory pressure"]!, /^some avg10=61\.50 .*\nfull avg10=40\.00 /);
  assert.match(told["io pressure"]!, /^some avg10=2\.00 /);
  assert.equal(told["memory kills"], "pswpin 4\npswpout 5\noom_kill 7");
  assert.equal(told["swap"], "(nothing there: no swap area in use)");
  assert.equal(told["load"], "12.50 8.00 0.12");
  assert.equal(told["uptime"], "1-02:03:04");
  assert.equal(told["host"], "Linux box 6.18.0 #1 SMP x86_64 GNU/Linux");
  assert.equal(told["tmux"], "tmux 3.3a");
});

Deno.test("gatherSections() tells of memory, swap, reports and version on macOS", async () => {
  const told = await bodies({
    platform: "darwin",
    tools: DARWIN,
    home: "/Users/bob",
    dirs: {
      "/Users/bob/Library/Logs/DiagnosticReports": [
        { name: "old.ips", mtime: Date.UTC(2026, 9, 1), size: 12345 },
        { name: "tmux-2026-11-22-064440.ips", mtime: Date.UTC(2026, 10, 22, 5, 44, 40), size: 99 },
        { name: "ageless.ips", mtime: undefined, size: undefined },
      ],
      "/Library/Logs/DiagnosticReports": "denied",
    },
  });
  assert.match(told["memory"]!, /page size of 16384 bytes\)\nPages free: +19455\.\n"Translation/);
  assert.equal(told["memory pressure"], "4 (critical)");
  assert.match(told["swap"]!, /^total = 4096\.00M {2}used = 2947\.81M/);
  assert.match(
    told["processes"]!,
    /\n *2117 +1 +2117 +501 +4\.1 +32768\.0 +02:15:59 .* Ss +\?\? +tmux +tmux -D -S a$/,
  );
  assert.equal(
    told["crash reports of the user"],
    "   99  2026-11-22T05:44:40Z  tmux-2026-11-22-064440.ips\n" +
      "12345  2026-10-01T00:00:00Z  old.ips\n" +
      "    ?  ?                     ageless.ips",
  );
  assert.equal(told["crash reports of the system"], "(could not look: not permitted)");
  assert.match(told["system version"]!, /ProductVersion:\t\t27\.0/);
});

Deno.test("gatherSections() looks nowhere for the user's reports without a home directory", async () => {
  const told = await bodies({ platform: "darwin", tools: DARWIN });
  assert.equal(told["crash reports of the user"], "(could not look: no home directory is known)");
});

Deno.test("gatherSections() tells what every platform has on an unknown one", async () => {
  const told = await bodies({ platform: "freebsd" });
  assert.deepEqual(Object.keys(told), ["processes", "load", "uptime", "pane", "host", "tmux"]);
});

Deno.test("gatherSections() lists the 25 largest processes, aligned, without their secrets", async () => {
  const lines = (await bodies())["processes"]!.split("\n");
  assert.match(lines[0]!, /^25 of 30 processes; all resident: 465\.0 MiB/);
  assert.match(
    lines[1]!,
    /^ *PID +PPID +PGID +UID +RSS\/MiB +VSZ\/MiB +UP +STARTED +STAT +TTY +NAME +COMMAND$/,
  );
  assert.equal(lines.length, 27);
  assert.match(
    lines[2]!,
    /^ *129 +1 +100 +1000 +30\.0 +87\.9 +00:15:59 .* worker-29 +\/opt\/worker-29 --api-key=/,
  );
  assert.match(lines[26]!, /^ *105 .* worker-5 /);
  assert.equal(new Set(lines.slice(1).map((line) => line.search(/COMMAND$|\/opt/))).size, 1);
  assert(!lines.some((line) => line.includes("A1b2C3d4")));
});

Deno.test("gatherSections() shows a process table that it cannot read as it is, without its secrets", async () => {
  const told = await bodies({
    tools: { ...LINUX, ps: { stdout: `PID USER COMMAND\n1 root init --api-key=${SECRET}\n` } },
  });
  assert.match(told["processes"]!, /^PID USER COMMAND\n1 root init/);
  assert(!told["processes"]!.includes("A1b2C3d4"));
});

Deno.test("gatherSections() takes no longer than two seconds and a bit for a tool that hangs", async () => {
  const start = performance.now();
  const sections = await gatherSections(
    fakeHost({ tools: { ...LINUX, coredumpctl: "hang", uname: "hang" } }),
    SUBJECT,
  );
  assert(performance.now() - start < 3500);
  const hung = sections.find(({ title }) => title === "core dumps")!;
  assert.equal(hung.body, "(could not look: coredumpctl: timed out)");
  assert(hung.ms! >= 1900, `${hung.ms} ms`);
  assert.equal(sections.find(({ title }) => title === "tmux")!.body, "tmux 3.3a");
});

Deno.test("gatherSections() says of each tool why it could not look", async () => {
  const told = await bodies({
    tools: {
      "cat /proc/meminfo": { failure: "cat: not permitted" },
      "cat /proc/vmstat": { code: 1, stderr: "cat: /proc/vmstat: Permission denied\n" },
      "ps": { timedOut: true, stdout: "half a line with --api-key=sk-a" },
      "tmux": "throw",
      "uname": { code: undefined, signal: "SIGSEGV" },
    },
    files: {},
  });
  assert.equal(told["memory"], "(could not look: cat: not permitted)");
  assert.equal(told["memory kills"], "(could not look: cat: /proc/vmstat: Permission denied)");
  assert.equal(told["swap"], "(could not look: cat: not found)");
  assert.equal(told["processes"], "(could not look: ps: timed out)");
  assert.equal(told["tmux"], "(could not look: out of processes)");
  assert.equal(told["host"], "(could not look: uname: ended by SIGSEGV)");
  assert.equal(told["memory pressure"], "(could not look: not found)");
});

Deno.test("gatherSections() keeps nothing there apart from could not look", async () => {
  const nothing = await bodies({ dirs: { "/var/crash": [] } });
  assert.equal(nothing["core dumps"], "(nothing there: No coredumps found.)");
  assert.equal(nothing["crash reports"], "(nothing there)");
  assert.equal(nothing["pane"], "(nothing there: no such file)");
  assert.equal((await bodies())["crash reports"], "(nothing there: no such folder)");
  const blind = await bodies({
    tools: {
      ...LINUX,
      coredumpctl: { code: 1, stderr: "No journal files were found.\nNo coredumps found.\n" },
      tmux: {},
    },
    dirs: { "/var/crash": "denied" },
  });
  assert.equal(blind["core dumps"], "(could not look: coredumpctl: No journal files were found.)");
  assert.equal(blind["crash reports"], "(could not look: not permitted)");
  assert.equal(blind["tmux"], "(nothing there)");
});

Deno.test("gatherSections() keeps what a tool printed beside its complaint", async () => {
  const told = await bodies({
    tools: {
      ...LINUX,
      coredumpctl: {
        stdout: "TIME PID\nnow 11218\n",
        stderr: "Hint: You are currently not seeing messages from others.\n",
      },
      tmux: { code: 1, stdout: "tmux 3.3a\n", stderr: "tmux: odd\n" },
      uname: { stdout: "whole\nhal", truncated: true },
    },
  });
  assert.equal(
    told["core dumps"],
    "(coredumpctl says: Hint: You are currently not seeing messages from others.)\nTIME PID\nnow 11218",
  );
  assert.equal(told["tmux"], "(could not look: tmux: odd)\ntmux 3.3a");
  assert.match(told["host"]!, /^whole\n\(cut: uname wrote more than \d+ bytes\)$/);
});

Deno.test("gatherSections() lists the 30 newest crash reports", async () => {
  const files = Array.from(
    { length: 45 },
    (_, n) => ({ name: `_${n}.crash`, mtime: n * 1000, size: n }),
  );
  const lines = (await bodies({ dirs: { "/var/crash": files } }))["crash reports"]!.split("\n");
  assert.equal(lines[0], "44  1970-01-01T00:00:44Z  _44.crash");
  assert.equal(lines.length, 31);
  assert.equal(lines[30], "(and 15 older)");
});

Deno.test("gatherSections() shows the last 100 lines of the pane without escapes and secrets", async () => {
  const pane =
    Array.from({ length: 300 }, (_, n) => `\x1b[3${n % 8}mline ${n}\x1b[0m\r\n`).join("") +
    `\x1b[32mexport ANTHROPIC_API_KEY=${SECRET}\x1b[0m\r\n` +
    "\x1b]0;title\x07same\r\nsame\r\n\x1b[2J\x1b[5;1Hlast\x1b[Cwords";
  const lines = (await bodies({ files: { [SUBJECT.paneLog]: pane } }))["pane"]!.split("\n");
  assert(lines.length <= 100);
  assert.deepEqual(lines.slice(-3), ["same", "", "last words"]);
  assert(lines.includes("line 299"));
  assert(!lines.includes("line 200"));
  assert(lines.some((line) => line.startsWith("export ANTHROPIC_API_KEY=")));
  assert(!lines.join("\n").includes("A1b2C3d4"));
});

Deno.test("gatherSections() shows no half secret at the start of a long pane log", async () => {
  const begin = `A1b2C3d4tail-of-a-secret\n`;
  const body = (await bodies({
    files: { [SUBJECT.paneLog]: begin.padEnd(256 * 1024 - 9, "\x1b[0m") + "\nthe end\n" },
  }))["pane"]!;
  assert(body.endsWith("the end"));
  const key = "-----END " + "PRIVATE KEY-----";
  const cut = (await bodies({
    files: {
      [SUBJECT.paneLog]: `x\nMIIEsecret\n${key}\n`.padEnd(256 * 1024 - 9, "\x1b[0m") +
        "\nthe end\n",
    },
  }))["pane"]!;
  assert(!body.includes("A1b2C3d4") && !cut.includes("MIIEsecret"));
  assert(cut.endsWith("the end"));
});

Deno.test("gatherSections() says that an empty pane log shows nothing", async () => {
  assert.equal(
    (await bodies({ files: { [SUBJECT.paneLog]: "\x1b[?25h\r\n" } }))["pane"],
    "(nothing there)",
  );
});

Deno.test("plainText() leaves what can be read", () => {
  assert.equal(plainText("a\x1b(Bb\x1b[38;5;12mc\x1b7\x1bMd"), "abcd");
  assert.equal(plainText("\x1bPq#0;sixel\x1b\\x\x9b1my\x1b_apc\x1b\\z"), "xyz");
  assert.equal(plainText("10%\r20%\r\r\ndone\n"), "10%\n20%\ndone\n");
  assert.equal(plainText("bell\x07 nul\0 back\b del\x7f\ttab"), "bell nul back del\ttab");
  assert.equal(plainText("\u202eevil\u2066 ☃ 日本"), "evil ☃ 日本");
  assert.equal(plainText("torn \x1b[38;5"), "torn ");
  assert.equal(plainText("torn \x1b"), "torn ");
});

Deno.test("renderSnapshot() starts with a line for programs, then lead and raw sections", () => {
  const text = renderSnapshot(SUBJECT, [section("verdict", "oom-kill")], [
    section("load", "1.00"),
    section("swap", ""),
  ]);
  assert.equal(
    text,
    "server-death identity=claude-bob ts=2026-11-22T05:44:45.123Z server_pid=4242 cause=signal signal=SIGKILL " +
      "death=claude-bob-4242-1795327507 witness=canary mode=own\n" +
      "\n== verdict ==\nfrom: test (1 ms)\noom-kill\n" +
      "\n== load ==\nfrom: test (1 ms)\n1.00\n" +
      "\n== swap ==\nfrom: test (1 ms)\n(nothing there)\n",
  );
});

Deno.test("renderSnapshot() does not repeat the fields of its own", () => {
  const header = [["identity", "x-y"], ["ts", 1], ["server_pid", 1], ["death", "z"], [
    "cause",
    "vanished",
  ]] as const;
  const [line] = renderSnapshot({ ...SUBJECT, header }, [], []).split("\n");
  assert.equal(
    line,
    "server-death identity=claude-bob ts=2026-11-22T05:44:45.123Z server_pid=4242 cause=vanished " +
      "death=claude-bob-4242-1795327507",
  );
});

Deno.test("renderSnapshot() takes secrets out of every part", () => {
  const leaky = `--api-key=${SECRET}`;
  const header = [["reason", leaky]] as const;
  const text = renderSnapshot(
    { ...SUBJECT, header },
    [{ title: leaky, source: leaky, ms: 0, body: leaky }],
    [section("pane", `a\x1b[1m${leaky}`)],
  );
  assert(!text.includes("A1b2C3d4"), text);
});

Deno.test("renderSnapshot() lets no output pass for a section", () => {
  const text = renderSnapshot(SUBJECT, [], [{
    title: "a\nb",
    source: "c\r\nd",
    ms: 0,
    body: "x\r\n== verdict ==\x1b[m\ny",
  }]);
  assert.deepEqual(text.split("\n").slice(2), [
    "== a b ==",
    "from: c d (0 ms)",
    "x",
    " == verdict ==",
    "y",
    "",
  ]);
});

Deno.test("renderSnapshot() cuts a section at 256 KiB and says so", () => {
  const limit = 256 * 1024;
  const text = renderSnapshot(SUBJECT, [], [
    section("big", "é\n".repeat(limit)),
    section("after", "here"),
  ]);
  assert.match(text, /\n\(cut: 524287 more bytes\)\n\n== after ==\n/);
  assert(!text.includes("\ufffd"));
  assert(new TextEncoder().encode(text).length < limit + 1000);
});

Deno.test("writeSnapshot() names the file after the death and closes it to others", () =>
  withDir((dir) => {
    const folder = `${dir}/logs/server-deaths`;
    const path = writeSnapshot(folder, SUBJECT, "text\n");
    assert.equal(path, `${folder}/${NAME}.txt`);
    assert.equal(Deno.readTextFileSync(path), "text\n");
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), [`${NAME}.txt`]);
    assert.equal(modeOf(path), "600");
    assert.equal(modeOf(folder), "700");
  }));

for (const umask of [0, 0o777]) {
  Deno.test(`writeSnapshot() gives its modes under umask 0${umask.toString(8)}`, () =>
    withDir((dir) => {
      const before = process.umask(umask);
      let path: string;
      try {
        path = writeSnapshot(`${dir}/server-deaths`, SUBJECT, "text\n");
      } finally {
        process.umask(before);
      }
      assert.equal(modeOf(path), "600");
      assert.equal(modeOf(`${dir}/server-deaths`), "700");
    }));
}

Deno.test("writeSnapshot() closes a folder that was open", () =>
  withDir((dir) => {
    Deno.chmodSync(dir, 0o755);
    writeSnapshot(dir, SUBJECT, "text\n");
    assert.equal(modeOf(dir), "700");
  }));

Deno.test("writeSnapshot() never overwrites", () =>
  withDir((dir) => {
    const paths = ["one", "two", "three"].map((text) => writeSnapshot(dir, SUBJECT, text));
    assert.deepEqual(paths, [`${dir}/${NAME}.txt`, `${dir}/${NAME}-2.txt`, `${dir}/${NAME}-3.txt`]);
    assert.deepEqual(paths.map((path) => Deno.readTextFileSync(path)), ["one", "two", "three"]);
  }));

Deno.test("writeSnapshot() follows no link that lies in its place", () =>
  withDir((dir) => {
    Deno.symlinkSync(`${dir}/target`, `${dir}/${NAME}.txt`);
    assert.equal(writeSnapshot(dir, SUBJECT, "text"), `${dir}/${NAME}-2.txt`);
    assert.throws(() => Deno.statSync(`${dir}/target`), Deno.errors.NotFound);
  }));

Deno.test("writeSnapshot() throws on storage trouble and leaves nothing behind", () =>
  withDir((dir) => {
    Deno.writeTextFileSync(`${dir}/file`, "");
    assert.throws(() => writeSnapshot(`${dir}/file/server-deaths`, SUBJECT, "text"), Error);
    assert.throws(
      () => writeSnapshot(dir, { ...SUBJECT, identity: "../up" }, "text"),
      /Cannot name a snapshot/,
    );
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), ["file"]);
  }));

Deno.test("denoSnapshotHost() reads the end of a file, of what has no size, and of no pipe", () =>
  withDir(async (dir) => {
    const host = denoSnapshotHost(denoTools);
    Deno.writeTextFileSync(`${dir}/log`, "0123456789");
    assert.equal(host.readTail(`${dir}/log`, 4), "6789");
    assert.equal(host.readTail(`${dir}/log`, 40), "0123456789");
    assert.throws(() => host.readTail(`${dir}/absent`, 4), Deno.errors.NotFound);
    if (Deno.build.os === "linux") assert.match(host.readTail("/proc/self/status", 64), /^Name:/);
    const { success } = await new Deno.Command("mkfifo", { args: [`${dir}/pipe`] }).output();
    assert(success);
    assert.throws(() => host.readTail(`${dir}/pipe`, 4), /not a regular file/);
  }));

Deno.test("denoSnapshotHost() lists files with time and size", () =>
  withDir((dir) => {
    Deno.mkdirSync(`${dir}/folder`);
    Deno.writeTextFileSync(`${dir}/a.crash`, "12345");
    Deno.utimeSync(`${dir}/a.crash`, 1000, 1000);
    assert.deepEqual(denoSnapshotHost(denoTools).listDir(dir), [{
      name: "a.crash",
      mtime: 1_000_000,
      size: 5,
    }]);
  }));

Deno.test("a snapshot of this very host has its processes and its pane", () =>
  withDir(async (dir) => {
    const subject = { ...SUBJECT, paneLog: `${dir}/pane.log` };
    Deno.writeTextFileSync(subject.paneLog, `$ run\r\n\x1b[31mboom\x1b[0m ${SECRET}\r\n`);
    const sections = await gatherSections(denoSnapshotHost(denoTools), subject);
    const text = renderSnapshot(subject, [section("verdict", "unknown")], sections);
    const path = writeSnapshot(dir, subject, text);
    assert.equal(Deno.readTextFileSync(path), text);
    const told = Object.fromEntries(sections.map(({ title, body }) => [title, body]));
    assert.match(told["processes"]!, / processes; all resident: [1-9]\d*\.\d MiB/);
    assert.match(told["processes"]!, /\bdeno\b/);
    assert.match(told["pane"]!, /^\$ run\nboom /);
    assert.match(told["tmux"]!, /^tmux /);
    assert.match(told["load"]!, /^\d+\.\d\d \d+\.\d\d \d+\.\d\d$/);
    assert.match(told["host"]!, new RegExp(Deno.build.os, "i"));
    assert(!text.includes("A1b2C3d4"));
    if (Deno.build.os === "linux") assert.match(told["memory kills"]!, /^oom_kill \d+$/m);
  }));
