import assert from "node:assert/strict";
import fc from "fast-check";
import { parseEtime, parseLstart, parsePsTable, type PsRow } from "../lib/ps_table.ts";
import { assertNoNaN } from "./fixtures/root.ts";

const TABLE = "pid,ppid,pgid,uid,rss,vsz,etime,lstart,stat,tty,ucomm,command";

function local(
  ...parts: [number, number, number, number, number, number]
): number {
  return new Date(...parts).getTime() / 1000;
}

Deno.test("parseLstart() knows no time that does not exist", () => {
  const bad = [
    "Sun Feb 30 06:19:02 2026",
    "Sun Nov 22 24:19:02 2026",
    "Sun Nov 22 06:60:02 2026",
    "Sun Nov 22 06:19:61 2026",
    "Sun Nov 22 06:19:02 0026",
    "Sun Arp 22 06:19:02 2026",
    "Sun ovD 22 06:19:02 2026",
    "So 22 Nov 06:19:02 2026",
    "",
  ];
  for (const text of bad) assert.equal(parseLstart(text), undefined, text);
});

Deno.test("parseLstart() gives back every local time", () => {
  const range = { min: 0, max: 4_000_000_000 };
  fc.assert(fc.property(fc.integer(range), (secs) => {
    const date = new Date(secs * 1000);
    const [day, month, dd, yyyy] = date.toDateString().split(" ");
    const text = `${day} ${month} ${dd!.replace(/^0/, " ")} ${
      date.toTimeString().slice(0, 8)
    } ${yyyy}`;
    const again = new Date(parseLstart(text)! * 1000);
    assert.equal(again.toString().slice(0, 24), date.toString().slice(0, 24));
  }));
});

Deno.test("parseEtime() reads all three shapes", () => {
  const cases: [string, number | undefined][] = [
    ["00:00", 0],
    ["16:31", 991],
    ["      16:31", 991],
    ["03:04:05", 11045],
    ["2-03:04:05", 183845],
    ["1234-00:00:00", 106617600],
    ["-", undefined],
    ["", undefined],
    ["5", undefined],
    ["2-03:04", undefined],
    ["1:2:3:4", undefined],
    ["-1:00", undefined],
  ];
  for (const [text, secs] of cases) assert.equal(parseEtime(text), secs, text);
});

const PROCPS_HEADER =
  "  PID  PPID  PGID   UID   RSS    VSZ     ELAPSED                  STARTED STAT TT       COMMAND         COMMAND\n";

function names(rows: PsRow[]): string[][] {
  return rows.map((row) => [row.tty, row.ucomm, row.command]);
}

Deno.test("parsePsTable() reads procps", () => {
  const rows = parsePsTable(
    PROCPS_HEADER +
      " 2117     1  2117  1000  4236   5128  2-03:04:05 Sun Nov 22 06:19:34 2026 Ss   ?        tmux: server    tmux -D -S /a b/s\n",
  );
  assert.deepEqual(rows, [{
    pid: 2117,
    ppid: 1,
    pgid: 2117,
    uid: 1000,
    rssKiB: 4236,
    vszKiB: 5128,
    elapsedSecs: 183845,
    startedAt: local(2026, 10, 22, 6, 19, 34),
    stat: "Ss",
    tty: "?",
    ucomm: "tmux: server",
    command: "tmux -D -S /a b/s",
  }]);
});

Deno.test("parsePsTable() tells names from commands of procps by their columns", () => {
  const rows = parsePsTable(
    PROCPS_HEADER +
      " 3702  3701  3696     0  1784   2920       00:00 Sun Nov 22 06:35:34 2026 S    ?        tmux: server (x ./tmux: server (x) 8\n" +
      " 3704  3701  3696     0  1796   2920       00:00 Sun Nov 22 06:35:34 2026 S    ?        sleep            8\n" +
      " 3705  3701  3696     0  1796   2920       00:00 Sun Nov 22 06:35:34 2026 S    ?                        bare\n" +
      " 3706  3701  3696     0  1796   2920       00:00 Sun Nov 22 06:35:34 2026 S    pts/0     lead           x\n" +
      " 3750  3748  3696     0     0      0           - -                        Z    ?        sleep           [sleep] <defunct>\n",
  );
  assert.deepEqual(names(rows), [
    ["?", "tmux: server (x", "./tmux: server (x) 8"],
    ["?", "sleep", " 8"],
    ["?", "", "bare"],
    ["pts/0", " lead", "x"],
    ["?", "sleep", "[sleep] <defunct>"],
  ]);
  assert.equal(rows[4]?.startedAt, undefined);
  assert.equal(rows[4]?.elapsedSecs, undefined);
});

/** A row laid out as procps does it: padding makes up for values wider than their column. */
function procps(
  vsz: string,
  etime: string,
  stat: string,
  tty: string,
  name: string,
): string {
  const right = [5, 5, 5, 5, 5, 6, 11, 24];
  const values = [
    "31702",
    "1",
    "31702",
    "0",
    "9",
    vsz,
    etime,
    "Sun Nov 22 06:35:34 2026",
  ];
  let row = "";
  let correct = 0;
  for (
    const [value, width] of values.map((value, index) => [value, right[index]!] as const)
  ) {
    const gap = correct - row.length + Math.max(0, width - value.length);
    row += " ".repeat(Math.max(gap, row === "" ? 0 : 1)) + value;
    correct += width + 1;
  }
  for (
    const [value, width] of [[stat, 4], [tty, 8], [name, 15], [
      "node a b",
      0,
    ]] as const
  ) {
    row += " ".repeat(Math.max(1, correct - row.length)) + value;
    correct += width + 1;
  }
  return row + "\n";
}

Deno.test("parsePsTable() follows procps where a wide value moves later columns", () => {
  const measured =
    " 8498  8497  8493     0 13840 21474853392  00:00 Sun Nov 22 06:46:35 2026 S    ?        tmux: server (x python3 a\n" +
    " 8502  8500  8502     0 13840 21474853388  00:00 Sun Nov 22 06:46:35 2026 Ss+  pts/0    tmux: server    python3 b\n";
  assert.deepEqual(names(parsePsTable(PROCPS_HEADER + measured)), [
    ["?", "tmux: server (x", "python3 a"],
    ["pts/0", "tmux: server", "python3 b"],
  ]);
  for (const vsz of ["1", "5128000", "411234567", "21474853392"]) {
    for (const etime of ["00:00", "23:59:59", "9-00:00:00", "412-10:00:00"]) {
      for (
        const [stat, tty] of [["S", "?"], ["Ssl+", "pts/12"], [
          "Ss+",
          "pts/1234",
        ]] as const
      ) {
        for (const name of ["ab", "a b", "tmux: server", "averylongname_x"]) {
          const row = procps(vsz, etime, stat, tty, name);
          assert.deepEqual(names(parsePsTable(PROCPS_HEADER + row)), [[
            tty,
            name,
            "node a b",
          ]], row);
        }
      }
    }
  }
});

// Widths of Apple's ps: 5 5 5 5 6 8 12 28 4 8 16.
const MACOS_HEADER =
  "  PID  PPID  PGID   UID    RSS      VSZ      ELAPSED STARTED                      STAT TTY      UCOMM            COMMAND\n";

function macos(
  pid: string,
  vsz: string,
  tty: string,
  ucomm: string,
  command: string,
): string {
  const pad = " ".repeat(
    Math.max(0, 16 - new TextEncoder().encode(ucomm).length),
  );
  return `${pid.padStart(5)} ${"1".padStart(5)} ${pid.padStart(5)} ${"501".padStart(5)} ` +
    `${"3456".padStart(6)} ${vsz.padStart(8)}  01-02:03:04 ${
      "Sun Nov 22 06:19:34 2026".padEnd(28)
    } ` + `${"Ss".padEnd(4)} ${tty.padEnd(8)} ${ucomm}${pad} ${command}\n`;
}

Deno.test("parsePsTable() reads macOS", () => {
  const [row] = parsePsTable(
    MACOS_HEADER + macos("501", "411234567", "??", "tmux", "tmux -D"),
  );
  assert.deepEqual(row, {
    pid: 501,
    ppid: 1,
    pgid: 501,
    uid: 501,
    rssKiB: 3456,
    vszKiB: 411234567,
    elapsedSecs: 93784,
    startedAt: local(2026, 10, 22, 6, 19, 34),
    stat: "Ss",
    tty: "??",
    ucomm: "tmux",
    command: "tmux -D",
  });
});

Deno.test("parsePsTable() tells names from commands of macOS, moved and padded by bytes", () => {
  const chrome = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome Helper --type=gpu";
  const cut = "Caf\ufffd";
  const rows = parsePsTable(
    MACOS_HEADER +
      macos("1", "1", "ttys000", "Google Chrome He", chrome) +
      macos("123456", "411234567", "??", "Google Chrome He", chrome) +
      macos("123456", "4112345678", "ttys0001", "two words", " x") +
      macos("7", "1", "??", "Café Änderung", "/Applications/Café") +
      macos("8", "1", "??", "日本語", "日本語 --a b") +
      macos("9", "1", "??", "a😀 b", "/a b") +
      macos("10", "1", "??", `0123456789ab${cut}`.slice(-16), "/b c"),
  );
  assert.deepEqual(names(rows), [
    ["ttys000", "Google Chrome He", chrome],
    ["??", "Google Chrome He", chrome],
    ["ttys0001", "two words", " x"],
    ["??", "Café Änderung", "/Applications/Café"],
    ["??", "日本語", "日本語 --a b"],
    ["??", "a😀 b", "/a b"],
    ["??", `0123456789ab${cut}`.slice(-16), "/b c"],
  ]);
});

Deno.test("parsePsTable() needs the header and passes over bad rows", () => {
  assert.deepEqual(parsePsTable(macos("1", "1", "??", "a", "b")), []);
  assert.deepEqual(parsePsTable(""), []);
  assert.deepEqual(parsePsTable(PROCPS_HEADER + "x\n 1 2 3\n\n"), []);
  assert.equal(parsePsTable("warning: x\n" + PROCPS_HEADER).length, 0);
});

Deno.test("parsePsTable() reads the ps of this host", async () => {
  const { stdout } = await new Deno.Command("ps", {
    args: ["-axww", "-o", TABLE],
    env: { LC_ALL: "C" },
  }).output();
  const text = new TextDecoder().decode(stdout);
  const rows = parsePsTable(text);
  assert.equal(rows.length, text.trimEnd().split("\n").length - 1);
  const self = rows.find((row) => row.pid === Deno.pid);
  assert.ok(self !== undefined);
  assert.equal(self.ppid, Deno.ppid);
  assert.match(self.ucomm, /deno/i);
  assert.match(self.command, /test/);
  assert.ok(self.rssKiB > 1024 && self.vszKiB > self.rssKiB);
  assert.ok(
    Math.abs(Date.now() / 1000 - self.elapsedSecs! - self.startedAt!) <= 3,
  );
  // Tests that run beside this one start a ps of their own.
  const those = rows.filter((row) => row.ppid === Deno.pid && row.ucomm === "ps");
  assert.ok(those.some((ps) => ps.command.endsWith(`ps -axww -o ${TABLE}`)));
});

const garbage = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.uint8Array().map((bytes) => new TextDecoder().decode(bytes)),
  fc.array(
    fc.constantFrom(
      ...PROCPS_HEADER.split(/(?= )/),
      " 1",
      "-",
      "16:31",
      "\n",
      "Sun Nov 22 06:19:34 2026",
      " S ?",
    ),
  ).map((parts) => parts.join("")),
);

Deno.test("parsePsTable(), parseEtime() and parseLstart() never throw and never say NaN", () => {
  fc.assert(fc.property(garbage, (text) => {
    assertNoNaN([
      parsePsTable(text),
      parsePsTable(PROCPS_HEADER + text),
      parsePsTable(MACOS_HEADER + text),
      parseEtime(text),
      parseLstart(text),
    ]);
  }));
});

Deno.test("parsePsTable(), parseEtime() and parseLstart() take time in proportion to the text", () => {
  for (
    const part of [
      "1 ",
      "\n",
      " ",
      "-",
      "1:1",
      "PID PPID",
      " 1 1 1 1 1 1 1:1 - ",
      PROCPS_HEADER,
    ]
  ) {
    const text = PROCPS_HEADER + part.repeat(100_000);
    const started = performance.now();
    for (const parse of [parsePsTable, parseEtime, parseLstart]) parse(text);
    assert.ok(performance.now() - started < 2000, part);
  }
});
