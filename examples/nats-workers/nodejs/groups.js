import { wrong } from "./config.js";
import { consumerConfig, difference } from "./consumer.js";
import { matchesAny } from "./subject.js";
import { said } from "./text.js";

/**
 * Refuses a SUBJECT that overlaps with an older group's. Of a work queue NATS sees
 * to that; of any other stream each group would get the events that both name.
 * Where consumers may not be listed nothing is refused.
 * @param {import("./worker.js").Worker} w
 */
export async function checkGroups(w) {
  const { stream, group, subject } = w.cfg;
  /** @type {import("@nats-io/jetstream").ConsumerInfo[]} */
  const all = [];
  try {
    for await (const info of w.link.jsm.consumers.list(stream)) all.push(info);
  } catch (err) {
    w.nats.say("cannot look for groups that overlap", said(err), { stream });
    return;
  }
  const mine = all.find((info) => info.name === group);
  // The younger one is refused, so that neither keeps the other from starting again.
  const other = all.find(({ name, config, created }) => name !== group && sharesWith(w.cfg, config)
    && (!mine || nanoseconds(created) < nanoseconds(mine.created)));
  if (!other) return;
  throw wrong("SUBJECT", `is "${subject}", which overlaps with "${other.config.filter_subject}" of the group ${other.name} on the stream ${stream}; `
    + `take another part, or delete the consumer ${other.name} when nobody uses it`);
}

/**
 * Is for a group that began at the same moment: when this one looked, it had no consumer
 * yet. Now both have one, or the other will see this one's. A consumer that this process
 * made for nothing goes again: it would keep what the other group takes, and the subject.
 * @param {import("./worker.js").Worker} w
 * @param {boolean} made
 */
export async function checkGroupsAgain(w, made) {
  try {
    await checkGroups(w);
  } catch (err) {
    if (made) await w.link.jsm.consumers.delete(w.cfg.stream, w.cfg.group).catch(() => {});
    throw err;
  }
}

/**
 * Reads a server's time as it is meant: a Date knows milliseconds alone.
 * @param {string} time
 */
export function nanoseconds(time) {
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? "";
  return BigInt(Date.parse(time.replace("." + fraction, ""))) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

/**
 * Tells whether a consumer is a group's, by what workers make it like, and gets
 * some of the messages that this group gets.
 * @param {import("./config.js").Config} cfg
 * @param {import("@nats-io/jetstream").ConsumerConfig} have
 */
function sharesWith(cfg, have) {
  const filter = have.filter_subject;
  return Boolean(have.durable_name && filter) && difference({ ...consumerConfig(cfg), filter_subject: filter }, have).field === ""
    && matchesAny(cfg.subject, [/** @type {string} */ (filter)]);
}
