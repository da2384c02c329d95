import assert from "node:assert/strict";
import test from "node:test";

import { Namesake } from "../namesake.js";

test("the last words of a process that was killed make no namesake", () => {
  const n = new Namesake();
  assert.equal(n.look({ now_ms: 1 }), false);
  assert.equal(n.look({ now_ms: 2, namesake: true }), false);
  assert.equal(n.look({ now_ms: 3, namesake: false }), false);
  assert.equal(n.look({ now_ms: 4, namesake: true }), false);
  assert.equal(n.lives, false);
  assert.equal(n.look({ now_ms: 5, namesake: true }), true);
  assert.equal(n.heard, 5);

  assert.equal(n.look({ now_ms: 6 }), false);
  assert.equal(n.lives, true); // it may still have something in hand
});
