import assert from "node:assert/strict";
import test from "node:test";

import { Ended } from "../context.js";
import { mostLoad } from "../load.js";
import { mostAside, patience, Siding } from "../siding.js";
import { brisk, remembered, resized, smallWindow, Windows } from "../window.js";
import { golden } from "./golden.js";

const { signal } = new AbortController();
/** @param {string} result @param {number} status */
const outcome = (result, status) => ({ result, status, error: "", answer: "", retryAfter: 0, started: 0, duration: 0 });
const quick = outcome("answered", 200);
const failed = outcome("failed", 0);

/** A signal that ends soon and keeps the process until then. @param {number} ms */
function ended(ms) {
  const c = new AbortController();
  setTimeout(() => c.abort(), ms);
  return c.signal;
}

/** Time that passes when the test says so. @param {import("node:test").TestContext} t */
function clock(t) {
  let now = 1000;
  t.mock.method(performance, "now", () => now);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  return async (/** @type {number} */ ms) => {
    now += ms;
    t.mock.timers.tick(ms);
    await new Promise((resolve) => { setImmediate(resolve); });
  };
}

test("a window grows and shrinks as in every language", () => {
  const { windows } = golden("windows");
  assert.ok(windows.length > 0);
  for (const c of windows) assert.equal(resized(c.size, c.most, c.short, { ...c, duration: c.ms }), c.want, JSON.stringify(c));
});

/** @param {number} most */
const sidingOf = (most) => Object.assign(new Siding(64), { most });
/** @param {number} most */
const windowsOf = (most, siding = new Siding(64)) => new Windows(most, siding);

/** Of an event that is not recalled. */
const kept = () => false;

/** Has as many messages in hand as there may be, and as many requests under way. @param {Windows} s @param {number} id */
async function fill(s, id) {
  for (let n = 0; n < 2 * smallWindow; n++) assert.equal(await s.take(signal, id), true);
  for (let n = 0; n < smallWindow; n++) assert.equal(await s.enter(signal, id, kept), true);
}

test("a message waits to be in hand while its endpoint is quick", async () => {
  const s = windowsOf(64);
  await fill(s, 1);
  // Nothing in hand waits to be sent, so the endpoint is not slow.
  await assert.rejects(s.take(ended(2 * patience), 1), Ended);
  const come = s.take(signal, 1);
  s.leave(1, quick); // of a full window: it grows by one, and what is in hand by two
  assert.equal(await come, true);
  assert.equal(await s.take(signal, 2), true, "each webhook has a window of its own");
});

test("messages are too many once an event has waited for long", async () => {
  const s = windowsOf(64);
  await fill(s, 1);
  const waiting = new AbortController();
  const turn = s.enter(waiting.signal, 1, kept);
  assert.equal(await s.take(signal, 1), false);
  // They come by the queue from then on, until little is in hand.
  waiting.abort();
  await assert.rejects(turn, Ended);
  for (let n = 0; n < smallWindow; n++) s.leave(1, failed);
  for (let n = 0; n < 2 * smallWindow - smallWindow / 2 - 1; n++) s.put(1);
  assert.equal(await s.take(signal, 1), false);
  s.put(1);
  assert.equal(await s.take(signal, 1), true);
});

test("a recall ends the wait of those that are recalled", async () => {
  const s = windowsOf(64);
  await fill(s, 1);
  let isGone = false;
  const gone = () => isGone;
  const [first, other, last] = [s.enter(signal, 1, gone), s.enter(signal, 1, kept), s.enter(signal, 1, gone)];
  s.recall(1);
  s.recall(2);
  assert.equal(s.byID.get(1)?.turns.length, 3);
  isGone = true;
  s.recall(1);
  assert.equal(await first, false);
  assert.equal(await last, false);
  assert.equal(s.byID.get(1)?.turns.length, 1);
  assert.equal(await s.enter(signal, 1, gone), false, "it does not even begin to wait");
  // Those that are gone took no place.
  s.leave(1, failed);
  assert.equal(await other, true);
  assert.equal(s.byID.get(1)?.busy, smallWindow);
});

test("a claim is told what there is room for, and when there is more", async () => {
  const s = windowsOf(64);
  let more = 0;
  s.onRoom = () => { more++; };
  assert.deepEqual(s.rooms(), { "": 16 });
  await fill(s, 1);
  s.add(2);
  assert.deepEqual(s.rooms(), { "": 16, 1: 0, 2: 15 });
  for (let n = 0; n < smallWindow / 2; n++) {
    assert.equal(more, 0);
    s.leave(1, failed);
    s.put(1);
  }
  assert.equal(more, 1);
  assert.equal(s.rooms()[1], 4);
});

test("messages leave room for the queue", async () => {
  const s = windowsOf(64);
  let more = 0;
  s.onRoom = () => { more++; };
  await fill(s, 1);
  const come = s.take(signal, 1);
  assert.equal(s.rooms()[1], 0);
  for (let n = 0; n < smallWindow / 2; n++) {
    assert.equal(more, 0);
    s.put(1);
  }
  assert.equal(more, 1);
  assert.equal(s.rooms()[1], 4);
  // Nothing came of it: the message's turn.
  s.put(1);
  assert.equal(await come, true);
});

test("events that are not for their endpoint now widen its window", async () => {
  const s = windowsOf(64);
  for (let n = 0; n < 2 * smallWindow; n++) await s.take(signal, 1);
  const come = s.take(signal, 1);
  s.unsent(1);
  s.put(1);
  assert.equal(await come, true);
  assert.equal(s.byID.get(1)?.size, smallWindow + 1);
});

test("a window is forgotten a while after its last event", async () => {
  const s = windowsOf(64);
  for (const [id, o] of /** @type {const} */ ([[1, quick], [2, failed]])) {
    await fill(s, id);
    for (let n = 0; n < smallWindow; n++) s.leave(id, o);
    for (let n = 0; n < 2 * smallWindow; n++) s.put(id);
  }
  // One that is as small as any need not be kept.
  assert.deepEqual(s.rooms(), { "": 16, 1: 18 });
  const w = s.byID.get(1);
  assert.ok(w);
  w.idle -= 2 * remembered;
  assert.deepEqual(s.rooms(), { "": 16 });
  assert.equal(s.byID.size, 0);

  s.byID.set(1, { ...w, size: 64 });
  s.add(1);
  assert.equal(s.byID.get(1)?.size, smallWindow);
});

test("messages are too many once the largest window has been full for long, unless answers are brisk", async (t) => {
  const pass = clock(t);
  const s = windowsOf(smallWindow);
  const answers = /** @type {const} */ ([[1, { ...quick, duration: brisk }], [2, { ...quick, duration: brisk - 1 }]]);
  for (const [id] of answers) {
    await fill(s, id);
    void s.enter(signal, id, kept);
  }
  // Each goes soon: another one waits by then.
  for (const began = performance.now(); performance.now() - began < 1000 + patience; await pass(patience / 5)) {
    for (const [id, o] of answers) {
      void s.enter(signal, id, kept);
      s.leave(id, o);
    }
  }
  assert.equal(s.byID.get(1)?.behind, true);
  assert.equal(s.byID.get(2)?.behind, false);
  assert.equal(await s.take(signal, 1), false);
});

test("an event that waits for the database frees its slot while there is room aside", async (t) => {
  const pass = clock(t);
  const s = sidingOf(1);
  /** @type {number[]} */
  const freed = [];
  const first = s.shunt(0, () => freed.push(1));
  const second = s.shunt(0, () => freed.push(2));
  await pass(2 * patience);
  assert.deepEqual(freed, [1]);
  first();
  second();
  const third = s.shunt(0, () => freed.push(3));
  await pass(2 * patience);
  assert.deepEqual(freed, [1, 3]);
  third();
  assert.equal(s.taken, 0);
});

/**
 * Has so many messages in hand whose requests nobody answers, and frees their slots.
 * @param {(ms: number) => Promise<void>} pass @param {Windows} s @param {number} id @param {number} n
 */
async function hang(pass, s, id, n) {
  for (; n > 0; n--) {
    assert.equal(await s.take(signal, id), true);
    s.shunt(id, 0, () => {});
  }
  await pass(1.2 * patience);
}

test("the more endpoints hang the fewer events of each are in hand", async (t) => {
  const pass = clock(t);
  const s = windowsOf(64, sidingOf(40));
  assert.deepEqual(s.rooms(), { "": 16 });
  for (const [id, takes] of [[1, 16], [2, 12], [3, 6], [4, 3], [5, 1], [6, 1], [7, 1]]) {
    await hang(pass, s, id, takes);
    assert.equal(await s.take(signal, id), false, `of endpoint ${id}`);
    assert.equal(s.rooms()[id], 0);
  }
  assert.equal(s.rooms()[""], 1);
  assert.equal(s.siding.taken, 40);
});

test("an endpoint that answers keeps its window where many hang", async (t) => {
  const pass = clock(t);
  const s = windowsOf(64, sidingOf(1));
  for (const id of [1, 2, 3]) await hang(pass, s, id, 1);
  assert.equal(await s.take(signal, 4), true);
  let came = false;
  const come = s.take(signal, 4).then((may) => (came = may));
  await pass(patience / 10);
  assert.equal(came, false, "it has answered nothing yet");
  assert.equal(await s.enter(signal, 4, kept), true);
  s.leave(4, { ...quick, duration: patience / 10 });
  assert.equal(await come, true);
  assert.equal(s.rooms()[4], 16, "its window has grown by one");
  await hang(pass, s, 4, 16);
  assert.equal(await s.take(signal, 4), false, "that is all");
});

test("large events take more places aside", () => {
  const s = new Siding(64);
  assert.equal(s.most, mostAside);
  assert.equal(new Siding(1000).most, 8000);
  assert.equal(s.places(1000), 1);
  let held = 0;
  while (s.enter(1 << 20)) held += 1 << 20;
  assert.ok(Math.abs(held - mostLoad / 2) < mostLoad / 20);
});
