import assert from "node:assert/strict";
import test from "node:test";

import { Request } from "../request.js";

/** What undici gives of a request on the wire, and whether it was ended there. */
function wire() {
  const w = { ended: 0, abort: () => { w.ended++; } };
  return /** @type {any} */ (w);
}

test("a request whose time ended before it was on the wire does not get there", async () => {
  const w = wire();
  const request = new Request();
  request.end(new Error("late"));
  await assert.rejects(request.over, /late/);
  request.onRequestStart(w);
  assert.equal(w.ended, 1);
});

test("an answer ends the request once, at its end or when enough of it is read", async () => {
  const w = wire();
  const whole = new Request();
  whole.onRequestStart(w);
  whole.onResponseStart(w, 200, {});
  whole.onResponseEnd();
  whole.end(new Error("late"));
  await whole.over;
  assert.equal(w.ended, 0, "the connection may be used again");

  const long = new Request();
  long.onRequestStart(w);
  long.onResponseStart(w, 500, {});
  long.onResponseData(w, Buffer.alloc(20 << 10, "a"));
  long.onResponseError(w, new Error("aborted"));
  await long.over;
  assert.deepEqual([w.ended, long.status, long.kept.length], [1, 500, 1024]);
});
