import { createInbox } from "@nats-io/transport-node";

import { Message } from "./message.js";

/** Bounds a request that finds nothing, and so the end of the process. */
export const fetchWait = 1000;
// How much later than that the server's word about it may come.
const late = 2000;

/**
 * Asks for at most n messages and hands each over as it comes. One request is
 * one pull: the library's own fetch pulls again after a reconnect, and then hands
 * over more than there are slots for.
 * @param {import("@nats-io/transport-node").NatsConnection} nc
 * @param {string} stream
 * @param {string} consumer
 * @param {number} n
 * @param {(msg: Message) => void} take
 * @returns {Promise<void>}
 */
export function fetch(nc, stream, consumer, n, take) {
  const inbox = createInbox();
  let left = n;
  return new Promise((resolve, reject) => {
    const subscription = nc.subscribe(inbox, {
      callback: (err, msg) => {
        if (err) return end(err);
        if (msg.subject !== inbox) {
          take(new Message(nc, msg));
          if (--left === 0) end();
          return;
        }
        const code = msg.headers?.code ?? 0;
        if (code === 100) return; // a heartbeat
        // No messages, or the time is over: what a request that is served ends with.
        const over = code === 404 || code === 408 || /batch completed/i.test(msg.headers?.description ?? "");
        end(over ? undefined : new Error(`nats ends the request for messages: ${msg.headers?.status}`));
      },
    });
    const timer = setTimeout(() => end(new Error("nats does not answer the request for messages")), fetchWait + late);
    const end = (/** @type {Error | undefined} */ err = undefined) => {
      clearTimeout(timer);
      subscription.unsubscribe();
      if (err) reject(err);
      else resolve();
    };
    const request = JSON.stringify({ batch: n, expires: fetchWait * 1e6 });
    nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, request, { reply: inbox });
  });
}
