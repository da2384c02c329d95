import { Ended, sleep } from "./context.js";
import { Early } from "./early.js";

// What admit says of a message for which the server has no room for locks now.
export const tooMany = "too many at once";
// What it says of one whose event another call has.
export const beingTaken = "another worker is taking it";
// What it says of one that has to wait for its endpoint's breaker.
export const away = "its endpoint is away";
// What it says of one whose transaction has not ended.
export const isOpen = "its transaction is in progress";
// Bounds how long a message is kept for such answers, in ms.
const unsettledFor = 120_000;

/**
 * @typedef {import("./worker.js").Worker} Worker
 * @typedef {import("./event.js").Event} Event
 * @typedef {import("./carry.js").Told} Told
 * @typedef {import("./calls.js").Verdict} Verdict
 */

/**
 * Asks the database what to do with a message. An event that takes long frees its
 * slot, unless it is aside. unsent is called where it is not for its endpoint now.
 * @param {Worker} w
 * @param {Event} e
 * @param {Told} told
 * @param {boolean} aside
 * @param {() => void} unsent
 * @param {() => void} free
 */
export async function judge(w, e, told, aside, unsent, free) {
  let v = await ask(w, e, told);
  if (!unsettled(v)) return v;
  unsent();
  const end = aside ? () => {} : w.siding.shunt(e.body.length, free);
  try {
    for (const last = performance.now() + unsettledFor; unsettled(v) && performance.now() < last;) {
      if (!await sleep(v.repeated ? w.asking : w.taking, v.wait)) {
        if (v.repeated) throw new Ended();
        return v; // nothing of it is leased: another process can have it at once
      }
      if (e.msg) told.age_ms = ageOf(w, e.msg);
      v = await ask(w, e, { ...told, repeated: v.repeated });
    }
    return v;
  } finally {
    end();
  }
}

/**
 * Says that the message is to be kept, and asked about again. To give it back and get
 * it anew costs more than to judge it, where there are too many. And where a call was
 * not answered, that may be the one that has the event: what it leases is this process'
 * own, and only who asks again is told. Given back, the message would go to another
 * process, and the lease would have to run out.
 * @param {Verdict} v
 */
const unsettled = (v) => v.verdict === "wait" && (v.reason === tooMany || v.repeated && v.reason === beingTaken);

/**
 * Says that others wait behind the messages of the webhook: its endpoint does not take this one now.
 * @param {{verdict: string, reason?: string}} v
 */
export const blocks = (v) => v.verdict === "queued" && v.reason !== isOpen || v.verdict === "wait" && v.reason === away;

/**
 * Asks once, and once more with the payload where the answer wants it.
 * @param {Worker} w
 * @param {Event} e
 * @param {Told} told
 */
async function ask(w, e, told) {
  const admits = e.msg instanceof Early ? w.early : told.overflow ? w.overflow : w.admits;
  const v = await admits.ask(w.asking, told);
  if (v.verdict !== "payload" || told.payload) return v;
  return admits.ask(w.asking, { ...told, payload: encoded(e.body), repeated: v.repeated });
}

/**
 * How long ago a message was published, in ms, on the server's clock.
 * @param {Worker} w @param {import("./event.js").StreamMessage} msg
 */
export const ageOf = (w, msg) => Math.max(0, Math.round(w.link.now() - msg.time));

/** @param {Uint8Array} body */
export const encoded = (body) => Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("base64");
