import assert from "node:assert/strict";
import { isLocked, tryLock, waitLock } from "../lib/locks.ts";
import { inTempDir, startJob } from "./fixtures/root.ts";

Deno.test("tryLock() gives a lock to one at a time", () =>
  inTempDir((dir) => {
    const path = `${dir}/x`;
    const first = tryLock(path);
    assert(first);
    assert.equal(tryLock(path), undefined);
    assert.equal(tryLock(path, false), undefined);
    first.release();
    first.release();
    using second = tryLock(path);
    assert(second);
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
  }));

Deno.test("tryLock() lets sharers share, and nobody else in", () =>
  inTempDir((dir) => {
    const path = `${dir}/x`;
    const one = tryLock(path, false);
    const two = tryLock(path, false);
    assert(one && two);
    assert.equal(tryLock(path), undefined);
    one.release();
    assert.equal(tryLock(path), undefined);
    two.release();
    tryLock(path)!.release();
  }));

Deno.test("tryLock() throws where there can be no lock file", () =>
  inTempDir((dir) => {
    assert.throws(() => tryLock(`${dir}/none/x`), Deno.errors.NotFound);
  }));

Deno.test("Lock.note() replaces the text, which others read and which stays", () =>
  inTempDir((dir) => {
    const path = `${dir}/x`;
    {
      using lock = tryLock(path)!;
      lock.note("a long text");
      assert.equal(Deno.readTextFileSync(path), "a long text");
      lock.note("short");
    }
    assert.equal(Deno.readTextFileSync(path), "short");
  }));

Deno.test("tryLock() gets the lock of a holder that was killed", () =>
  inTempDir(async (dir) => {
    const path = `${dir}/x`;
    const holder = startJob("hold", path);
    try {
      const reader = holder.stdout.getReader();
      assert.equal(new TextDecoder().decode((await reader.read()).value), '"held"\n');
      assert.equal(tryLock(path), undefined);
      assert.equal(isLocked(path), true);
      await reader.cancel();
    } finally {
      holder.kill("SIGKILL");
      await holder.status;
    }
    tryLock(path)!.release();
  }));

Deno.test("waitLock() waits for the holder", () =>
  inTempDir(async (dir) => {
    const path = `${dir}/x`;
    const holder = tryLock(path)!;
    const waiting = waitLock(path, 60_000);
    holder.release();
    (await waiting)!.release();
  }));

Deno.test("waitLock() gives up when the time is up", () =>
  inTempDir(async (dir) => {
    using _holder = tryLock(`${dir}/x`);
    assert.equal(await waitLock(`${dir}/x`, 0), undefined);
    assert.equal(await waitLock(`${dir}/x`, 5), undefined);
  }));

Deno.test("isLocked() looks without leaving anything", () =>
  inTempDir((dir) => {
    const path = `${dir}/x`;
    assert.equal(isLocked(path), false);
    assert.deepEqual([...Deno.readDirSync(dir)], []);
    const lock = tryLock(path)!;
    assert.equal(isLocked(path), true);
    lock.release();
    assert.equal(isLocked(path), false);
    tryLock(path)!.release();
  }));
