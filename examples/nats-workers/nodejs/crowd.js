import { sleep } from "./context.js";

/**
 * A delayed message holds one of these; with the default of 1,000 as many dead
 * endpoints would stop the consumer.
 */
export const maxAckPending = 100_000;
// So many of the consumer's places may be taken before the database is told that they are scarce.
const crowd = maxAckPending / 4;
// So many leave it none worth speaking of.
const full = maxAckPending / 10 * 9;
const crowdEvery = 1000;

/**
 * Keeps an eye on how many messages the group holds.
 * @param {import("./worker.js").Worker} w
 * @param {AbortSignal} signal
 */
export async function watchCrowd(w, signal) {
  do {
    try {
      const info = await w.link.jsm.consumers.info(w.cfg.stream, w.cfg.group);
      w.crowded = info.num_ack_pending > crowd;
      w.halted = info.num_ack_pending >= full ? info.delivered.stream_seq : 0;
    } catch {
      // What keeps NATS from answering ends the fetches, too.
    }
  } while (await sleep(signal, crowdEvery));
}
