import assert from "node:assert/strict";
import { test } from "node:test";

import { passContinue } from "../information.js";

/** What is read of these bytes. @param {string} sent */
function read(sent) {
  const socket = { read: () => Buffer.from(sent) };
  passContinue(/** @type {any} */ (socket));
  return socket.read().toString();
}

test("a 100 that nobody asked for is passed over like a 102, and a body that speaks of one stays", () => {
  const answer = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nsee HTTP/1.1 100 too";
  assert.equal(read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 \r\n\r\n" + answer),
    "HTTP/1.1 102 Continue\r\n\r\nHTTP/1.1 102 \r\n\r\n" + answer);
});
