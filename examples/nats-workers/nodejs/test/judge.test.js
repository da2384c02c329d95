import assert from "node:assert/strict";
import test from "node:test";

import { Early } from "../early.js";
import { away, beingTaken, blocks, isOpen, judge, tooMany } from "../judge.js";
import { Siding } from "../siding.js";
import { golden } from "./golden.js";

test("the reasons that a worker reads are those of the golden file", () => {
  const { too_many: many, being_taken: taken, away: gone, open } = golden("reasons");
  assert.deepEqual([tooMany, beingTaken, away, isOpen], [many, taken, gone, open]);
});

test("others wait behind what is moved, or is for an endpoint that is away", () => {
  assert.equal(blocks({ verdict: "queued", reason: "its endpoint is behind" }), true);
  assert.equal(blocks({ verdict: "wait", reason: away }), true);
  assert.equal(blocks({ verdict: "wait", reason: beingTaken }), false);
  assert.equal(blocks({ verdict: "queued", reason: isOpen }), false);
  assert.equal(blocks({ verdict: "drop" }), false);
});

/** Judges a message of which the database says all these in turn. @param {object[]} answers @param {{over?: boolean, aside?: boolean}} [is] */
async function judged(answers, { over = false, aside = false } = {}) {
  const seen = { unsent: 0, freed: 0, ages: /** @type {number[]} */ ([]) };
  let now = 1000;
  const w = /** @type {any} */ ({
    taking: over ? AbortSignal.abort() : new AbortController().signal,
    asking: new AbortController().signal,
    siding: new Siding(64),
    link: { now: () => (now += 1000) },
    admits: { ask: async (/** @type {any} */ _signal, /** @type {any} */ told) => {
      seen.ages.push(told.age_ms);
      return answers.shift();
    } },
  });
  const e = /** @type {any} */ ({ body: "", msg: { time: 1000 } });
  const told = /** @type {any} */ ({ age_ms: 0 });
  const verdict = await judge(w, e, told, aside, () => { seen.unsent++; }, () => { seen.freed++; });
  return { verdict: verdict.verdict, ...seen };
}

test("what makes way is judged in a lane of its own", async () => {
  const lane = (/** @type {string} */ verdict) => ({ ask: async () => ({ verdict }) });
  const w = /** @type {any} */ ({ admits: lane("deliver"), early: lane("drop"), overflow: lane("queued") });
  const early = Object.create(Early.prototype);
  for (const [msg, overflow, verdict] of [[{}, undefined, "deliver"], [{}, true, "queued"], [early, undefined, "drop"], [early, true, "drop"]]) {
    const told = /** @type {any} */ ({ overflow });
    assert.equal((await judge(w, /** @type {any} */ ({ msg }), told, false, () => {}, () => {})).verdict, verdict);
  }
});

const wait = (/** @type {string} */ reason, more = {}) => ({ verdict: "wait", reason, wait: 0, ...more });
const deliver = { verdict: "deliver" };

test("at the end what there was no room for is given back at once", async () => {
  assert.equal((await judged([wait(tooMany, { wait: 60_000 })], { over: true })).verdict, "wait");
});

test("at the end what may be leased is asked about for as long as there is time", async () => {
  for (const reason of [tooMany, beingTaken]) {
    assert.equal((await judged([wait(reason, { repeated: true }), deliver], { over: true })).verdict, "deliver");
  }
});

test("a message that is asked about for long is of its age and has one place", async () => {
  for (const aside of [true, false]) {
    const answers = [wait(tooMany, { wait: 400 }), wait(tooMany), wait(tooMany), deliver];
    assert.deepEqual(await judged(answers, { aside }),
      { verdict: "deliver", unsent: 1, freed: aside ? 0 : 1, ages: [0, 1000, 2000, 3000] });
  }
});
