import assert from "node:assert/strict";
import { join } from "node:path";
import { assertSilent, Live } from "./live.ts";
import { writeProgram } from "./fixtures/program.ts";

/** A directory with a tmux whose server takes its time between fork and start. */
function slowTmux(live: Live, secs: number): string {
  const dir = join(live.base, "bin");
  const real = new TextDecoder().decode(
    new Deno.Command("sh", { args: ["-c", "command -v tmux"] }).outputSync().stdout,
  ).trim();
  Deno.mkdirSync(dir);
  const script = `#!/bin/sh\ncase $1 in -D) sleep ${secs} ;; esac\nexec ${real} "$@"\n`;
  writeProgram(join(dir, "tmux"), script);
  return dir;
}

Deno.test("a session that ends by itself is silent though its server was slow to start", async () => {
  await using live = await Live.open();
  const PATH = `${slowTmux(live, 3.5)}:${Deno.env.get("PATH")}`;
  const session = await live.launch("claude-bob", [], ["sh", "-c", "exit 3"], { env: { PATH } });
  const record = await live.record("session-exit", "claude-bob");
  assert.equal(record["dead_status"], "3");
  await assertSilent(live, session);
});
