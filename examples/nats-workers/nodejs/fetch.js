import { createInbox } from "@nats-io/transport-node";

/** Bounds a request that finds nothing, and so the end of the process. */
export const fetchWait = 1000;
// How much later than that the server's word about it may come, or the next message over a slow line: one that comes
// when nobody waits for it any more is back after the ack wait only.
const late = 2000;

/**
 * Asks for at most n messages and gives each as it comes. One request is one pull,
 * so that all that is taken has a slot: the library's consume() asks ahead of what is
 * done with, its fetch() pulls again after a reconnect.
 * @param {import("@nats-io/transport-node").NatsConnection} nc
 * @param {string} stream
 * @param {string} consumer
 * @param {number} n
 */
export async function* fetch(nc, stream, consumer, n) {
  const inbox = createInbox();
  const answers = nc.subscribe(inbox);
  const timer = setTimeout(() => answers.unsubscribe(), fetchWait + late);
  try {
    const request = JSON.stringify({ batch: n, expires: fetchWait * 1e6 });
    nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, request, { reply: inbox });
    let left = n;
    for await (const msg of answers) {
      timer.refresh();
      if (msg.subject !== inbox) {
        yield msg;
        if (--left === 0) return;
      } else if (isOver(msg)) {
        return;
      }
    }
    throw new Error("nats does not answer the request for messages");
  } finally {
    clearTimeout(timer);
    answers.unsubscribe();
  }
}

/** Reads the server's word about a request. @param {import("@nats-io/transport-node").Msg} msg */
function isOver({ headers }) {
  const code = headers?.code ?? 0;
  if (code === 100) return false; // a heartbeat
  // No messages, or the time is over: what a request that is served ends with.
  if (code === 404 || code === 408 || /batch completed/i.test(headers?.description ?? "")) return true;
  throw new Error(`nats ends the request for messages: ${headers?.status}`);
}
