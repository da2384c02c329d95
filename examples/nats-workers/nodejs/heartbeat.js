import * as calls from "./calls.js";
import { ackWait } from "./consumer.js";
import { sleep } from "./context.js";

/** @typedef {import("./worker.js").Worker} Worker */

/** Counts since the start of the process. */
export class Stats {
  delivered = 0;
  acknowledged = 0;
  redelivered = 0;
  pending = 0;
  tries = 0;
  spent = 0; // ms

  /** @param {number} deliveries @param {number} pending */
  took(deliveries, pending) {
    this.delivered++;
    if (deliveries > 1) this.redelivered++;
    this.pending = pending;
  }

  /** @param {number} ms */
  sent(ms) {
    this.tries++;
    this.spent += ms;
  }
}

/**
 * Renews leases and writes totals until the signal ends. Never in step with a namesake
 * that was started in the same moment: of two at a time Postgres writes down one.
 * @param {Worker} w
 * @param {AbortSignal} signal
 */
export async function heartbeats(w, signal) {
  while (await sleep(signal, w.heartbeatMS * (1 - Math.random() / 10))) await heartbeat(w, signal);
}

/** @param {Worker} w @param {AbortSignal} signal */
async function heartbeat(w, signal) {
  const renewing = [...w.held].filter((e) => e.isLeased);
  const start = performance.now();
  let lost;
  try {
    lost = await calls.heartbeat(w.db, signal, totals(w, true), {
      queue: renewing.filter((e) => e.queueID).map((e) => e.queueID),
      receipts: renewing.filter((e) => !e.queueID).map((e) => e.receipt()),
    });
  } catch {
    return; // the calls that carry events say what is wrong; leases run on
  }
  w.takePlace(lost.places);
  w.clock.look(lost.ahead, -w.link.clock);
  if (w.db.namesake.look(lost)) {
    w.namesakes.say("another process lives under the same CONSUMER_NAME; give each its own: totals are mixed up, and events may arrive twice", "",
      { consumer: w.cfg.consumer });
  }
  const queue = new Set(lost.queue);
  const receipts = new Set(lost.receipts?.map((r) => JSON.stringify(r)));
  for (const e of renewing) {
    const gone = e.queueID ? queue.has(e.queueID) : receipts.has(JSON.stringify(e.receipt()));
    if (gone) e.unlease(); // left() is then negative: it is not sent
    else e.renewed(start, w.lease);
  }
}

/**
 * Tells that the process is gone; its leases are given back by now. To a Postgres
 * that has not answered until then it is not told.
 * @param {Worker} w
 */
export async function lastHeartbeat(w) {
  const signal = AbortSignal.any([w.telling, AbortSignal.timeout(3000)]);
  await calls.heartbeat(w.db, signal, totals(w, false), { queue: [], receipts: [] }).catch(() => {});
}

// Stands for a stream's name in the totals of a worker that takes events from the
// queue alone. How many wait there is for the database to say.
const queueTotals = "rule_webhook_queue";

/** @param {Worker} w @param {boolean} active */
function totals(w, active) {
  const { stream, group, doStream } = w.cfg;
  const { delivered, acknowledged, pending, redelivered, tries, spent } = w.stats;
  const all = [{ stream: doStream ? stream : queueTotals, group, delivered, acknowledged, pending, redelivered,
    avg_ms: tries > 0 ? spent / tries : null, active }];
  if (!doStream && w.link.met) {
    // It has said that it reaches the stream, and takes nothing from there.
    all.push({ stream, group, delivered: 0, acknowledged: 0, pending: 0, redelivered: 0, avg_ms: null, active });
  }
  return all;
}

/**
 * Tells NATS about messages that are held for long, mostly because the database
 * is away, so that they are not handed out twice.
 * @param {Worker} w
 * @param {AbortSignal} signal
 */
export async function keepInProgress(w, signal) {
  while (await sleep(signal, ackWait / 3)) {
    for (const e of w.held) if (e.msg?.made === w.link.made) e.msg?.inProgress();
  }
}
