import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Live } from "./live.ts";
import { processesOf } from "./live_host.ts";

const MAIN = fileURLToPath(new URL("../chaos/main.ts", import.meta.url));

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({
    name: `a chaos run that gets ${signal} ends what it has started, and removes its roots`,
    ignore: Deno.build.os !== "linux",
    async fn() {
      await using live = await Live.open();
      const dir = `${live.base}/t`;
      await Deno.mkdir(dir);
      const args = ["run", "--quiet", "--no-check", "--allow-all", MAIN, "--schedules", "1000"];
      const run = live.startOther(Deno.execPath(), args, { env: { TMPDIR: dir } });
      await live.until(
        "a server runs",
        async () => (await processesOf(dir)).some(({ command }) => command.includes("tmux -D")),
      );
      run.kill(signal);
      assert.equal((await run.ended).code, 130);
      assert.deepEqual(await processesOf(dir), []);
      assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), []);
    },
  });
}
