import assert from "node:assert/strict";
import { judgeFileSystem, parseDf } from "../lib/doctor/disk.ts";
import {
  checkCrashReports,
  checkJournal,
  checkKernelLog,
  judgeCores,
  judgeJournal,
  judgeKernelLog,
  judgeReports,
} from "../lib/doctor/evidence.ts";
import type { Check, Examined, Said } from "../lib/doctor/check.ts";
import { CHECKS, examine, examined } from "../lib/doctor.ts";
import { checkDisk } from "../lib/doctor/disk.ts";
import { checkFiles, checkRoot, checkSockets } from "../lib/doctor/root.ts";
import { checkTmux, judgeVersion } from "../lib/doctor/tmux.ts";
import { contextOf } from "../lib/context.ts";
import type { ToolResult } from "../lib/process.ts";
import { inTempDir, result, withRoot } from "./fixtures/root.ts";
import { lines, patient, session, SYSTEMD } from "./fixtures/examined.ts";

async function linesOf(check: Check, of: Examined): Promise<string[]> {
  return lines(await check(of));
}

function remedyOf(said: readonly Said[]): string {
  return said.find(({ remedy }) => remedy !== undefined)!.remedy!;
}

Deno.test("examine() makes a line of its own of a check that throws, and names the check", async () => {
  const of = patient();
  const findings = await examine(of, {
    "first": () => [{ level: "ok", text: "well" }],
    "thrown": () => {
      throw new Error("no such\ntool");
    },
    "rejected": () => Promise.reject("not even an error"),
    "last": () => [{ level: "problem", text: "bad", remedy: "mend it" }],
  });
  assert.deepEqual(findings, [
    { check: "first", level: "ok", text: "well" },
    {
      check: "thrown",
      level: "warning",
      text: "could not look: no such tool",
      remedy: "iapeer doctor",
    },
    {
      check: "rejected",
      level: "warning",
      text: "could not look: not even an error",
      remedy: "iapeer doctor",
    },
    { check: "last", level: "problem", text: "bad", remedy: "mend it" },
  ]);
});

Deno.test("examine() says something sensible on a host without any tool, with a remedy wherever something is wrong", async () => {
  const findings = await examine(patient({ root: "/nowhere/at/all", made: false }));
  const levels = Object.fromEntries(findings.map(({ check, level }) => [check, level]));
  assert.equal(levels["tmux"], "problem");
  assert.equal(levels["disk"], "warning");
  assert.equal(levels["kernel log"], "warning");
  assert.deepEqual(Object.keys(CHECKS).filter((name) => !(name in levels)), [
    "files",
    "settings",
    "terminal",
    "strays",
  ]);
  for (const { level, text, remedy } of findings) {
    assert.equal(remedy !== undefined && remedy !== "", level !== "ok", text);
  }
});

Deno.test("examine() looks up once what several checks need", async () => {
  let looks = 0;
  const { ctx } = patient({ answer: () => ({ stdout: "" }) });
  const run = ctx.host.tools.run;
  const tools = {
    run: (tool: string, args: readonly string[]) => {
      if (tool === "ps") looks++;
      return run(tool, args);
    },
  };
  await inTempDir(async (dir) => {
    const of = examined(contextOf(dir, { ...ctx.host, tools }));
    await Promise.all([of.processes(), of.processes()]);
    await of.processes();
  });
  assert.equal(looks, 1);
});

Deno.test("examined() makes remedies that name a root which would not be guessed, quoted", () => {
  assert.equal(
    examined(contextOf("/srv/it's mine")).command("install"),
    "iapeer install --root '/srv/it'\\''s mine'",
  );
  const home = Deno.env.get("HOME")!;
  const of = examined(contextOf(Deno.env.get("IAPEER_ROOT") ?? `${home}/.iapeer`));
  assert.equal(of.command("install"), "iapeer install");
});

Deno.test("judgeVersion() wants tmux 3.3, and tells of an old fault that is healed", () => {
  const at = (said: string) => lines([judgeVersion(said, "/usr/bin/tmux", "linux")])[0]!;
  assert.match(at("tmux 3.2a"), /^problem: tmux 3\.2a at \/usr\/bin\/tmux is too old: 3\.3/);
  assert.match(at("tmux 2.9"), /^problem: /);
  assert.match(at("tmux 3.3a"), /^ok: tmux 3\.3a at \/usr\/bin\/tmux \(misses/);
  assert.equal(at("tmux 3.5a"), "ok: tmux 3.5a at /usr/bin/tmux");
  assert.equal(at("tmux 3.10"), "ok: tmux 3.10 at /usr/bin/tmux");
  assert.equal(at("tmux next-3.6"), "ok: tmux next-3.6 at /usr/bin/tmux");
  assert.match(at("tmux openbsd-7.4"), /^ok: .* cannot be told/);
  assert.match(at("tmux master"), /^ok: .* cannot be told/);
  const remedy = (platform: string) => judgeVersion("tmux 1.8", undefined, platform).remedy;
  assert.equal(remedy("darwin"), "brew install tmux");
  assert.equal(remedy("linux"), "sudo apt-get install tmux");
});

/** A host where these paths are programs, and these the same file. */
function withPrograms(
  programs: Readonly<Record<string, string>>,
  same: readonly string[] = [],
): (tool: string, args: readonly string[]) => Partial<ToolResult> {
  const [mine] = Object.values(programs);
  return (tool, args) => {
    if (tool === "test" && args[1] === "-ef") {
      return { code: same.includes(args[0]!) && same.includes(args[2]!) ? 0 : 1 };
    }
    if (tool === "test") return { code: args[1]! in programs ? 0 : 1 };
    if (tool === "tmux") return { stdout: `${mine}\n` };
    const version = programs[tool];
    return version === undefined
      ? { code: undefined, failure: `${tool}: not permitted` }
      : { stdout: `${version}\n` };
  };
}

Deno.test("checkTmux() tells that there is none, or that it does not run", async () => {
  const none = await checkTmux(patient());
  assert.deepEqual(lines(none), ["problem: there is none on your PATH"]);
  assert.equal(remedyOf(none), "sudo apt-get install tmux");
  const broken = patient({ answer: () => ({ code: 127, stderr: "tmux: no libevent\n" }) });
  assert.deepEqual(await linesOf(checkTmux, broken), [
    "problem: it does not run: tmux: no libevent",
  ]);
});

Deno.test("checkTmux() looks along the service's own PATH, else along the manager's default one", async () => {
  const service = (path?: string) => () => {
    const { PATH: _path, ...settings } = SYSTEMD.settings;
    return Promise.resolve({
      ...SYSTEMD,
      settings: path === undefined ? settings : { ...settings, PATH: path },
    });
  };
  const path = "/opt/bin:relative:/usr/bin";
  const answer = withPrograms({ "/opt/bin/tmux": "tmux 3.6" });
  const [mine, theirs] = await checkTmux(patient({ path, answer, service: service("/usr/bin") }));
  assert.deepEqual(mine, { level: "ok", text: "tmux 3.6 at /opt/bin/tmux" });
  assert.deepEqual(theirs, {
    level: "problem",
    text: "the service's PATH (/usr/bin) leads to none",
    remedy: "iapeer install",
  });
  const unset = patient({ path, answer, service: service() });
  assert.match((await linesOf(checkTmux, unset))[1]!, /^problem: the default PATH of a service/);
  // Where such an entry leads depends on the caller.
  const relative = withPrograms({ "relative/tmux": "tmux 3.6" });
  assert.match(
    (await linesOf(checkTmux, patient({ answer: relative, service: service("relative") })))[1]!,
    /^problem: .* leads to none/,
  );
  const found = patient({ path, answer, service: service("/bin:/opt/bin") });
  assert.equal(
    (await linesOf(checkTmux, found))[1],
    "ok: the service finds it as /opt/bin/tmux",
  );
});

Deno.test("checkTmux() warns of another tmux for the service, unless it is the same by another name or of the same version", async () => {
  const path = "/opt/bin";
  const service = () => Promise.resolve({ ...SYSTEMD, settings: { PATH: "/usr/bin" } });
  const theirs = async (answer: ReturnType<typeof withPrograms>) =>
    (await linesOf(checkTmux, patient({ path, service, answer })))[1]!;
  const both = (version: string) => ({ "/opt/bin/tmux": "tmux 3.6", "/usr/bin/tmux": version });
  assert.match(
    await theirs(withPrograms(both("tmux 3.3a"))),
    /^warning: the service starts another tmux than you: \/usr\/bin\/tmux \(tmux 3\.3a\), not \/opt\/bin\/tmux/,
  );
  assert.match(await theirs(withPrograms(both("tmux 3.6"))), /^ok: .* of the same version/);
  const linked = withPrograms(both("tmux 3.3a"), ["/opt/bin/tmux", "/usr/bin/tmux"]);
  assert.equal(await theirs(linked), "ok: the service finds it as /usr/bin/tmux");
  const refused = withPrograms(both("tmux 3.6"));
  assert.match(
    await theirs((tool, args) =>
      tool === "/usr/bin/tmux" ? { code: undefined, failure: "not permitted" } : refused(tool, args)
    ),
    /^warning: .*: \/usr\/bin\/tmux, not \/opt\/bin\/tmux/,
  );
});

Deno.test("checkRoot() does not mind a root that is not there yet, and does not make it", () =>
  inTempDir((dir) => {
    const of = patient({ root: `${dir}/r`, made: false });
    assert.deepEqual(lines(checkRoot(of)), [
      `ok: ${dir}/r: no root yet, the first launch makes it`,
    ]);
    assert.deepEqual(checkFiles(of), []);
    assert.deepEqual([...Deno.readDirSync(dir)], []);
  }));

Deno.test("checkRoot() judges owner and mode as the commands do", () =>
  inTempDir((dir) => {
    const root = `${dir}/my root`;
    Deno.mkdirSync(root);
    const at = (mode: number) => {
      Deno.chmodSync(root, mode);
      return checkRoot(patient({ root }));
    };
    assert.deepEqual(lines(at(0o700)), [`ok: ${root}: yours, closed to others`]);
    assert.match(lines(at(0o750))[0]!, /^warning: .* has mode 0750: others can see/);
    assert.match(lines(at(0o770))[0]!, /^problem: .* mode 0770: others can write to it/);
    assert.match(lines(at(0o500))[0]!, /^problem: .* mode 0500: you cannot use it/);
    assert.equal(remedyOf(at(0o777)), `chmod 700 '${root}'`);
    at(0o700);
    const theirs = checkRoot(patient({ root, uid: 4711 }));
    assert.match(lines(theirs)[0]!, /^problem: .* belongs to user \d+, not to you \(4711\)/);
    assert.equal(remedyOf(theirs), `sudo chown -R 4711 '${root}'`);
  }));

Deno.test("checkRoot() tells where a root that is a symlink lies, and refuses a file", () =>
  inTempDir((dir) => {
    Deno.mkdirSync(`${dir}/real`, { mode: 0o700 });
    Deno.symlinkSync(`${dir}/real`, `${dir}/link`);
    assert.deepEqual(lines(checkRoot(patient({ root: `${dir}/link` }))), [
      `ok: ${dir}/link, which is ${dir}/real: yours, closed to others`,
    ]);
    Deno.writeTextFileSync(`${dir}/file`, "");
    const said = checkRoot(patient({ root: `${dir}/file` }));
    assert.deepEqual(lines(said), [`problem: ${dir}/file is not a directory`]);
    assert.equal(remedyOf(said), `mv ${dir}/file ${dir}/file.away`);
  }));

Deno.test("checkFiles() names what is open to others, with a command for each of a few and one for many", () =>
  withRoot((ctx) => {
    const { root } = ctx.paths;
    const of = patient({ root });
    assert.match(lines(checkFiles(of))[0]!, /^ok: all \d+: yours, closed to others$/);
    Deno.writeTextFileSync(ctx.paths.exitsLog, "");
    Deno.chmodSync(ctx.paths.exitsLog, 0o644);
    Deno.chmodSync(ctx.paths.run, 0o750);
    const few = checkFiles(of);
    assert.deepEqual(few.map(({ level }) => level), ["warning"]);
    assert.match(
      few[0]!.text,
      /^open to others.*: (?:run, logs\/.*|logs\/iapeer\/exits\.log, run)$/,
    );
    assert.deepEqual(remedyOf(few).split("\n"), [
      `chmod 700 ${ctx.paths.run}`,
      `chmod 600 ${ctx.paths.exitsLog}`,
    ]);
    for (let n = 0; n < 5; n++) {
      Deno.writeTextFileSync(ctx.paths.claim(`claude-${n}`), "");
      Deno.chmodSync(ctx.paths.claim(`claude-${n}`), 0o640);
    }
    const many = checkFiles(of);
    assert.match(many[0]!.text, / and 4 more$/);
    assert.equal(remedyOf(many), `chmod -R u+rwX,go= ${root}`);
  }));

Deno.test("checkFiles() calls what you may not write yourself a problem, and follows no symlink", () =>
  withRoot((ctx) => {
    const of = patient({ root: ctx.paths.root });
    Deno.symlinkSync("/etc", `${ctx.paths.logs}/etc`);
    assert.match(lines(checkFiles(of))[0]!, /^ok: /);
    Deno.writeTextFileSync(ctx.paths.exitsLog, "");
    Deno.chmodSync(ctx.paths.exitsLog, 0o400);
    const closed = checkFiles(of);
    assert.deepEqual(lines(closed), ["problem: closed to yourself: logs/iapeer/exits.log"]);
    assert.equal(remedyOf(closed), `chmod 600 ${ctx.paths.exitsLog}`);
    const foreign = checkFiles(patient({ root: ctx.paths.root, uid: 4711 }));
    assert.match(lines(foreign)[0]!, /^problem: of another user/);
    assert.equal(remedyOf(foreign), `sudo chown -R 4711 ${ctx.paths.root}`);
  }));

Deno.test("checkSockets() tells how long an identity may be below a root", async () => {
  const of = (length: number, ...identities: string[]) =>
    patient({
      root: `/${"r".repeat(length - 1)}`,
      made: false,
      sessions: () =>
        Promise.resolve({ known: identities.map((one) => session(one)), damaged: [] }),
    });
  // 103 bytes hold the root, "/run/", the identity and ".sock".
  assert.deepEqual(await linesOf(checkSockets, of(20)), [
    "ok: an identity may have 64 characters here",
  ]);
  const known = of(60, "claude-bob");
  assert.equal(
    (await linesOf(checkSockets, known))[0],
    "ok: an identity may have 33 characters here, the longest has 10",
  );
  assert.match((await linesOf(checkSockets, of(80)))[0]!, /^warning: .* 13 characters only/);
  assert.match((await linesOf(checkSockets, of(90)))[0]!, /^ok: .*|^warning: .* 3 characters only/);
  assert.match((await linesOf(checkSockets, of(91)))[0]!, /^problem: .* too long for any socket/);
  assert.match(
    (await linesOf(checkSockets, of(80, "claude-bob-the-second")))[0]!,
    /^problem: the longest identity has 21 characters, only 13 fit/,
  );
});

Deno.test("checkSockets() finds sessions launched while the root had another path", () =>
  withRoot(async (ctx) => {
    const { root } = ctx.paths;
    Deno.symlinkSync(root, `${root}-link`);
    const known = [
      session("claude-bob", { record: { sock: "/old/run/claude-bob.sock" } }),
      session("codex-ann", { record: { sock: `${root}/run/codex-ann.sock` } }),
      session("adopted-one", { record: { sock: "/elsewhere/x", external: true } }),
      session("gone-one", { record: { sock: "/old/x" }, status: { state: "gone" } }),
    ];
    const said = await checkSockets(patient({
      root: `${root}-link`,
      sessions: () => Promise.resolve({ known, damaged: [] }),
    }));
    assert.match(lines(said)[1]!, /^warning: claude-bob: launched when the root had another path/);
    assert.equal(remedyOf(said), "iapeer stop claude-bob && iapeer start claude-bob");
    assert.equal(said.length, 2);
  }));

Deno.test("parseDf() reads Linux, macOS and names with blanks", () => {
  assert.deepEqual(
    parseDf(
      "Filesystem     Type 1024-blocks     Used Available Capacity Mounted on\n" +
        "/dev/vda       ext4   264212084 22940296  83450616      22% /srv/my disk\n",
    ),
    {
      device: "/dev/vda",
      type: "ext4",
      totalKiB: 264212084,
      freeKiB: 83450616,
      mount: "/srv/my disk",
    },
  );
  assert.deepEqual(
    parseDf(
      "Filesystem   1024-blocks      Used Available Capacity  Mounted on\n" +
        "/dev/disk3s5   482797652 402337520  55131412    88%    /System/Volumes/Data\n",
    ),
    {
      device: "/dev/disk3s5",
      totalKiB: 482797652,
      freeKiB: 55131412,
      mount: "/System/Volumes/Data",
    },
  );
  const share = parseDf(
    "Filesystem   1024-blocks  Used Available Capacity  Mounted on\n" +
      "map auto_home 0 0 0 100% /home\n",
  );
  assert.equal(share?.device, "map auto_home");
  assert.equal(parseDf(""), undefined);
  assert.equal(parseDf("df: /x: No such file or directory\n"), undefined);
});

Deno.test("judgeFileSystem() warns below 100 MiB or 2 %, and calls less than 10 MiB a problem", () => {
  const level = (freeKiB: number, totalKiB = 10 << 20) =>
    judgeFileSystem({ device: "/dev/vda", type: "ext4", totalKiB, freeKiB, mount: "/" })
      .map((said) => said.level);
  assert.deepEqual(level(5 << 20), ["ok"]);
  assert.deepEqual(level(250 << 10), ["ok"]);
  assert.deepEqual(level(200 << 10), ["warning"], "under 2 % of 10 GiB");
  assert.deepEqual(level(99 << 10, 1 << 20), ["warning"], "under 100 MiB");
  assert.deepEqual(level(9 << 10, 1 << 20), ["problem"]);
  assert.deepEqual(level(0, 0), ["problem"]);
});

Deno.test("judgeFileSystem() warns of memory and of the network", () => {
  const of = (device: string, type?: string) =>
    lines(
      judgeFileSystem({
        device,
        ...(type === undefined ? {} : { type }),
        totalKiB: 10 << 20,
        freeKiB: 5 << 20,
        mount: "/r",
      }),
    )[1];
  assert.match(of("tmpfs", "tmpfs")!, /^warning: the root lies in memory \(tmpfs\)/);
  for (const type of ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"]) {
    assert.match(of("server:/x", type)!, /^warning: the root lies on a network file system/, type);
  }
  for (const type of ["ext4", "btrfs", "xfs", "zfs", "overlay", "fuse.ntfs", "apfs"]) {
    assert.equal(of("/dev/x", type), undefined, type);
  }
  // macOS tells no types.
  assert.match(of("server:/export")!, /^warning: .*network file system \(server:\/export\)/);
  assert.match(of("//bob@server/share")!, /^warning: /);
  assert.equal(of("/dev/disk3s5"), undefined);
});

Deno.test("checkDisk() asks for the nearest folder that is there, and for inodes", async () => {
  const asked: string[] = [];
  const answer = (_tool: string, [flags, dir]: readonly string[]): Partial<ToolResult> => {
    asked.push(`${flags} ${dir}`);
    if (dir !== "/nowhere") {
      return { code: 1, stderr: `df: ${dir}: No such file or directory\n` };
    }
    return {
      stdout: flags === "-Pi"
        ? "Filesystem Inodes IUsed IFree IUse% Mounted on\n/dev/vda 16777216 16776816 400 100% /\n"
        : "Filesystem Type 1024-blocks Used Available Capacity Mounted on\n/dev/vda ext4 9000000 1 8000000 1% /\n",
    };
  };
  const said = await checkDisk(patient({ root: "/nowhere/at/all", made: false, answer }));
  assert.deepEqual(asked, [
    "-PkT /nowhere/at/all",
    "-PkT /nowhere/at",
    "-PkT /nowhere",
    "-Pi /nowhere",
  ]);
  assert.deepEqual(said.map(({ level }) => level), ["ok", "warning"]);
  assert.match(said[1]!.text, /^400 inodes left/);
  assert.equal(said[1]!.remedy, "du --inodes -xd1 /nowhere | sort -n");
  const uncounted = patient({
    answer: (_tool, [flags]) => ({
      stdout: flags === "-Pi"
        ? "Filesystem Inodes IUsed IFree IUse% Mounted on\n/dev/vda 0 0 0 0% /\n"
        : "Filesystem Type 1024-blocks Used Available Capacity Mounted on\n/dev/vda btrfs 9000000 1 8000000 1% /\n",
    }),
  });
  assert.deepEqual((await checkDisk(uncounted)).map(({ level }) => level), ["ok"]);
  await assert.rejects(
    async () => await checkDisk(patient()),
    /^Error: df: not found$/,
  );
});

Deno.test("judgeKernelLog() is content with one of the two ways, else names the remedy that fits", () => {
  const seen = (source: string) => ({ source, state: "nothing", facts: [] }) as const;
  const unseen = (source: string, why: string) =>
    ({ source, state: "unseen", why, facts: [] }) as const;
  assert.deepEqual(lines([judgeKernelLog([seen("dmesg"), seen("journalctl -k")])]), [
    "ok: dmesg and journalctl -k can be read",
  ]);
  const denied = unseen("dmesg", "dmesg: read kernel buffer failed: Operation not permitted");
  const hidden = unseen("journalctl -k", "No journal files were found.");
  assert.deepEqual(lines([judgeKernelLog([denied, seen("journalctl -k")])]), [
    "ok: journalctl -k can be read",
  ]);
  const said = judgeKernelLog([denied, hidden]);
  assert.deepEqual(lines([said]), [
    "warning: dmesg: read kernel buffer failed: Operation not permitted; journalctl -k: No journal " +
    "files were found.; an OOM kill is told by counters only",
  ]);
  assert.match(said.remedy!, /^sudo sysctl -w kernel\.dmesg_restrict=0\n.*sysctl\.d/);
  const remedy = (why: string) => judgeKernelLog([unseen("dmesg", why), hidden]).remedy!;
  assert.match(remedy("this is a container: the kernel's log …"), /--pid=host/);
  assert.match(remedy("dmesg: not found"), /util-linux/);
  assert.match(remedy("the kernel log is empty: cleared, or hidden from here"), /dmesg/);
});

Deno.test("judgeJournal() tells a host without a journal from one whose journal is hidden", () => {
  const unseen = (why: string) =>
    ({ source: "journalctl", state: "unseen", why, facts: [] }) as const;
  const seen = { source: "journalctl", state: "nothing", facts: [] } as const;
  assert.equal(judgeJournal(seen, true).level, "ok");
  const none = unseen("No journal files were found.");
  assert.deepEqual(lines([judgeJournal(none, false)]), [
    "ok: there is none: systemd does not run this host",
  ]);
  assert.match(judgeJournal(none, true).remedy!, /mkdir -p \/var\/log\/journal/);
  assert.equal(judgeJournal(unseen("journalctl: not found"), false).level, "ok");
  const others = judgeJournal(
    unseen("Hint: You are currently not seeing messages from other users and the system."),
    true,
  );
  assert.equal(others.level, "warning");
  assert.match(others.remedy!, /usermod -aG systemd-journal/);
});

Deno.test("judgeReports() and judgeCores() tell what cannot be looked at, and how to mend it", () => {
  const unseen = (source: string, why: string) =>
    ({ source, state: "unseen", why, facts: [] }) as const;
  const seen = (source: string) => ({ source, state: "nothing", facts: [] }) as const;
  assert.equal(judgeReports([seen("DiagnosticReports"), seen("JetsamEvent")]).level, "ok");
  const reports = judgeReports([
    seen("DiagnosticReports"),
    unseen("JetsamEvent", "/Library/Logs/DiagnosticReports: Operation not permitted"),
  ]);
  assert.match(
    lines([reports])[0]!,
    /^warning: JetsamEvent: \/Library\/Logs\/DiagnosticReports: Operation not permitted; such a death/,
  );
  assert.match(reports.remedy!, /Privacy_AllFiles/);
  assert.equal(judgeCores(seen("coredumpctl")).level, "ok");
  assert.match(judgeCores(unseen("coredumpctl", "coredumpctl: not found")).remedy!, /apt-get/);
  assert.match(judgeCores(unseen("coredumpctl", "No journal files")).remedy!, /usermod/);
});

Deno.test("the checks of evidence ask the collectors that gather it", async () => {
  const answer = (tool: string, args: readonly string[]): Partial<ToolResult> => {
    switch (tool) {
      case "dmesg":
        return { code: 1, stderr: "dmesg: read kernel buffer failed: Operation not permitted\n" };
      case "journalctl":
        return { stderr: "No journal files were found.\n-- No entries --\n" };
      case "cat":
        return args[0] === "/proc/sys/kernel/core_pattern"
          ? { stdout: "|/usr/lib/systemd/systemd-coredump %P\n" }
          : result();
      case "coredumpctl":
        return { code: 1, stderr: "No coredumps found.\n" };
      default:
        return { code: 1 };
    }
  };
  const of = patient({ answer });
  assert.match(
    (await linesOf(checkKernelLog, of))[0]!,
    /^warning: dmesg: .*not permitted; journalctl -k: No journal/,
  );
  assert.match((await linesOf(checkJournal, of))[0]!, /^ok: there is none/);
  assert.deepEqual(await linesOf(checkCrashReports, of), [
    "ok: core dumps: coredumpctl can be read",
  ]);
  const plain = patient({ answer: () => ({ stdout: "core\n" }) });
  assert.match(
    (await linesOf(checkCrashReports, plain))[0]!,
    /^ok: no core dumps are kept \(core_pattern is core\)/,
  );
  const mac = patient({ host: { platform: "darwin", home: "/nowhere" } });
  assert.match((await linesOf(checkKernelLog, mac))[0]!, /^warning: log: not found/);
  assert.deepEqual(await linesOf(checkJournal, mac), []);
  assert.match((await linesOf(checkCrashReports, mac))[0]!, /^warning: DiagnosticReports: /);
});
