/**
 * The figures as a Markdown table.
 *
 * @module
 */

import { type Summary, summaryOf } from "./clock.ts";
import type { Measured } from "./subjects.ts";

/** Everything that was measured: by watcher and figure. */
export class Samples {
  readonly #values = new Map<string, Map<string, number[]>>();

  /** Adds what one round gave. */
  add(subject: string, measured: Measured): void {
    const figures = this.#values.get(subject) ?? new Map<string, number[]>();
    this.#values.set(subject, figures);
    for (const [figure, value] of Object.entries(measured)) {
      figures.set(figure, [...figures.get(figure) ?? [], value]);
    }
  }

  /** Median and spread of one figure of one watcher. */
  summary(subject: string, figure: string): Summary | undefined {
    return summaryOf(this.#values.get(subject)?.get(figure) ?? []);
  }

  /** How many times as long as the sh canary a watcher takes, by their medians. */
  ratio(subject: string, figure: string): number | undefined {
    const [own, sh] = [this.summary(subject, figure), this.summary("sh", figure)];
    return own === undefined || sh === undefined ? undefined : own.median / sh.median;
  }

  /** By watcher and figure: the values and what they say. */
  toJSON(): unknown {
    return Object.fromEntries(
      [...this.#values].map(([subject, figures]) => [
        subject,
        Object.fromEntries(
          [...figures].map(([figure, values]) => [figure, { ...summaryOf(values), values }]),
        ),
      ]),
    );
  }
}

const COLUMNS = [
  ["own", "own mode"],
  ["attach", "attach mode"],
  ["sh", "sh canary"],
  ["bare-deno", "bare parent, Deno"],
  ["bare-python", "bare `waitpid`, Python"],
] as const;

interface Row {
  readonly figure: string;
  readonly label: string;
  readonly digits: number;
  /** Shown as a multiple of the sh canary. */
  readonly ratio?: boolean;
}

const ROWS: readonly Row[] = [
  { figure: "noticed", label: "kill → noticed, ms", digits: 1 },
  { figure: "durable", label: "kill → line durable, ms ¹", digits: 1 },
  { figure: "durable", label: "… against the sh canary", digits: 2, ratio: true },
  { figure: "seen", label: "kill → line seen from outside, ms", digits: 1 },
  { figure: "snapshot", label: "kill → snapshot written, ms", digits: 0 },
  { figure: "bytes", label: "snapshot, bytes", digits: 0 },
  { figure: "verdict", label: "kill → `server-verdict` line, ms", digits: 0 },
  { figure: "start", label: "start, ms ²", digits: 0 },
  { figure: "private", label: "idle: private memory, MiB ³", digits: 1 },
  { figure: "pss", label: "idle: Pss, MiB ³", digits: 1 },
  { figure: "switches", label: "idle: context switches in 10 s ³", digits: 0 },
  { figure: "cpu", label: "idle: CPU time in 10 s, ms ³", digits: 2 },
];

const NOTES = [
  "¹ The sh canary does not sync: its line counts as soon as it is seen.",
  "² Own mode: `launch` → `READY`, from source. Attach mode: `adopt` → `ADOPTED`, from source. sh canary: `tmux new-session -d` alone.",
  "³ Attach mode and the sh canary with their waiting tmux client; own mode without the server. Three times ten seconds.",
];

/**
 * Writes the table.
 *
 * @param machine What it was measured on, one line.
 * @param samples What was measured.
 * @returns Markdown.
 */
export function renderTable(machine: string, samples: Samples): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    `Median (10th–90th percentile). ${machine}`,
    "",
    line(["", ...COLUMNS.map(([, title]) => title)]),
    line(["---", ...COLUMNS.map(() => "---:")]),
    ...ROWS.map((row) =>
      line([row.label, ...COLUMNS.map(([subject]) => cell(samples, subject, row))])
    ),
    "",
    ...NOTES.map((note) => `${note}  `),
  ].join("\n");
}

/** Figures that these columns have by their nature; elsewhere there is nothing to say. */
function cell(samples: Samples, subject: string, { figure, digits, ratio }: Row): string {
  if (ratio) {
    const value = samples.ratio(subject, figure);
    return value === undefined ? absent(subject, figure) : `${value.toFixed(digits)} ×`;
  }
  const summary = samples.summary(subject, figure);
  if (summary === undefined) return absent(subject, figure);
  const [median, low, high] = [summary.median, summary.p10, summary.p90].map((value) =>
    value.toFixed(digits)
  );
  return low === high ? median! : `${median} (${low}–${high})`;
}

function absent(subject: string, figure: string): string {
  const none = subject.startsWith("bare")
    ? figure !== "noticed"
    : subject === "sh" && (figure === "noticed" || figure === "verdict");
  return none ? "" : "n/a";
}
