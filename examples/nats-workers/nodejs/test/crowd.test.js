import assert from "node:assert/strict";
import test from "node:test";

import { full, haltedAt, relieved } from "../crowd.js";

test("a consumer that is about full does not halt time and again", () => {
  assert.equal(haltedAt(0, full - 1, 7), 0);
  assert.equal(haltedAt(0, full, 7), 7);
  assert.equal(haltedAt(7, full, 8), 8);
  assert.equal(haltedAt(7, full - 1, 8), 7);
  assert.equal(haltedAt(7, relieved, 8), 7);
  assert.equal(haltedAt(7, relieved - 1, 8), 0);
});
