/**
 * A log as somebody outside sees it: when which line appeared.
 *
 * @module
 */

import { join } from "node:path";
import { parseLine } from "../lib/logfmt.ts";

/** A line of logfmt and when it was there. */
export interface SeenLine {
  readonly fields: Map<string, string>;
  /** On the axis of `performance.now()`. */
  readonly at: number;
}

/** Watches a folder; the system tells of every change, nothing is polled. */
export class LogWatch {
  readonly #watcher: Deno.FsWatcher;
  readonly #log: string;
  readonly #changed = new Map<string, number>();
  readonly #lines: SeenLine[] = [];
  #wake: () => void = () => {};

  /**
   * @param dir The folder; it must be there.
   * @param name The log in it.
   */
  constructor(dir: string, name: string) {
    this.#log = join(dir, name);
    this.#watcher = Deno.watchFs(dir, { recursive: false });
    void this.#follow();
  }

  async #follow(): Promise<void> {
    for await (const { kind, paths } of this.#watcher) {
      if (kind !== "create" && kind !== "modify") continue;
      const at = performance.now();
      for (const path of paths) this.#changed.set(path, at);
      if (paths.includes(this.#log)) this.#read(at);
    }
  }

  #read(at: number): void {
    let text: string;
    try {
      text = Deno.readTextFileSync(this.#log);
    } catch {
      return;
    }
    const whole = text.split("\n").slice(0, -1);
    for (const line of whole.slice(this.#lines.length)) {
      this.#lines.push({ fields: parseLine(line), at });
    }
    this.#wake();
  }

  /** When a file of the folder last changed, on the axis of `performance.now()`. */
  changed(path: string): number | undefined {
    return this.#changed.get(path);
  }

  /**
   * Waits for a line.
   *
   * @param wanted Its fields.
   * @param timeoutMs How long, in milliseconds.
   * @returns The line, or `undefined` when the time was up.
   */
  async line(
    wanted: Readonly<Record<string, string>>,
    timeoutMs: number,
  ): Promise<SeenLine | undefined> {
    const deadline = performance.now() + timeoutMs;
    while (true) {
      const found = this.#lines.find(({ fields }) =>
        Object.entries(wanted).every(([key, value]) => fields.get(key) === value)
      );
      const left = deadline - performance.now();
      if (found !== undefined || left <= 0) return found;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
    }
  }

  /** Stops watching. */
  close(): void {
    this.#watcher.close();
  }
}
