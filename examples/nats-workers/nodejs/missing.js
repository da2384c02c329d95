import { JetStreamApiError } from "@nats-io/jetstream";

import * as calls from "./calls.js";
import { findStream } from "./consumer.js";
import { log } from "./log.js";

// How often the database is asked for a stream that is missing.
const askAgain = 5000;
const nameInUse = 10058;

/**
 * Makes the stream that is missing when rows of the queue wait for it: NATS was
 * away when they were published, and no publish has made it since.
 * @param {import("./worker.js").Worker} w
 * @param {Error} missing
 */
export async function makeStream(w, missing) {
  const { stream } = w.cfg;
  if (performance.now() - w.missed < askAgain) throw missing;
  w.missed = performance.now();
  const { streams } = await calls.hello(w.db, w.taking, [stream]);
  if (!streams[stream]) throw missing;
  try {
    await w.link.jsm.streams.add(streams[stream]);
    log.info({ stream }, "made the stream that events wait for");
  } catch (err) {
    // Another was quicker.
    if (!(err instanceof JetStreamApiError) || err.code !== nameInUse) throw err;
  }
  return findStream(w);
}
