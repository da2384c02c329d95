import { JetStreamApiError } from "@nats-io/jetstream";
import { PermissionViolationError } from "@nats-io/transport-node";

import * as calls from "./calls.js";
import { sleep } from "./context.js";
import { outcome } from "./deliver.js";
import { Event } from "./event.js";
import { log } from "./log.js";
import { newAttempt } from "./report.js";
import { keptOfAnswer } from "./request.js";
import { plain, said } from "./text.js";
import { lookUp, unanswered } from "./unanswered.js";
import { encode } from "./wire.js";

const publishTimeout = 2000;
// The server's code for a message over the stream's limit.
const messageSize = 10054;

/**
 * A row on its way back to NATS. since says for how long a copy may have been in
 * the stream; stored is the one that was found.
 * @typedef {calls.Claimed & {since: number | undefined, stored?: {stream: string, seq: number}}} Publishing
 * @typedef {import("./worker.js").Worker} Worker
 */

/** Is thrown for what no waiting makes smaller. */
class TooLarge extends Error {}

/**
 * Brings rows back to NATS, in their order: after one that was not taken all later
 * ones are given back, after one that was refused those of its webhook. It ends before
 * the next claim, else newer rows could overtake those given back.
 * @param {Worker} w
 * @param {calls.Claimed[]} claims
 * @param {number} start
 */
export async function publish(w, claims, start) {
  if (claims.length === 0) return;
  /** @type {Publishing[]} */
  const rows = claims.map((row) => {
    const { since, headers } = unanswered(row.headers);
    return { ...row, headers, since };
  });
  await lookUp(w, rows);
  const attempts = [];
  let stopped = false;
  /** @type {Set<number>} */
  const refusing = new Set();
  for (const row of rows) {
    const { queueID, webhookID, messageID, redelivery } = row;
    const e = new Event({ queueID, webhookID, messageID, redelivery, try: row.try });
    e.leased(start, w.lease);
    stopped ||= w.taking.aborted || e.left() < w.enough(publishTimeout);
    const o = outcome("released");
    if (!stopped && !refusing.has(webhookID)) {
      const hindered = await tryRow(w, row, e, o);
      stopped = hindered === "away";
      if (hindered === "refused") refusing.add(webhookID);
    }
    o.duration = performance.now() - o.started;
    w.metrics.published.inc({ result: o.result });
    attempts.push(newAttempt(e, o));
  }
  await reportPublished(w, attempts);
}

/**
 * Publishes one row and answers what makes later ones wait: all of them, or those of its webhook.
 * @param {Worker} w
 * @param {Publishing} row
 * @param {Event} e
 * @param {import("./deliver.js").Outcome} o
 * @returns {Promise<"away" | "refused" | undefined>}
 */
async function tryRow(w, row, e, o) {
  try {
    const ack = row.stored ?? await publishRow(w, row);
    o.result = "published";
    e.stream = ack.stream;
    e.sequence = ack.seq;
    return undefined;
  } catch (err) {
    if (err instanceof TooLarge || err instanceof JetStreamApiError && err.code === messageSize) {
      // The rest must not wait for it.
      o.result = "failed";
      o.error = "larger than NATS takes: " + plain(said(err), keptOfAnswer);
      return undefined;
    }
    if (refused(err)) {
      // The database makes it wait, and ends that when it goes on for long.
      o.error = plain(said(err), keptOfAnswer);
      w.nats.say("nats refuses an event of the queue", o.error, { subject: row.subject });
      return "refused";
    }
    // It may be in the stream all the same; the next publish has the same
    // Nats-Msg-Id and is then known as a double.
    w.link.pause(1000);
    w.nats.say("cannot publish from the queue", said(err), { subject: row.subject });
    return "away";
  }
}

/** @param {Worker} w @param {Publishing} row */
async function publishRow(w, row) {
  const { nc, js } = w.link;
  if (!nc || !w.link.connected) throw new Error("nats is away");
  const headers = encode({ ...row.headers, "Nats-Expected-Stream": row.stream });
  const size = row.body.length + Buffer.byteLength(headers.toString());
  const most = nc.info?.max_payload ?? Infinity;
  if (size > most) throw new TooLarge(`${size} bytes, and the server takes ${most}`);
  w.link.publishesTo = row.subject;
  return js.publish(row.subject, row.body, { headers, timeout: publishTimeout });
}

/**
 * Tells an answer of NATS, that the account may not publish to the subject or that
 * nobody is there to answer for it, from an outage.
 * @param {unknown} err
 */
const refused = (err) => err instanceof JetStreamApiError
  || err instanceof Error && (err.name === "JetStreamNotEnabled" || err.cause instanceof PermissionViolationError);

/**
 * Reports, and once more those on which a transaction sits, until it is through:
 * others' claims and reports go on, and until then these rows stay leased.
 * @param {Worker} w
 * @param {import("./report.js").Attempt[]} attempts
 */
async function reportPublished(w, attempts) {
  let { busy, wait } = await reportOnce(w, attempts);
  if (busy.length === 0) return;
  w.busy.go(async () => {
    while (busy.length > 0 && await sleep(w.telling, wait)) ({ busy, wait } = await reportOnce(w, busy));
  });
}

/**
 * @param {Worker} w
 * @param {import("./report.js").Attempt[]} attempts
 */
async function reportOnce(w, attempts) {
  try {
    const verdicts = await calls.report(w.db, w.telling, attempts);
    const busy = attempts.filter((_, i) => verdicts[i].verdict === "busy");
    return { busy, wait: Math.max(0, ...verdicts.filter((v) => v.verdict === "busy").map((v) => v.wait)) };
  } catch (err) {
    log.error({ error: said(err) }, "the database refused a report of published rows");
    return { busy: [], wait: 0 };
  }
}
