import assert from "node:assert/strict";
import test from "node:test";

import { decode, encode, header, messageIDOf, traceparentOf, webhookIDOf } from "../wire.js";
import { golden } from "./golden.js";

const g = golden("wire");

test("header names are the golden ones", () => assert.deepEqual(header, g.headers));

for (const { name, event, headers } of g.events) {
  test("events are read as in the golden file: " + name, () => {
    const all = decode(encode(headers).encode());
    assert.equal(webhookIDOf(all.get(header.webhook_id)), event.webhook_id);
    assert.equal(messageIDOf(all.get(header.message_id)), event.message_id);
    assert.equal(all.get(header.source), event.source);
    assert.equal(all.get(header.transaction) ?? null, event.transaction);
    assert.equal(traceparentOf(all.get(header.traceparent)) || null, event.traceparent);
  });
}

for (const { name, headers, malformed } of g.strangers) {
  test("of a stranger's message only what is right is read: " + name, () => {
    assert.equal(webhookIDOf(headers[header.webhook_id]) === 0, malformed.includes(header.webhook_id));
    assert.equal(messageIDOf(headers[header.message_id]) === "", malformed.includes(header.message_id));
  });
}

test("ids and traces are taken or refused as in the golden file", () => {
  for (const id of g.message_ids.accepted) assert.equal(messageIDOf(id), id);
  for (const id of g.message_ids.refused) assert.equal(messageIDOf(id), "", JSON.stringify(id));
  for (const trace of g.traceparents.accepted) assert.equal(traceparentOf(trace), trace);
  for (const trace of g.traceparents.refused) assert.equal(traceparentOf(trace), "", trace);
});

test("an id comes out of a header as it went in", () => {
  for (const id of ["\uFEFFa\uFEFF", "größe", "a\u00a0b"]) {
    assert.equal(decode(encode({ [header.message_id]: id }).encode()).get(header.message_id), id);
  }
});

test("a value that is not UTF-8 is empty, and spoils no other", () => {
  const bytes = Buffer.from("NATS/1.0\r\nA: m\xff\r\nB: gr\xc3\xb6\xc3\x9fe\r\nC: 7\r\n\r\n", "latin1");
  assert.deepEqual([...decode(bytes)], [["A", ""], ["B", "größe"], ["C", "7"]]);
});
