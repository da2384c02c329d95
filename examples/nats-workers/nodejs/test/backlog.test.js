import assert from "node:assert/strict";
import test from "node:test";

import { Backlog, large, lately, leastSeen, longWait, lookedAt, manyAgain, manyPending } from "../backlog.js";

/** Has so many new messages come, of each webhook in turn. @param {Backlog} b @param {number} n @param {number} pending @param {number[]} webhooks */
function come(b, n, pending, ...webhooks) {
  for (let i = 0; i < n; i++) b.came(webhooks[i % webhooks.length], 0, 0, pending, false);
}

test("a few webhooks hold up others with a long backlog", () => {
  const b = new Backlog();
  come(b, leastSeen - 1, manyPending, 1);
  assert.equal(b.holdsUp(), false, "too little was seen");
  come(b, 1, manyPending, 1);
  assert.equal(b.holdsUp(), true);
  b.reads(1, 1);
  assert.equal(b.leaves(1, 1), true);
  assert.equal(b.leaves(2, 1), false);

  come(b, 1, manyPending - 1, 1);
  assert.equal(b.holdsUp(), false, "what is left is passed in no time");
  come(b, 1, manyPending, 1);
  assert.equal(b.holdsUp(), true);
  b.over();
  assert.equal(b.holdsUp(), false);
  come(b, 1, manyPending, 1);
  assert.equal(b.holdsUp(), false, "it is forgotten");
});

test("a few messages that take long hold up others", () => {
  const b = new Backlog();
  come(b, leastSeen, 1, 1);
  assert.equal(b.holdsUp(), false);
  b.came(1, 0, longWait, 1, false);
  assert.equal(b.holdsUp(), true);
  b.came(1, 0, longWait, 0, false);
  assert.equal(b.holdsUp(), false, "nothing is behind it");
  b.came(1, 0, 3_600_000, 1, true);
  assert.equal(b.holdsUp(), false, "it has waited for its next try");
});

test("where many have a backlog nobody is passed", () => {
  const many = Array.from({ length: 2 * large }, (_, i) => i + 1);
  const b = new Backlog();
  come(b, lookedAt, manyPending, ...many.slice(0, large));
  assert.equal(b.holdsUp(), true);
  come(b, lookedAt, manyPending, ...many);
  assert.equal(b.holdsUp(), false);
  come(b, lookedAt / 2, manyPending, 1);
  assert.equal(b.holdsUp(), true);
  b.reads(1, 1);
  assert.equal(b.leaves(1, 1), true);
  assert.equal(b.leaves(2, 1), false, "its part is small");
});

test("those whose messages move to the queue hold up others, however many they are", (t) => {
  let now = 1000;
  t.mock.method(performance, "now", () => now);
  const many = Array.from({ length: 2 * large }, (_, i) => i + 1);
  const b = new Backlog();
  come(b, lookedAt, manyPending, ...many);
  for (const id of many.slice(0, large - 1)) b.move(id);
  assert.equal(b.holdsUp(), false, "half of what waits is delivered");
  b.move(large);
  assert.equal(b.holdsUp(), true);
  assert.equal(b.leaves(large, 1), true);
  assert.equal(b.leaves(large + 1, 1), false);
  now += lately;
  assert.equal(b.holdsUp(), false);
  b.move(1);
  b.over();
  assert.equal(b.leaves(1, 1), false);
});

test("what comes again and again holds up others", () => {
  const b = new Backlog();
  for (let i = 0; i < manyAgain; i++) {
    assert.equal(b.holdsUp(), false);
    b.came(1, 0, 0, 0, true);
  }
  assert.equal(b.holdsUp(), true);
  come(b, manyAgain, 0, 1);
  assert.equal(b.holdsUp(), true);
  come(b, 1, 0, 1);
  assert.equal(b.holdsUp(), true);
  come(b, 1, 0, 1);
  assert.equal(b.holdsUp(), false);
  come(b, lookedAt, 0, 1);
  assert.equal(b.holdsUp(), false);
});

test("messages without a webhook are nobody's backlog", () => {
  const b = new Backlog();
  come(b, lookedAt, manyPending, 0);
  assert.equal(b.holdsUp(), false);
});

test("what was read past a backlog holds up what is behind it", () => {
  const b = new Backlog();
  const all = (/** @type {number} */ webhookID, /** @type {number} */ sequence) => {
    for (let i = 0; i < lookedAt; i++) b.came(webhookID, sequence, 0, manyPending, false);
  };
  all(1, 99);
  b.reads(100, 200);
  assert.equal(b.leaves(1, 150), true);
  assert.equal(b.leaves(2, 151), false);

  all(2, 151);
  assert.equal(b.holdsUp(), true);
  assert.equal(b.leaves(2, 200), false, "what was read of it is nobody's backlog");
  all(1, 150);
  assert.equal(b.leaves(1, 200), true, "this was left to the consumer");
  all(2, 200);
  assert.equal(b.leaves(2, 201), true, "this was not read");
  all(2, 152);
  assert.equal(b.leaves(2, 202), false, "what was left of it is behind this");
});
