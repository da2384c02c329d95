import { Ended, sleep } from "./context.js";
import { Early } from "./early.js";
import { Event } from "./event.js";
import { present } from "./incarnation.js";
import { ageOf, blocks, encoded, judge } from "./judge.js";
import { log } from "./log.js";
import { newAttempt } from "./report.js";
import { once } from "./slots.js";
import { plain, said } from "./text.js";
import { header, messageIDOf, traceparentOf, webhookIDOf } from "./wire.js";

// A message that the database cannot judge comes back after this long.
const setAside = 60_000;
// One that comes again while it is in hand comes back after this long.
const inHandStill = 5000;

/**
 * @typedef {import("./worker.js").Worker} Worker
 * @typedef {import("./calls.js").Verdict} Verdict
 * @typedef {import("./deliver.js").Outcome} Outcome
 */

/**
 * What admit is told about a message. What a header does not hold, or holds
 * malformed, is for the database to judge. overflow: it is more than the worker
 * takes of its webhook. early: it was read ahead of the consumer, which still has it.
 * crowded: the group holds many messages. repeated: an earlier call about it was not answered.
 * The members stand as jsonb keeps them, by length and then by letter, so that
 * Postgres has nothing to sort.
 * @typedef {{webhook_id: number | null, message_id: string | null, source_id: string | null,
 *   transaction: string | null, traceparent?: string, stream: string, sequence: number, age_ms: number,
 *   crowded?: true, overflow?: true, early?: true, repeated?: boolean, payload?: string}} Told
 */

/**
 * Takes one message of the stream all the way. The message is settled with NATS
 * only after the database has said how.
 * @param {Worker} w
 * @param {{e: Event, told: Told}} opened
 * @param {import("./slots.js").Slots} from what its slot is of
 */
export async function carry(w, { e, told }, from) {
  const free = once(() => from.give());
  if (!w.held.addMessage(e)) {
    e.msg?.nak(inHandStill);
    free();
    return;
  }
  const lay = once(() => w.windows.put(e.webhookID));
  let inHand = false;
  let aside = false;
  w.load.add(e.body.length);
  try {
    inHand = await w.windows.take(w.taking, e.webhookID);
    aside = !inHand && w.siding.enter(e.body.length);
    if (aside) free();
    const unsent = once(() => { if (inHand) w.windows.unsent(e.webhookID); });
    const v = await judge(w, e, inHand ? told : { ...told, overflow: true, payload: encoded(e.body) }, aside, unsent, free);
    if (v.verdict !== "deliver") {
      unsent();
      if (blocks(v)) w.backlog.move(e.webhookID);
      w.metrics.judged(e.path, v.verdict);
      await settle(w, e, v);
      return;
    }
    e.try = v.try;
    e.leased(v.start, w.lease);
    if (!inHand) {
      // It could not be moved.
      w.windows.add(e.webhookID);
      inHand = true;
    }
    await tell(w, e, await w.send(e, free), () => {
      free();
      lay();
    });
  } catch (err) {
    putAside(w, e, err);
  } finally {
    w.load.remove(e.body.length);
    w.held.delete(e);
    free();
    if (inHand) lay();
    if (aside) w.siding.leave(e.body.length);
  }
}

/**
 * Reads a message without judging it.
 * @param {Worker} w
 * @param {import("./event.js").StreamMessage} msg
 */
export function open(w, msg) {
  const { headers } = msg;
  const webhookID = webhookIDOf(headers.get(header.webhook_id));
  const text = (/** @type {string} */ name) => headers.has(name) ? plain(headers.get(name) ?? "", 4096) : null;
  const { stream, sequence } = msg;
  const e = new Event({
    webhookID, stream, sequence, msg, body: msg.data,
    messageID: messageIDOf(headers.get(header.message_id)),
    trace: traceparentOf(headers.get(header.traceparent)),
  });
  /** @type {Told} */
  const told = {
    age_ms: ageOf(w, msg),
    stream, sequence,
    source_id: text(header.source),
    // The one that would be sent, so that the database never judges another.
    // Of a malformed one that is nothing, which is malformed there, too.
    message_id: headers.has(header.message_id) ? e.messageID : null,
    webhook_id: webhookID || null,
    traceparent: e.trace || undefined,
    transaction: text(header.transaction),
  };
  if (w.crowded) told.crowded = true;
  if (msg instanceof Early) {
    told.early = true;
  } else {
    w.metrics.taken.inc({ path: "stream" });
    w.stats.took(msg.deliveries, msg.pending);
    w.backlog.came(webhookID, sequence, told.age_ms, msg.pending, msg.deliveries > 1);
  }
  return { e, told };
}

/**
 * Reports a try and does what the verdict says. The event's slot is free for the
 * next one meanwhile: this waits for the database and NATS, not for an endpoint.
 * Only when they are slower than the endpoints are slots kept.
 * @param {Worker} w
 * @param {Event} e
 * @param {Outcome} o
 * @param {() => void} free
 */
export async function tell(w, e, o, free) {
  await w.tellers.enter();
  try {
    free();
    const attempt = newAttempt(e, o);
    let v = await w.reports.ask(w.telling, attempt);
    while (v.verdict === "payload" && !attempt.payload || v.verdict === "busy") {
      if (v.verdict === "payload") Object.assign(attempt, { payload: encoded(e.body), traceparent: e.trace || undefined });
      else await stand(w, v.wait);
      v = await w.reports.ask(w.telling, attempt);
    }
    e.unlease();
    if (o.result !== "released") w.metrics.judged(e.path, v.verdict);
    log.debug({ path: e.path, webhook_id: e.webhookID, message_id: e.messageID, try: e.try, result: o.result, status: o.status,
      error: o.error, duration_ms: attempt.duration_ms, verdict: v.verdict, wait_ms: v.wait }, "tried");
    if (v.verdict === "dead") {
      log.warn({ webhook_id: e.webhookID, message_id: e.messageID, try: e.try, status: o.status, error: o.error }, "dead letter");
    }
    await settle(w, e, v);
  } catch (err) {
    e.unlease();
    putAside(w, e, err);
  } finally {
    w.tellers.give();
  }
}

/**
 * Waits for a transaction that holds the event in the database. Others are told
 * meanwhile, and the heartbeat goes on renewing the lease.
 * @param {Worker} w
 * @param {number} wait
 */
async function stand(w, wait) {
  w.tellers.give();
  const whole = await sleep(w.telling, wait);
  await w.tellers.enter();
  if (!whole) throw new Ended();
}

/**
 * Does with the message what the database decided. A row of the queue is settled
 * by the report itself.
 * @param {Worker} w
 * @param {Event} e
 * @param {Verdict} v
 */
async function settle(w, e, v) {
  if (v.verdict === "drop" && v.reason.startsWith("dead letter:")) {
    log.warn({ webhook_id: e.webhookID, message_id: e.messageID, reason: v.reason }, "dead letter");
  }
  if (v.verdict === "not ours") {
    w.strangers.say("messages of another database in the stream; give each database a stream or a subject_prefix of its own", "",
      { stream: e.stream, sequence: e.sequence, reason: v.reason });
  }
  if (!e.msg) {
    if (!w.cfg.doStream && (v.verdict === "done" || v.verdict === "dead")) w.stats.acknowledged++;
    return;
  }
  if (!(e.msg instanceof Early) && !await present(w, e.msg)) return;
  switch (v.verdict) {
    case "done": case "drop": case "queued": case "dead":
      if (e.msg instanceof Early) return;
      try {
        await e.msg.doubleAck();
        w.stats.acknowledged++;
      } catch {
        // The message comes back, and the database knows it.
      }
      break;
    case "not ours":
      // To read one again that was read early would take the room of what is ours.
      if (!(e.msg instanceof Early)) e.msg.nak(v.wait);
      break;
    case "again": case "wait": case "lost":
      e.msg.nak(v.wait);
      break;
    default:
      log.error({ verdict: v.verdict }, "unknown verdict; is this worker older than the extension?");
      e.msg.nak(setAside);
  }
}

/**
 * Is for an event that got no verdict. It is never acked: when the process ends
 * another one may have it at once, else it comes back in a while.
 * @param {Worker} w
 * @param {Event} e
 * @param {unknown} err
 */
function putAside(w, e, err) {
  const msg = e.msg instanceof Early || e.msg?.made === w.link.made ? e.msg : undefined;
  if (err instanceof Ended) {
    msg?.nak();
    return;
  }
  log.error({ path: e.path, webhook_id: e.webhookID, message_id: e.messageID, sequence: e.sequence, error: said(err) },
    "the database refused what it was told");
  msg?.nak(setAside);
}
