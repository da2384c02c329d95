import { findStream } from "./consumer.js";

// An ack names its message by the sequence alone, and a stream that is made anew begins
// with 1 again: one in memory after each restart of its server. The ack of what was in
// hand would take a message from it that nobody has seen. So a message is settled only
// while the stream is the one that it came from.

/** @typedef {import("./worker.js").Worker} Worker */

/**
 * Says when the stream was made that there is, and asks NATS where that is not known.
 * One asks for all that wait. undefined: it does not answer.
 * @param {Worker} w
 */
export async function incarnation(w) {
  const { link } = w;
  if (link.made === undefined && link.connected) {
    link.looking ??= findStream(w).then(() => {}, () => {}).finally(() => { link.looking = undefined; });
    await link.looking;
  }
  return link.made;
}

/**
 * Tells whether a message may be settled. One that may not comes again, where it still
 * is, and the database knows what became of it.
 * @param {Worker} w
 * @param {import("./message.js").Message} msg
 */
export async function present(w, msg) {
  return await incarnation(w) === msg.made && w.link.connected;
}
