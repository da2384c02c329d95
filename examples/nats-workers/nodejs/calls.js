// What the worker asks of the database: one function here for each of the extension's.

/**
 * @typedef {import("./database.js").Database} Database
 * @typedef {{verdict: string, reason: string, wait: number, try: number, start: number,
 *   repeated?: boolean}} Verdict repeated: an earlier call about the message was not answered
 * @typedef {{source: string, lease: number, heartbeatMS: number, pollMS: number, endpointsMS: number,
 *   streams: Record<string, any>, places: Places}} Welcome
 * @typedef {Record<string, [number, number]>} Places by stream, which of how many processes this one is
 * @typedef {{queueID: number, action: string, webhookID: number, messageID: string, redelivery: number,
 *   try: number, body: Buffer, stream: string, subject: string, headers: Record<string, string>}} Claimed
 * @typedef {{webhookID: number, name: string, url: string, method: string, headers: string,
 *   timeout: number, secrets: string[], enabled: boolean, deleted: boolean}} EndpointRow
 */
import { newCall } from "./lostcalls.js";
import { version } from "./version.js";

const capabilities = ["post", "publish", "v1", "v1a"];

/**
 * @param {Database} db
 * @param {AbortSignal} signal
 * @param {string[]} streams
 * @param {{once?: boolean}} [options]
 * @returns {Promise<Welcome>}
 */
export function hello(db, signal, streams, options) {
  return db.call(signal, "hello", async (schema, query) => {
    const [row] = await query(`SELECT source_id::text, lease_ms, settings FROM
      ${schema}.rule_worker_hello($1, $2, $3, $4, $5)`, [db.consumer, db.group, version, capabilities, streams]);
    const s = row.settings;
    db.claimRoom = s.claim_room ?? false;
    return {
      source: row.source_id, lease: row.lease_ms,
      heartbeatMS: s.heartbeat_ms ?? 5000, pollMS: s.poll_ms ?? 250, endpointsMS: s.endpoints_ms ?? 1000,
      streams: s.streams ?? {}, places: s.places ?? {},
    };
  }, options);
}

/**
 * Answers what changed since mark ("" for all) and the new mark.
 * @param {Database} db
 * @param {AbortSignal} signal
 * @param {string} mark
 * @returns {Promise<{rows: EndpointRow[], mark: string}>}
 */
export function endpoints(db, signal, mark) {
  return db.call(signal, "endpoints", async (schema, query) => {
    const rows = await query(`SELECT mark::text, webhook_id, webhook_name, url, method,
      headers::text, timeout_ms, secrets, enabled
      FROM ${schema}.rule_worker_endpoints($1::text::pg_catalog.pg_snapshot)`, [mark || null]);
    return {
      mark: rows.at(-1)?.mark ?? mark,
      rows: rows.filter((r) => r.webhook_id !== null).map((r) => ({
        webhookID: r.webhook_id, name: r.webhook_name ?? "", url: r.url ?? "", method: r.method ?? "",
        headers: r.headers ?? "", timeout: r.timeout_ms ?? 0, secrets: r.secrets ?? [],
        enabled: r.enabled ?? false,
        deleted: !r.url, // no other is without one
      })),
    };
  });
}

/**
 * Rows of the queue that are leased to this process, and when the call began.
 * @param {Database} db
 * @param {AbortSignal} signal
 * @param {number} limit
 * @param {string[]} streams
 * @param {() => Record<string, number>} rooms
 * @returns {Promise<{rows: Claimed[], start: number}>}
 */
export function claim(db, signal, limit, streams, rooms) {
  return db.call(signal, "claim", async (schema, query) => {
    const start = performance.now();
    const call = newCall();
    const more = db.claimRoom ? [JSON.stringify(rooms()), call] : [];
    const rows = await query(`SELECT queue_id, action, webhook_id, message_id, redelivery, try,
      payload, stream, subject, headers FROM ${schema}.rule_worker_claim($1, $2, $3${more.length ? ", $4::pg_catalog.jsonb, $5" : ""})`,
    [db.consumer, limit, streams, ...more]).catch((err) => {
      db.lost.add(call);
      throw err;
    });
    return {
      start,
      rows: rows.map((r) => ({
        queueID: Number(r.queue_id), action: r.action, webhookID: r.webhook_id, messageID: r.message_id,
        redelivery: r.redelivery, try: r.try ?? 0, body: Buffer.from(r.payload ?? ""),
        stream: r.stream ?? "", subject: r.subject ?? "", headers: r.headers ?? {},
      })),
    };
  });
}

/**
 * How many messages go in one call: of more many workers at a time would get but a
 * part of what they ask for, by the server's room for locks.
 */
export const mostAdmitted = 128;

/**
 * @param {Database} db
 * @param {AbortSignal} signal
 * @param {import("./carry.js").Told[]} messages
 */
export async function admit(db, signal, messages) {
  let told = messages;
  let asked = false;
  const members = () => {
    // A lease that is found then may be the namesake's, which sends.
    if (db.namesake.lives) told = messages.map((m) => ({ ...m, repeated: false }));
    else if (asked) told = messages.map((m) => ({ ...m, repeated: true }));
    asked = true;
    return told;
  };
  const answers = await verdicts(db, signal, messages.length, members, "try", "admit");
  answers.forEach((v, i) => { v.repeated = told[i].repeated; });
  return answers;
}

/**
 * @param {Database} db
 * @param {AbortSignal} signal
 * @param {import("./report.js").Attempt[]} attempts
 */
export function report(db, signal, attempts) {
  // The moment of a try is told as its age, so that no clock but Postgres' counts.
  const aged = () => attempts.map(({ started, ...rest }) =>
    ({ ...rest, started_ms_ago: Math.round(performance.now() - started) }));
  return verdicts(db, signal, attempts.length, aged, "NULL::integer AS try", "report");
}

/**
 * @param {Database} db
 * @param {AbortSignal} signal
 * @param {number} n
 * @param {() => object[]} members
 * @param {string} column
 * @param {string} name
 * @returns {Promise<Verdict[]>}
 */
function verdicts(db, signal, n, members, column, name) {
  return db.call(signal, name, async (schema, query) => {
    const start = performance.now(); // a lease counts from here
    const rows = await query(`SELECT ordinal, verdict, wait_ms, reason, ${column}
      FROM ${schema}.rule_worker_${name}($1, $2::pg_catalog.jsonb)`, [db.consumer, JSON.stringify(members())]);
    /** @type {Verdict[]} */
    const answers = Array.from({ length: n }, () => ({ verdict: "", reason: "", wait: 0, try: 0, start }));
    for (const r of rows) {
      const answer = answers[r.ordinal - 1];
      if (!answer) throw new Error(`${name} answered about member ${r.ordinal} of ${n}`);
      Object.assign(answer, { verdict: r.verdict ?? "", reason: r.reason ?? "", wait: r.wait_ms ?? 0, try: r.try ?? 0 });
    }
    return answers;
  });
}

/**
 * Answers which of the holds are lost, and how far the clock here is ahead of the database's, in ms.
 * @param {Database} db
 * @param {AbortSignal} signal
 * @param {object[]} totals
 * @param {{queue: number[], receipts: [number, string, number][]}} held
 * @returns {Promise<{queue?: number[], receipts?: [number, string, number][], places?: Places,
 *   namesake?: boolean, now_ms?: number, ahead: number}>}
 */
export function heartbeat(db, signal, totals, held) {
  return db.call(signal, "heartbeat", async (schema, query) => {
    const asked = Date.now();
    const [row] = await query(`SELECT lost FROM ${schema}.rule_worker_heartbeat($1, $2::pg_catalog.jsonb, $3::pg_catalog.jsonb)`,
      [db.consumer, JSON.stringify(totals), JSON.stringify({ ...held, unanswered: db.lost.all(),
        instance: db.namesake.instance, heard_ms: db.namesake.heard })]);
    const lost = row?.lost ?? {};
    // Older versions do not say what time it is there.
    return { ...lost, ahead: lost.now_ms ? (asked + Date.now()) / 2 - lost.now_ms : 0 };
  }, { once: true });
}
