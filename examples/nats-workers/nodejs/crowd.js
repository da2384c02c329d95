import { changed, consumerConfig, difference } from "./consumer.js";
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
 * Keeps an eye on how many messages the group holds, and on what somebody makes of its
 * consumer meanwhile. It ends with the signal, or with what would lose events, which it answers.
 * @param {import("./worker.js").Worker} w
 * @param {AbortSignal} signal
 */
export async function watchConsumer(w, signal) {
  /** @type {string | undefined} */
  let made;
  do {
    // What keeps NATS from answering ends the fetches, too.
    const info = await w.link.jsm.consumers.info(w.cfg.stream, w.cfg.group).catch(() => undefined);
    if (!info) continue;
    // Its stream may have been made anew.
    if (made !== undefined && made !== String(info.created)) w.link.made = undefined;
    made = String(info.created);
    w.crowded = info.num_ack_pending > crowd;
    w.halted = haltedAt(w.halted, info.num_ack_pending, info.delivered.stream_seq);
    const spoilt = regard(w, info);
    if (spoilt) return spoilt;
  } while (await sleep(signal, crowdEvery));
  return undefined;
}

/**
 * @param {import("./worker.js").Worker} w
 * @param {import("@nats-io/jetstream").ConsumerInfo} info
 */
function regard(w, { config, paused }) {
  const { field, loses } = difference(consumerConfig(w.cfg), config);
  if (loses) return changed(w.cfg, field);
  const about = { stream: w.cfg.stream, consumer: w.cfg.group };
  if (field) w.nats.say("the consumer was changed", `it has ${field}`, about);
  if (paused && config.pause_until) w.nats.say("the consumer is paused", `until ${config.pause_until.replace(/\.\d+/, "")}`, about);
  return undefined;
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
