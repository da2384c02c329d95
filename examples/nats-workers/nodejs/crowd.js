import { sleep } from "./context.js";

/**
 * A delayed message holds one of these; with the default of 1,000 as many dead
 * endpoints would stop the consumer.
 */
export const maxAckPending = 100_000;
// So many of the consumer's places may be taken before the database is told that they are scarce.
const crowd = maxAckPending / 4;
// So many leave it none worth speaking of. Until there are fewer than relieved that stays
// so: each time anew all that is behind the consumer would be read once more.
export const full = maxAckPending / 10 * 9;
export const relieved = maxAckPending / 10 * 8;
const crowdEvery = 1000;

/**
 * Keeps an eye on how many messages the group holds.
 * @param {import("./worker.js").Worker} w
 * @param {AbortSignal} signal
 */
export async function watchCrowd(w, signal) {
  /** @type {string | undefined} */
  let made;
  do {
    try {
      const info = await w.link.jsm.consumers.info(w.cfg.stream, w.cfg.group);
      // Its stream may have been made anew.
      if (made !== undefined && made !== String(info.created)) w.link.made = undefined;
      made = String(info.created);
      w.crowded = info.num_ack_pending > crowd;
      w.halted = haltedAt(w.halted, info.num_ack_pending, info.delivered.stream_seq);
    } catch {
      // What keeps NATS from answering ends the fetches, too.
    }
  } while (await sleep(signal, crowdEvery));
}

/**
 * The last message that a consumer delivered which has no places left, else 0.
 * @param {number} before what it was
 * @param {number} pending
 * @param {number} delivered
 */
export function haltedAt(before, pending, delivered) {
  if (pending >= full) return delivered;
  return pending < relieved ? 0 : before;
}
