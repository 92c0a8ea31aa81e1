/**
 * The least that a parent in Deno can do: starts a tmux server, waits for its
 * end and says when it learned of it. Run by the bench as a program of its own.
 *
 * @module
 */

import { wallOrigin } from "./clock.ts";

const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));

const [sock = ""] = Deno.args;
const server = new Deno.Command("tmux", {
  args: ["-D", "-S", sock, "-f", "/dev/null"],
  stdin: "null",
  stdout: "null",
  stderr: "null",
  detached: true,
}).spawn();
say(String(server.pid));
await server.status;
const noticed = performance.now();
say(String(wallOrigin() + noticed));
