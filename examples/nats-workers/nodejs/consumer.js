import { AckPolicy, DeliverPolicy, JetStreamApiCodes, JetStreamApiError, ReplayPolicy } from "@nats-io/jetstream";

import { readAhead } from "./ahead.js";
import * as calls from "./calls.js";
import { carry, open } from "./carry.js";
import { ConfigError, wrong } from "./config.js";
import { Ended, onEnd, sleep } from "./context.js";
import { maxAckPending, watchConsumer } from "./crowd.js";
import { fetch, fetchWait } from "./fetch.js";
import { checkGroups, checkGroupsAgain } from "./groups.js";
import { incarnation } from "./incarnation.js";
import { Message } from "./message.js";
import { makeStream } from "./missing.js";
import { matchesAny } from "./subject.js";
import { said } from "./text.js";

/**
 * @typedef {import("./worker.js").Worker} Worker
 * @typedef {import("@nats-io/jetstream").ConsumerConfig} ConsumerConfig
 * @typedef {import("@nats-io/jetstream").StreamInfo} StreamInfo
 */

/**
 * Longer than a lease, so that a message of a dead worker comes back when its
 * lease is over. What is held for longer is kept in progress.
 */
export const ackWait = 75_000;
const lookAgain = 500;
// Codes of the server for consumers of a work queue that would share messages.
const overlapping = [10099, 10100];
const consumerExists = 10148;

/** @param {import("./config.js").Config} cfg @returns {Partial<ConsumerConfig>} */
export const consumerConfig = (cfg) => ({
  durable_name: cfg.group,
  filter_subject: cfg.subject,
  deliver_policy: DeliverPolicy.All,
  replay_policy: ReplayPolicy.Instant,
  ack_policy: AckPolicy.Explicit,
  ack_wait: ackWait * 1e6,
  // Naks count as deliveries, so a limit would lose what only waits.
  max_deliver: -1,
  max_ack_pending: maxAckPending,
});

/**
 * Keeps the stream in reach and, for a worker of the stream, takes messages from
 * it. It ends with taking, or with what no waiting will mend.
 * @param {Worker} w
 */
export async function runNATS(w) {
  let first = true;
  while (!w.taking.aborted) {
    try {
      if (!w.link.nc || w.link.nc.isClosed()) await w.link.connect(w, w.taking);
      await session(w, first, () => { first = false; });
    } catch (err) {
      w.link.there = false;
      if (w.taking.aborted || err instanceof Ended) return;
      if (err instanceof ConfigError && first) throw err;
      w.nats.say("waiting for the stream", said(err), { stream: w.cfg.stream });
      await sleep(w.taking, lookAgain);
    }
  }
}

/**
 * Works with one view of the stream and its consumer until either fails.
 * @param {Worker} w
 * @param {boolean} first
 * @param {() => void} working
 */
async function session(w, first, working) {
  const stream = await findStream(w).catch((err) => {
    if (code(err) === JetStreamApiCodes.StreamNotFound) return makeStream(w, err);
    throw err;
  });
  const { stream: name, subject } = w.cfg;
  if (w.cfg.doStream) {
    const have = stream.config.subjects ?? [];
    if (!matchesAny(subject, have)) {
      throw wrong("SUBJECT", `is "${subject}", and the stream ${name} holds ${have.join(", ")}: no message can match`);
    }
    if (first) await checkGroups(w);
    const made = await findConsumer(w, first);
    if (first) await checkGroupsAgain(w, made);
  }
  w.link.there = true;
  const hi = await calls.hello(w.db, w.taking, [name]);
  w.takePlace(hi.places);
  w.link.met = true;
  working();
  if (w.cfg.doStream) return takeAll(w);
  while (await sleep(w.taking, fetchWait)) await findStream(w);
}

/** Takes messages until the stream fails or nothing is taken any more. @param {Worker} w */
async function takeAll(w) {
  const over = new AbortController();
  const forget = onEnd(w.taking, () => over.abort());
  /** @type {Error | undefined} */
  let spoilt;
  const watching = watchConsumer(w, over.signal).then((err) => { spoilt = err; });
  const reading = Promise.all([readAhead(w, over.signal), watching]);
  try {
    while (!w.taking.aborted) {
      if (spoilt) throw spoilt;
      await fetchSome(w);
    }
  } finally {
    forget();
    over.abort();
    await reading;
  }
}

/** @param {Worker} w @returns {Promise<StreamInfo>} */
export async function findStream(w) {
  const asked = Date.now();
  const info = await w.link.jsm.streams.info(w.cfg.stream);
  if (w.link.connected) w.link.made = String(info.created);
  w.link.setClock(/** @type {{ts?: string}} */ (/** @type {unknown} */ (info)).ts, asked, Date.now());
  return info;
}

/**
 * Makes the group's consumer when it is missing, which it answers, and never changes it. At
 * the start it has to be all that workers want of it.
 * @param {Worker} w
 * @param {boolean} first
 */
async function findConsumer(w, first) {
  const { stream, group, subject } = w.cfg;
  const want = consumerConfig(w.cfg);
  const api = w.link.jsm.consumers;
  const find = () => api.info(stream, group);
  let made = false;
  const make = () => api.add(stream, want).then((info) => {
    made = true;
    return info;
  }, (err) => {
    if (code(err) === consumerExists) return find(); // another worker was quicker
    if (overlapping.includes(code(err))) {
      throw wrong("SUBJECT", `is "${subject}", which overlaps with another group's on the stream ${stream}; one QUEUE_GROUP for each part of a work queue`);
    }
    throw err;
  });
  const { config } = await find().catch((err) => {
    if (code(err) === JetStreamApiCodes.ConsumerNotFound) return make();
    throw err;
  });
  const { field, loses } = difference(want, config);
  if (loses || (field && first)) throw changed(w.cfg, field);
  return made;
}

/** @param {import("./config.js").Config} cfg @param {string} field */
export function changed({ group, stream }, field) {
  return wrong("QUEUE_GROUP", `the consumer ${group} of the stream ${stream} has ${field}; change or delete it, or take another group`);
}

/** @param {unknown} err */
const code = (err) => err instanceof JetStreamApiError ? err.code : 0;

const losing = /** @type {const} */ (["filter_subject", "ack_policy", "max_deliver", "deliver_policy", "deliver_subject", "headers_only"]);
const fields = /** @type {const} */ ([...losing, "ack_wait", "max_ack_pending", "replay_policy", "backoff"]);

/**
 * Names the first field in which a consumer is not what workers need, and tells whether
 * events may be lost by it: those that it passes over, gives up, or delivers without their bodies.
 * @param {Partial<ConsumerConfig>} want
 * @param {ConsumerConfig} have
 */
export function difference(want, have) {
  const filters = [...(have.filter_subjects ?? []), ...(have.filter_subject ? [have.filter_subject] : [])].join(",");
  const is = { ...have, filter_subject: filters, backoff: have.backoff?.length ?? 0 };
  const wanted = { ...want, deliver_subject: undefined, headers_only: undefined, backoff: 0 };
  for (const name of fields) {
    if ((is[name] || undefined) !== (wanted[name] || undefined)) {
      return { field: `${name} ${shown(name, is[name])} instead of ${shown(name, wanted[name])}`,
        loses: /** @type {readonly string[]} */ (losing).includes(name) };
    }
  }
  return { field: "", loses: false };
}

/** A wait of the server is in nanoseconds. @param {string} name @param {unknown} value */
const shown = (name, value) => name === "ack_wait" ? `${Number(value) / 1e9}s` : value;

/** Asks for as many messages as there are slots and sets each on its way as it comes. @param {Worker} w */
async function fetchSome(w) {
  const n = await w.slots.stream.take(w.taking);
  let taken = 0;
  try {
    const { nc, acks } = w.link;
    if (!nc || !acks || !w.link.connected) throw new Error("nats is away");
    const most = await w.load.room(w.taking, nc.info?.max_payload ?? 0);
    const made = await incarnation(w);
    if (made === undefined) throw new Error("nats does not say which stream there is");
    for await (const came of fetch(nc, w.cfg.stream, w.cfg.group, Math.min(n, most))) {
      const msg = new Message(acks, came, made);
      if (w.taking.aborted) {
        msg.nak(); // it was not looked at: another worker's
      } else {
        taken++;
        const opened = open(w, msg);
        w.busy.go(() => carry(w, opened, w.slots.stream));
      }
    }
    if (taken === 0) {
      w.stats.pending = 0;
      w.backlog.over();
    }
  } finally {
    w.slots.stream.give(n - taken);
  }
}
