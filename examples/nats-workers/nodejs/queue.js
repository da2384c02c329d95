import * as calls from "./calls.js";
import { tell } from "./carry.js";
import { Event } from "./event.js";
import { Listener } from "./listen.js";
import { publish } from "./publish.js";
import { once } from "./slots.js";
import { said } from "./text.js";
import { header, traceparentOf } from "./wire.js";

/**
 * @typedef {import("./worker.js").Worker} Worker
 * @typedef {calls.Claimed} Claimed
 */

/** Claims rows until taking ends. @param {Worker} w */
export async function runQueue(w) {
  const listener = new Listener(w.taking, w.db, w.pollMS);
  w.windows.onRoom = () => listener.hurry();
  try {
    while (!w.taking.aborted) await claimSome(w, listener);
  } catch (err) {
    if (!w.taking.aborted) throw err;
  } finally {
    await listener.close();
  }
}

/** @param {Worker} w @param {Listener} listener */
async function claimSome(w, listener) {
  const n = await w.slots.queue.take(w.taking);
  let posts = 0;
  /** @type {Claimed[]} */
  let rows = [];
  try {
    await w.load.wait(w.taking);
    // Not cut off by SIGTERM at once: rows whose answer is lost stay leased.
    const claimed = await calls.claim(w.db, w.asking, n, w.link.reaches ? [w.cfg.stream] : [], () => w.windows.rooms());
    rows = claimed.rows;
    for (const row of rows) {
      if (row.action === "publish") continue;
      posts++;
      w.metrics.taken.inc({ path: "queue" });
      if (!w.cfg.doStream) w.stats.took(row.try, 0);
      w.busy.go(() => carryRow(w, row, claimed.start));
    }
    await publish(w, rows.filter((row) => row.action === "publish"), claimed.start);
  } catch (err) {
    if (w.taking.aborted) throw err;
    w.claims.say("cannot claim", said(err));
  } finally {
    w.slots.queue.give(n - posts);
  }
  await listener.next(rows.length);
}

/** @param {Worker} w @param {Claimed} row @param {number} start */
async function carryRow(w, row, start) {
  const { queueID, webhookID, messageID, redelivery, body } = row;
  const e = new Event({ queueID, webhookID, messageID, redelivery, try: row.try, body,
    trace: traceparentOf(row.headers[header.traceparent]) });
  const free = once(() => w.slots.queue.give());
  const lay = once(() => w.windows.put(webhookID));
  w.windows.add(webhookID);
  e.leased(start, w.lease);
  w.held.add(e);
  w.load.add(body.length);
  try {
    await tell(w, e, await w.send(e, free), () => {
      free();
      lay();
    });
  } finally {
    w.load.remove(body.length);
    w.held.delete(e);
    free();
    lay();
  }
}
