import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { inTempDir, until } from "./fixtures/root.ts";
import { processesOf } from "./live_host.ts";

const MAIN = fileURLToPath(new URL("../chaos/main.ts", import.meta.url));

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({
    name: `a chaos run that gets ${signal} ends what it has started, and removes its roots`,
    ignore: Deno.build.os !== "linux",
    fn: () =>
      inTempDir(async (dir) => {
        const run = new Deno.Command(Deno.execPath(), {
          args: ["run", "--quiet", "--no-check", "--allow-all", MAIN, "--schedules", "1000"],
          env: { TMPDIR: dir },
          stdin: "null",
          stdout: "null",
          stderr: "null",
        }).spawn();
        const others = async () => (await processesOf(dir)).filter(({ pid }) => pid !== run.pid);
        await until(
          "a server runs",
          async () => (await others()).some(({ command }) => command.includes("tmux -D")),
        );
        run.kill(signal);
        const { code } = await run.status;
        assert.equal(code, 130);
        assert.deepEqual(await others(), []);
        assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), []);
      }),
  });
}
