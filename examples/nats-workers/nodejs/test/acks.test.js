import assert from "node:assert/strict";
import test from "node:test";

import { headers } from "@nats-io/transport-node";

import { Acks } from "../acks.js";

/** A connection whose server answers when the test says so. */
class Connection {
  /** @type {{subject: string, payload: string, reply: string}[]} */
  sent = [];
  /** @type {(err: Error | null, msg: object) => void} */
  #callback = () => {};

  /** @param {string} subject @param {{callback: (err: Error | null, msg: object) => void}} options */
  subscribe(subject, { callback }) {
    assert.match(subject, /\.\*$/);
    this.#callback = callback;
  }

  /** @param {string} subject @param {string} payload @param {{reply: string}} options */
  publish(subject, payload, { reply }) {
    this.sent.push({ subject, payload, reply });
  }

  /** Answers the ack that was sent as the nth. @param {number} n @param {number} [code] */
  answer(n, code) {
    this.#callback(null, { subject: this.sent[n].reply, headers: code && headers(code, "No Responders") });
  }

  deny() {
    this.#callback(new Error("permissions violation"), {});
  }
}

const begin = () => {
  const nc = new Connection();
  return { nc, acks: new Acks(/** @type {any} */ (nc)) };
};

test("each ack waits for its own answer", async () => {
  const { nc, acks } = begin();
  const first = acks.ack("$JS.ACK.1");
  let done = false;
  const second = acks.ack("$JS.ACK.2").then(() => { done = true; });
  nc.answer(0);
  await first;
  assert.equal(done, false);
  nc.answer(1);
  await second;
  assert.deepEqual(nc.sent.map(({ subject, payload }) => [subject, payload]), [["$JS.ACK.1", "+ACK"], ["$JS.ACK.2", "+ACK"]]);
});

test("an ack that nobody takes, or answers in time, fails", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { nc, acks } = begin();
  const refused = acks.ack("$JS.ACK.1");
  nc.answer(0, 503);
  await assert.rejects(refused, /nobody takes/);
  const late = acks.ack("$JS.ACK.2");
  nc.deny(); // of the answers: it ends nothing
  t.mock.timers.tick(5000);
  await assert.rejects(late, /does not answer/);
  nc.answer(1); // one that comes after all is heard by nobody
});
