import assert from "node:assert/strict";
import fc from "fast-check";
import { formatLine, parseLine } from "../lib/logfmt.ts";

/** Any UTF-16 text: controls, line separators, astral characters and lone surrogates. */
const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  fc.string({
    unit: fc.constantFrom(
      '"',
      "\\",
      "=",
      " ",
      "\n",
      "u",
      "n",
      "0",
      "\u2028",
      "\u0085",
    ),
  }),
);
const anyKey = fc.stringMatching(/^[\w.-]+$/);
const anyFields = fc.uniqueArray(fc.tuple(anyKey, anyText), {
  selector: ([key]) => key,
});

Deno.test("formatLine() writes plain values bare", () => {
  assert.equal(
    formatLine([["ev", "server-exit"], ["pid", 42], ["zero", 0], [
      "path",
      "/a/b.txt",
    ]]),
    "ev=server-exit pid=42 zero=0 path=/a/b.txt",
  );
});

Deno.test("formatLine() leaves undefined fields out and keeps empty ones", () => {
  assert.equal(formatLine([["a", undefined], ["b", ""], ["c", "x"]]), "b= c=x");
  assert.equal(formatLine([]), "");
});

Deno.test("formatLine() quotes a value with a blank", () => {
  assert.equal(formatLine([["reason", "it is gone"]]), 'reason="it is gone"');
});

Deno.test("formatLine() quotes whitespace beyond ASCII", () => {
  assert.equal(
    formatLine([["a", "x\u00a0y"], ["b", "\u3000"]]),
    'a="x\u00a0y" b="\u3000"',
  );
});

Deno.test("formatLine() quotes and escapes what would break a line or a field", () => {
  const cases: [string, string][] = [
    ["a=b", '"a=b"'],
    ['say "hi"', '"say \\"hi\\""'],
    ["C:\\x", '"C:\\\\x"'],
    ["a\nb\r\tc", '"a\\nb\\r\\tc"'],
    ["\0\x1b[31m\x7f", '"\\u0000\\u001B[31m\\u007F"'],
    ["\u0085\u2028\u2029", '"\\u0085\\u2028\\u2029"'],
    ["\ud800x", '"\\uD800x"'],
    ["x\udc00", '"x\\uDC00"'],
    ["😀", "😀"],
  ];
  for (const [value, written] of cases) {
    assert.equal(formatLine([["k", value]]), `k=${written}`);
  }
});

Deno.test("formatLine() makes a usable key of any text", () => {
  assert.equal(
    formatLine([["a b=\n", 1], ["", 2], ["é😀", 3]]),
    "a_b__=1 _=2 __=3",
  );
});

Deno.test("formatLine() always writes exactly one line", () => {
  fc.assert(fc.property(fc.array(fc.tuple(anyText, anyText)), (fields) => {
    const line = formatLine(fields);
    assert.doesNotMatch(line, /[\p{Cc}\p{Cs}\u2028\u2029]/u);
    assert.equal(
      new TextDecoder().decode(new TextEncoder().encode(line)),
      line,
    );
  }));
});

Deno.test("parseLine() gives back what formatLine() wrote", () => {
  fc.assert(
    fc.property(anyFields, (fields) => {
      assert.deepEqual([...parseLine(formatLine(fields))], fields);
    }),
    { numRuns: 500 },
  );
});

Deno.test("parseLine() gives numbers back as text", () => {
  assert.deepEqual(
    [...parseLine(formatLine([["a", -1.5], ["b", 1795327507]]))],
    [
      ["a", "-1.5"],
      ["b", "1795327507"],
    ],
  );
});

Deno.test("parseLine() passes over what is not a field", () => {
  const cases: [string, [string, string][]][] = [
    ["", []],
    [" \t ", []],
    ["junk", []],
    ["junk a=1 more junk b=2\n", [["a", "1"], ["b", "2"]]],
    ["=x a=1", [["a", "1"]]],
    ['"a b"=1 c=2', [["c", "2"]]],
    ['a="x"trailing b=2', [["a", "x"], ["b", "2"]]],
    ["a=b=c", [["a", "b=c"]]],
    ['a=x"y z', [["a", 'x"y']]],
    ["a=1 a=2", [["a", "2"]]],
    ["a=1\r\n", [["a", "1"]]],
  ];
  for (const [line, fields] of cases) {
    assert.deepEqual([...parseLine(line)], fields, line);
  }
});

Deno.test("parseLine() reads escapes it never wrote", () => {
  assert.equal(parseLine('k="\\x\\u00e9\\uZZ\\/"').get("k"), "x\u00e9uZZ/");
});

Deno.test("parseLine() reads what is left of a torn line", () => {
  const whole = formatLine([["a", "1"], ["b", "x \u0001\\y"]]);
  assert.equal(whole, 'a=1 b="x \\u0001\\\\y"');
  const torn: [number, string | undefined][] = [
    [18, "x \x01\\y"],
    [17, "x \x01\\"],
    [16, "x \x01"],
    [15, "x \x01"],
    [14, "x "],
    [10, "x "],
    [9, "x "],
    [8, "x"],
    [7, ""],
    [6, ""],
    [5, undefined],
  ];
  for (const [length, value] of torn) {
    const fields = parseLine(whole.slice(0, length));
    assert.equal(fields.get("a"), "1");
    assert.equal(fields.get("b"), value, `first ${length}`);
  }
});

Deno.test("parseLine() never throws and reads every torn line alike", () => {
  fc.assert(fc.property(anyText, (text) => parseLine(text) instanceof Map));
  fc.assert(fc.property(anyFields, fc.nat(), (fields, cut) => {
    const line = formatLine(fields);
    const torn = [...parseLine(line.slice(0, cut % (line.length + 1)))];
    torn.forEach(([key, value], index) => {
      const [wholeKey, wholeValue] = fields[index]!;
      assert.equal(key, wholeKey);
      assert.ok(wholeValue.startsWith(value));
    });
  }));
});

Deno.test("parseLine() takes time in proportion to the line", () => {
  const hostile = ["a ", "a=", 'a="', 'a="" ', "\\", 'a="\\', "=", '"'];
  for (const part of hostile) {
    const started = performance.now();
    parseLine(part.repeat(300_000) + "\\=");
    assert.ok(performance.now() - started < 2000, part);
  }
});
