import assert from "node:assert/strict";
import test from "node:test";

import { boundAnswers } from "../bound.js";

test("what is read is counted for each answer, and not for their connection", () => {
  let ended = "";
  const socket = /** @type {any} */ ({
    read: () => Buffer.alloc(60 << 10),
    write: (/** @type {string} */ text) => text.length,
    destroy: (/** @type {Error} */ err) => { ended = err.message; },
  });
  boundAnswers(socket);
  for (let n = 0; n < 10; n++) {
    assert.equal(socket.write("POST"), 4);
    for (let i = 0; i < 4; i++) assert.equal(socket.read()?.length, 60 << 10);
  }
  assert.equal(ended, "");
  assert.equal(socket.read(), null);
  assert.match(ended, /more than 262144 bytes/);
});
