import assert from "node:assert/strict";
import { posix } from "node:path";
import fc from "fast-check";
import { basename, dirname, isAbsolute, join, resolve } from "../lib/path.ts";

const path = fc.array(fc.constantFrom("/", "/", ".", "..", "a", "b c", "\n", "é"), { maxLength: 9 })
  .map((parts) => parts.join(""));

Deno.test("paths are taken apart and joined as node:path does it", () => {
  fc.assert(
    fc.property(path, fc.array(path, { maxLength: 3 }), (one, more) => {
      assert.equal(isAbsolute(one), posix.isAbsolute(one));
      assert.equal(join(one, ...more), posix.join(one, ...more));
      // Of a//b, node:path says that it lies in "a/".
      const plain = posix.normalize(one);
      assert.equal(dirname(plain), posix.dirname(plain));
      assert.equal(basename(one), posix.basename(one));
      assert.equal(resolve(`/${one}`, more[0] ?? ""), posix.resolve(`/${one}`, more[0] ?? ""));
    }),
    { numRuns: 3000 },
  );
});
