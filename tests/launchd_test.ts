import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { contextOf } from "../lib/context.ts";
import { denoHost } from "../lib/host.ts";
import { encodePlist, launchd, parsePrint } from "../lib/launchd.ts";
import type { ToolResult } from "../lib/process.ts";
import { inTempDir, result, toolsThat } from "./fixtures/root.ts";
import { AWKWARD, AWKWARD_CHARACTERS, must, testWith, writtenSteps } from "./fixtures/service.ts";

const SETUP = {
  program: "/Users/bob/.local/bin/iapeer",
  environment: { PATH: "/opt/homebrew/bin:/usr/bin" },
};
const TARGET = "gui/501/dev.iapeer.supervise";

type Answer = (tool: string, args: readonly string[]) => Partial<ToolResult>;

function agentThat(answer: Answer, root = "/Users/bob/.iapeer") {
  const host = { ...denoHost, platform: "darwin", tools: toolsThat(answer) };
  return launchd(contextOf(root, host), "/Users/bob/Library/LaunchAgents", "", 501);
}

/** The strings in a property list that libplist has read, written in binary, and read again. */
function throughLibplist(dir: string, text: string): string[] {
  const xml = join(dir, "a.plist");
  const binary = join(dir, "b.plist");
  Deno.writeTextFileSync(xml, text);
  must("plistutil", ["-f", "bin", "-i", xml, "-o", binary]);
  assert.equal(Deno.readTextFileSync(binary).slice(0, 6), "bplist");
  const { stdout } = must("plistutil", ["-f", "xml", "-i", binary]);
  const entities: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return [...stdout.matchAll(/<string>([^<]*)<\/string>/g)].map(([, said]) =>
    said!.replace(/&(\w+);/g, (_, name: string) => entities[name] ?? `&${name};`)
  );
}

testWith(
  "plistutil",
  "encodePlist() survives libplist, through its binary form",
  () =>
    inTempDir((dir) => {
      assert.deepEqual(throughLibplist(dir, encodePlist([...AWKWARD])), AWKWARD);
    }),
);

testWith(
  "plistutil",
  "encodePlist() survives libplist: any awkward text",
  () =>
    inTempDir((dir) => {
      const unit = fc.oneof(
        fc.constantFrom(...AWKWARD_CHARACTERS),
        fc.string({ unit: "grapheme", maxLength: 1 }),
      );
      const text = fc.string({ unit, maxLength: 20 })
        // deno-lint-ignore no-control-regex -- refused, see below.
        .filter((value) => !/[\x00-\x1f\x7f-\x9f\ufffe\uffff]/.test(value));
      fc.assert(
        fc.property(fc.array(text, { minLength: 20, maxLength: 20 }), (texts) => {
          assert.deepEqual(throughLibplist(dir, encodePlist(texts)), texts);
        }),
        { numRuns: 25 },
      );
    }),
);

Deno.test("encodePlist() refuses what XML cannot hold", () => {
  for (const bad of ["a\nb", "\0", "\u{1b}", "\u{7f}", "\u{fffe}", "\ud800"]) {
    assert.throws(() => encodePlist({ key: bad }), /control characters/);
    assert.throws(() => encodePlist({ [bad]: 1 }), /control characters/);
  }
});

Deno.test("the agent says what keeps the sessions alive", async () => {
  const agent = await agentThat(() => ({}), "/Users/bob/R&D <1>");
  assert.equal(agent.file, "/Users/bob/Library/LaunchAgents/dev.iapeer.supervise.plist");
  assert.equal(
    agent.text(SETUP),
    `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>dev.iapeer.supervise</string>
  <key>ProgramArguments</key>
  <array>
    <string>/Users/bob/.local/bin/iapeer</string>
    <string>supervise</string>
    <string>--root</string>
    <string>/Users/bob/R&amp;D &lt;1&gt;</string>
  </array>
  <key>EnvironmentVariables</key>
  <dict>
    <key>PATH</key>
    <string>/opt/homebrew/bin:/usr/bin</string>
  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <true/>
  <key>ThrottleInterval</key>
  <integer>10</integer>
  <key>ExitTimeOut</key>
  <integer>20</integer>
  <key>ProcessType</key>
  <string>Interactive</string>
  <key>AbandonProcessGroup</key>
  <true/>
  <key>LimitLoadToSessionType</key>
  <string>Aqua</string>
  <key>Umask</key>
  <integer>63</integer>
  <key>StandardOutPath</key>
  <string>/Users/bob/R&amp;D &lt;1&gt;/logs/iapeer/supervise.log</string>
  <key>StandardErrorPath</key>
  <string>/Users/bob/R&amp;D &lt;1&gt;/logs/iapeer/supervise.log</string>
</dict>
</plist>
`,
  );
});

Deno.test("without a login at the screen the agent belongs to the user's domain", async () => {
  const noScreen: Answer = (_, args) => args[1] === "gui/501" ? { code: 125 } : { code: 113 };
  const agent = await agentThat(noScreen);
  assert.match(agent.text(SETUP), /<key>LimitLoadToSessionType<\/key>\n {2}<string>Background</);
  const steps = writtenSteps();
  await agent.load(steps, true);
  assert.deepEqual(steps.ran, [
    "launchctl enable user/501/dev.iapeer.supervise",
    `launchctl bootstrap user/501 ${agent.file}`,
  ]);
});

/**
 * A launchd that has a label or has not, lets go of it late, and refuses to
 * take it for a while after.
 */
class FakeLaunchd {
  loaded: boolean;
  /** So many looks later the label is gone. */
  lingers = 0;
  refusals = 0;

  constructor(loaded: boolean) {
    this.loaded = loaded;
  }

  readonly answer: Answer = (_, [verb, target]) => {
    switch (verb) {
      case "print":
        if (target !== TARGET) return {};
        if (this.lingers > 0 && --this.lingers === 0) this.loaded = false;
        return { code: this.loaded ? 0 : 113 };
      case "bootout":
        this.lingers = 3;
        return {};
      case "bootstrap":
        if (this.refusals-- > 0) {
          return { code: 5, stderr: "Bootstrap failed: 5: Input/output error\n" };
        }
        if (this.loaded) {
          return { code: 37, stderr: "Bootstrap failed: 37: Operation already in progress\n" };
        }
        this.loaded = true;
        return {};
      default:
        return {};
    }
  };
}

Deno.test("an update whose plist is the same kicks the agent; another plist is loaded anew", async () => {
  const fake = new FakeLaunchd(true);
  fake.refusals = 2;
  const agent = await agentThat(fake.answer);
  const same = writtenSteps(fake.answer);
  await agent.load(same, false);
  assert.deepEqual(same.ran, [`launchctl kickstart -k ${TARGET}`]);
  const other = writtenSteps(fake.answer);
  await agent.load(other, true);
  const bootstrap = `launchctl bootstrap gui/501 ${agent.file}`;
  assert.deepEqual(other.ran, [
    `launchctl bootout ${TARGET}`,
    `launchctl enable ${TARGET}`,
    bootstrap,
    bootstrap,
    bootstrap,
  ]);
  assert(fake.loaded);
});

Deno.test("unload() waits until launchd has let go, and leaves alone what is not loaded", async () => {
  const fake = new FakeLaunchd(true);
  const agent = await agentThat(fake.answer);
  const steps = writtenSteps(fake.answer);
  await agent.unload(steps);
  assert(!fake.loaded);
  await agent.unload(steps);
  assert.deepEqual(steps.ran, [`launchctl bootout ${TARGET}`]);
});

Deno.test("load() names what launchd said", async () => {
  const agent = await agentThat((_, args) => ({ code: args[1] === "gui/501" ? 0 : 113 }));
  const steps = writtenSteps((_, [verb]) =>
    verb === "bootstrap"
      ? { code: 78, stderr: "Bootstrap failed: 78: Function not implemented\n" }
      : {}
  );
  await assert.rejects(
    agent.load(steps, true),
    /^IapeerError: Cannot start the service dev\.iapeer\.supervise: launchctl: Bootstrap failed: 78: Function not implemented; see: launchctl print gui\/501\/dev\.iapeer\.supervise$/,
  );
});

/** As `launchctl print` prints a service; it is no documented interface. */
const PRINTED = `${TARGET} = {
\tactive count = 1
\tpath = /Users/bob/Library/LaunchAgents/dev.iapeer.supervise.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /Users/bob/.local/bin/iapeer
\tdefault environment = {
\t\tPATH => /usr/bin:/bin:/usr/sbin:/sbin
\t}

\tminimum runtime = 10
\texit timeout = 20
\truns = 1
\tpid = 4242
\tendpoints = {
\t\t"x" = {
\t\t\tstate = active
\t\t\tpid = 1
\t\t}
\t}
}
`;

Deno.test("parsePrint() tells loaded, running and not asked apart", () => {
  assert.deepEqual(parsePrint(result({ stdout: PRINTED })), {
    loaded: true,
    running: true,
    pid: 4242,
  });
  const waiting = PRINTED.replace("\tstate = running", "\tstate = waiting").replace(
    "\tpid = 4242\n",
    "",
  );
  assert.deepEqual(parsePrint(result({ stdout: waiting })), { loaded: true, running: false });
  assert.deepEqual(parsePrint(result({ code: 113 })), { loaded: false, running: false });
  assert.deepEqual(parsePrint(result({ code: 64 })), {});
});

Deno.test("state() tells what launchd and the property list say", async () => {
  const program = `/Users/b"ob/R&D <1> 'x'/iapeer`;
  const plist = (await agentThat(() => ({}))).text({
    program,
    environment: { PATH: "/o pt/a&b:/bin" },
  });
  const agent = await agentThat((tool, args) => {
    if (tool === "test") return {};
    if (tool === "cat") return { stdout: plist };
    return args[1] === TARGET ? { stdout: PRINTED } : {};
  });
  const { settings, ...state } = await agent.state();
  assert.deepEqual(state, {
    manager: "launchd",
    file: agent.file,
    installed: true,
    loaded: true,
    running: true,
    pid: 4242,
    program,
  });
  assert.equal(settings["PATH"], "/o pt/a&b:/bin");
  assert.equal(settings["AbandonProcessGroup"], "true");
  assert.equal(settings["KeepAlive"], "true");
  assert.equal(settings["ProcessType"], "Interactive");
  assert.equal(settings["ExitTimeOut"], "20");
  assert(agent.starts(plist, program));
  assert(!agent.starts(plist, "/Users/bob/iapeer"));
});

Deno.test("state() says why it could not look", async () => {
  const agent = await agentThat((tool, args) =>
    tool === "test"
      ? { code: 1 }
      : args[0] === "print"
      ? { code: undefined, failure: "launchctl: not permitted" }
      : {}
  );
  const { loaded, running, trouble } = await agent.state();
  assert.deepEqual([loaded, running, trouble], [undefined, undefined, "launchctl: not permitted"]);
  const binary = await agentThat((tool) => tool === "cat" ? { stdout: "bplist00\u{0}" } : {});
  assert.match((await binary.state()).trouble!, /is not XML/);
});
