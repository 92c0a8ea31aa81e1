/**
 * Deaths that are concluded in one go. A hundred of them ask the same questions
 * of the same machine, and starting a tool takes longer than most answers: each
 * question is put once for all.
 *
 * @module
 */

import type { Span } from "../evidence.ts";
import type { RunOptions, ToolResult, Tools } from "../process.ts";

/**
 * The answers that a group of deaths shares.
 *
 * It is made when all of them have been observed and thrown away when they are
 * concluded: so no death is judged by an answer from before it, whatever the
 * clocks do, and no later one ever sees these.
 *
 * @example Two deaths ask, the tool runs once
 * ```ts
 * import assert from "node:assert/strict";
 * import { Together } from "./together.ts";
 *
 * let runs = 0;
 * const run = () => {
 *   runs++;
 *   const ended = { code: 0, signal: undefined, timedOut: false, failure: undefined };
 *   return Promise.resolve({ ...ended, stdout: `${runs}`, stderr: "", truncated: false });
 * };
 * const together = new Together({ run }, []);
 * const [one, other] = [together.tools(), together.tools()];
 * assert.equal((await one.run("dmesg", [])).stdout, "1");
 * assert.equal((await other.run("dmesg", [])).stdout, "1");
 * assert.equal((await one.run("dmesg", [])).stdout, "2");
 * ```
 */
export class Together {
  /** All of them. */
  readonly deaths: readonly Span[];
  readonly #tools: Tools;
  readonly #answers = new Map<string, Promise<ToolResult>>();

  /**
   * Begins without any answer.
   *
   * @param tools Runs outside programs.
   * @param deaths All of them; observed by now.
   */
  constructor(tools: Tools, deaths: readonly Span[]) {
    this.#tools = tools;
    this.deaths = deaths;
  }

  /**
   * Tools for one of the deaths: what another one has asked already is not
   * asked again. One that asks the same twice wants to know what has changed,
   * and gets the second answer, which all that ask twice share.
   *
   * @returns The tools.
   */
  tools(): Tools {
    const asked = new Map<string, number>();
    return {
      run: (tool: string, args: readonly string[], options: RunOptions = {}) => {
        const question = JSON.stringify([tool, args, options]);
        const time = (asked.get(question) ?? 0) + 1;
        asked.set(question, time);
        const key = `${time} ${question}`;
        let answer = this.#answers.get(key);
        if (answer === undefined) {
          answer = this.#tools.run(tool, args, options);
          this.#answers.set(key, answer);
        }
        return answer;
      },
    };
  }
}
