import { said } from "./text.js";
import { header } from "./wire.js";

// What claim tells of a row, in ms: a copy of the event may have been stored at any
// time since then, and the stream soon does not know its id any more. It does not
// travel.
const headerUnanswered = "Rule-Engine-Unanswered-Ms";
// Bounds the look into the stream, which is made within the rows' lease.
const lookFor = 5000;
// What the clocks of Postgres, NATS and this machine may differ by.
const clockSlack = 5000;

/**
 * @typedef {import("./publish.js").Publishing} Publishing
 * @typedef {import("./worker.js").Worker} Worker
 * @typedef {import("@nats-io/jetstream").StreamInfo} StreamInfo
 */

/**
 * Takes out of a row's headers since when a copy of it may be in the stream.
 * @param {Record<string, string>} all
 */
export function unanswered(all) {
  const { [headerUnanswered]: text, ...headers } = all;
  return { headers, since: /^\d+$/.test(text ?? "") ? Number(text) : undefined };
}

/**
 * Finds which rows the stream holds already, by their Nats-Msg-Id. What was
 * delivered meanwhile is no row any more, since the row is its receipt. A look
 * that fails finds less: a second copy costs room, and is not delivered.
 * @param {Worker} w
 * @param {Publishing[]} rows
 */
export async function lookUp(w, rows) {
  const until = performance.now() + lookFor;
  const some = rows.filter((row) => row.since !== undefined);
  // A blank is in no subject and no name of a stream.
  const placeOf = (/** @type {Publishing} */ row) => `${row.stream} ${row.subject}`;
  for (const place of new Set(some.map(placeOf))) {
    const there = some.filter((row) => placeOf(row) === place);
    const { stream } = there[0];
    try {
      await lookAt(w, await w.link.jsm.streams.info(stream), there, until);
    } catch (err) {
      w.nats.say("cannot look up what was not answered", said(err), { stream });
    }
  }
}

/**
 * Reads the messages on one subject from the time on at which the oldest of the
 * rows can have been stored.
 * @param {Worker} w
 * @param {StreamInfo} info
 * @param {Publishing[]} rows
 * @param {number} until
 */
async function lookAt(w, info, rows, until) {
  const { stream, subject } = rows[0];
  const wanted = new Map(rows.map((row) => [row.headers[header.msg_id], row]));
  const age = Math.max(...rows.map((row) => row.since ?? 0));
  let sequence = await firstSince(w, info, w.link.now() - age - clockSlack, until);
  while (wanted.size > 0) {
    const msg = await get(w, stream, sequence, subject, until);
    if (!msg) return;
    const id = msg.header.get(header.msg_id);
    const row = wanted.get(id);
    if (row) row.stored = { stream, seq: msg.seq };
    wanted.delete(id);
    sequence = msg.seq + 1;
  }
}

/**
 * The first sequence of a message that was stored at a time or later; one past
 * the last when there is none. Messages that are gone leave gaps.
 * @param {Worker} w
 * @param {StreamInfo} info
 * @param {number} since
 * @param {number} until
 */
async function firstSince(w, info, since, until) {
  let first = info.state.first_seq;
  for (let end = info.state.last_seq + 1; first < end;) {
    const middle = first + Math.floor((end - first) / 2);
    const msg = await get(w, info.config.name, middle, ">", until);
    if (msg && msg.time.getTime() < since) first = msg.seq + 1;
    else end = middle;
  }
  return Math.max(first, 1);
}

/**
 * The first message on a subject from a sequence on; null when there is none.
 * @param {Worker} w
 * @param {string} stream
 * @param {number} seq
 * @param {string} subject
 * @param {number} until
 */
async function get(w, stream, seq, subject, until) {
  if (performance.now() > until) throw new Error("it takes too long");
  return w.link.jsm.streams.getMessage(stream, /** @type {any} */ ({ seq, next_by_subj: subject }));
}
