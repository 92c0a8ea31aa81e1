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
  /** Who can have it by nature; for the others there is nothing to say. */
  readonly of: readonly string[];
  /** Shown as a multiple of the sh canary. */
  readonly ratio?: boolean;
}

const IAPEER = ["own", "attach"];
const CANARIES = [...IAPEER, "sh"];
const PARENTS = [...IAPEER, "bare-deno", "bare-python"];
const IDLE = [...CANARIES, "bare-deno"];

const ROWS: readonly Row[] = [
  { figure: "noticed", label: "kill → noticed, ms", digits: 1, of: PARENTS },
  { figure: "durable", label: "kill → line durable, ms ¹", digits: 1, of: CANARIES },
  { figure: "durable", label: "… against the sh canary", digits: 2, of: CANARIES, ratio: true },
  { figure: "seen", label: "kill → line seen from outside, ms", digits: 1, of: CANARIES },
  { figure: "snapshot", label: "kill → snapshot written, ms", digits: 0, of: CANARIES },
  { figure: "bytes", label: "snapshot, bytes", digits: 0, of: CANARIES },
  { figure: "verdict", label: "kill → `server-verdict` line, ms", digits: 0, of: IAPEER },
  { figure: "oomNoticed", label: "OOM kill → noticed, ms ²", digits: 1, of: IAPEER },
  { figure: "oomVerdict", label: "OOM kill → `server-verdict` line, ms ²", digits: 0, of: IAPEER },
  { figure: "start", label: "start, ms ³", digits: 0, of: CANARIES },
  { figure: "private", label: "idle: private memory, MiB ⁴", digits: 1, of: IDLE },
  { figure: "pss", label: "idle: Pss, MiB ⁴", digits: 1, of: IDLE },
  { figure: "switches", label: "idle: context switches per second ⁴", digits: 2, of: IDLE },
  { figure: "cpu", label: "idle: CPU per hour, s ⁴", digits: 2, of: IDLE },
  { figure: "recorderCpu", label: "flight recorder: CPU per hour, s ⁵", digits: 2, of: ["own"] },
  {
    figure: "recorderSwitches",
    label: "flight recorder: context switches per second ⁵",
    digits: 2,
    of: ["own"],
  },
  {
    figure: "recorderPrivate",
    label: "flight recorder and iapeer's code: private memory, MiB ⁵",
    digits: 1,
    of: ["own"],
  },
];

function notes(oom: string): string[] {
  return [
    "The sh canary does not sync: its line counts as soon as it is seen.",
    oom,
    "Own mode: `launch` → `READY`, from source. Attach mode: `adopt` → `ADOPTED`, from source. sh canary: `tmux new-session -d` alone.",
    "Attach mode and the sh canary with their waiting tmux client; own mode and the bare parent without the server. Three times twenty seconds, begun 45 s after the start, when V8 has collected the garbage of the start.",
    "Own mode less the bare parent in Deno, in the same twenty seconds: what the canary does beyond waiting is its flight recorder, and a SIGCHLD to the server every ten. The memory is not the recorder's alone: iapeer's own code is in it.",
  ].map((note, n) => `${"¹²³⁴⁵"[n]} ${note}  `);
}

/**
 * Writes the table.
 *
 * @param machine What it was measured on, one line.
 * @param samples What was measured.
 * @param oom What there is to say about OOM kills.
 * @returns Markdown.
 */
export function renderTable(machine: string, samples: Samples, oom: string): string {
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
    ...notes(oom),
  ].join("\n");
}

function cell(samples: Samples, subject: string, { figure, digits, of, ratio }: Row): string {
  if (!of.includes(subject)) return "";
  if (ratio) {
    const value = samples.ratio(subject, figure);
    return value === undefined ? "n/a" : `${value.toFixed(digits)} ×`;
  }
  const summary = samples.summary(subject, figure);
  if (summary === undefined) return "n/a";
  const [median, low, high] = [summary.median, summary.p10, summary.p90].map((value) =>
    value.toFixed(digits)
  );
  return low === high ? median! : `${median} (${low}–${high})`;
}
