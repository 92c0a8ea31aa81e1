import assert from "node:assert/strict";
import { canPlantFault, plantFault } from "./fixtures/fault.ts";
import { readsKernelLog } from "./fixtures/kernel_log.ts";
import { assertRecorded, type Fields, Live, type Session } from "./live.ts";
import { sendSignal } from "./live_host.ts";

/** The one verdict on a session's one death. */
async function verdictOf(live: Live, session: Session): Promise<Fields> {
  const verdict = await live.record("server-verdict", session.identity);
  assert.equal(live.records("server-verdict", session.identity).length, 1);
  return verdict;
}

/** Makes a server segfault by its own doing. */
async function crash(live: Live, { serverPid, sock }: Session): Promise<void> {
  await live.until("the server waits", () => plantFault(serverPid));
  // It comes back from the kernel to answer.
  assert.notEqual((await live.tmux(sock, "list-sessions")).code, 0);
}

for (const mode of ["own", "attach"] as const) {
  Deno.test({
    name: `${mode} mode: a server that really segfaults is crash, certain (needs root and dmesg)`,
    ignore: !canPlantFault,
    async fn() {
      await using live = await Live.open();
      const session = mode === "own"
        ? await live.launch("claude-bob")
        : await live.launchAttached("claude-bob");
      await crash(live, session);
      const seen = mode === "own" ? { cause: "signal", signal: "SIGSEGV" } : { cause: "vanished" };
      await assertRecorded(live, session, { ...seen, mode });
      const { verdict, confidence, reason } = await verdictOf(live, session);
      assert.deepEqual([verdict, confidence], ["crash", "certain"]);
      assert.match(
        reason!,
        new RegExp(
          `^kernel log: tmux: server\\[${session.serverPid}\\]: (segfault at 0 |unhandled )`,
        ),
      );
    },
  });
}

Deno.test({
  name: "a segfault of another process at the same time is not the server's (needs root and dmesg)",
  ignore: !canPlantFault,
  async fn() {
    await using live = await Live.open();
    const [bob, eve] = [await live.launch("claude-bob"), await live.launch("claude-eve")];
    await crash(live, eve);
    await live.record("server-verdict", "claude-eve");
    sendSignal(bob.serverPid, "SIGSEGV");
    await assertRecorded(live, bob, { signal: "SIGSEGV" });
    const { confidence, reason } = await verdictOf(live, bob);
    assert.equal(confidence, "likely");
    assert.doesNotMatch(reason!, /segfault/);
  },
});

Deno.test({
  name:
    "a SIGSEGV that was sent is crash, likely, with the remark that no kernel line exists (needs dmesg)",
  ignore: !readsKernelLog,
  async fn() {
    await using live = await Live.open();
    const session = await live.launch("claude-bob");
    sendSignal(session.serverPid, "SIGSEGV");
    await assertRecorded(live, session, { cause: "signal", signal: "SIGSEGV" });
    const { verdict, confidence, reason } = await verdictOf(live, session);
    assert.deepEqual([verdict, confidence], ["crash", "likely"]);
    assert.match(reason!, /no kernel line exists.* sent leaves none/);
  },
});

Deno.test({
  name:
    "attach mode: a SIGSEGV that was sent is told neither from a kill nor guessed (needs dmesg)",
  ignore: !readsKernelLog,
  async fn() {
    await using live = await Live.open();
    const session = await live.launchAttached("claude-bob");
    sendSignal(session.serverPid, "SIGSEGV");
    await assertRecorded(live, session, { cause: "vanished" });
    const { verdict, confidence, reason } = await verdictOf(live, session);
    assert.deepEqual([verdict, confidence], ["killed", "possible"]);
    assert.match(reason!, /SIGKILL or a crash/);
  },
});

Deno.test({
  name: "kill -9 on a quiet machine is killed, with what was looked at in vain (needs dmesg)",
  ignore: !readsKernelLog,
  async fn() {
    await using live = await Live.open();
    const session = await live.launch("claude-bob");
    sendSignal(session.serverPid, "SIGKILL");
    await assertRecorded(live, session, { cause: "signal", signal: "SIGKILL" });
    const { verdict, confidence, reason } = await verdictOf(live, session);
    assert.deepEqual([verdict, confidence], ["killed", "likely"]);
    assert.match(reason!, /^the server was ended by SIGKILL; nothing about it in dmesg, /);
    assert.match(reason!, /\/proc\/vmstat|OOM counter/);
  },
});

const REQUESTS: Readonly<Record<string, (live: Live, session: Session) => unknown>> = {
  "kill-server": (live, { sock }) => live.tmux(sock, "kill-server"),
  "a SIGTERM": (_, { serverPid }) => sendSignal(serverPid, "SIGTERM"),
  "a SIGINT": (_, { serverPid }) => sendSignal(serverPid, "SIGINT"),
};

for (const [name, end] of Object.entries(REQUESTS)) {
  for (const mode of ["own", "attach"] as const) {
    Deno.test(`${mode} mode: ${name} that nobody claimed is shutdown-request, likely`, async () => {
      await using live = await Live.open();
      const session = mode === "own"
        ? await live.launch("claude-bob")
        : await live.launchAttached("claude-bob");
      await end(live, session);
      await assertRecorded(live, session, { mode });
      const { verdict, confidence, reason } = await verdictOf(live, session);
      assert.deepEqual([verdict, confidence], ["shutdown-request", "likely"]);
      assert.match(reason!, /kill-server, TERM or INT, which nobody has claimed/);
    });
  }
}
