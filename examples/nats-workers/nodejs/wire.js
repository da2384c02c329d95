import { isUtf8 } from "node:buffer";

import { MsgHdrsImpl } from "@nats-io/transport-node";

// Names of headers; test/golden/wire.json says what they hold.
export const header = {
  msg_id: "Nats-Msg-Id",
  source: "Rule-Engine-Source",
  webhook_id: "Rule-Engine-Webhook-Id",
  webhook_name: "Rule-Engine-Webhook-Name",
  message_id: "Rule-Engine-Message-Id",
  transaction: "Rule-Engine-Transaction",
  traceparent: "traceparent",
};

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Reads the headers of a message, the first of each name. The client's own reader
 * takes more from the ends of a value than white space of ASCII, and an id that
 * came out otherwise than it went in would be another event's. So would one with
 * bytes that are not UTF-8: such a value is empty.
 * @param {Uint8Array} bytes
 * @returns {Map<string, string>}
 */
export function decode(bytes) {
  const all = new Map();
  const clean = isUtf8(bytes);
  const text = clean ? decoder.decode(bytes) : Buffer.from(bytes).toString("latin1");
  for (const line of text.split("\r\n").slice(1)) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    if (name && !all.has(name)) all.set(name, clean ? value : utf8(Buffer.from(value, "latin1")));
  }
  return all;
}

/** @param {Buffer} bytes */
const utf8 = (bytes) => isUtf8(bytes) ? decoder.decode(bytes) : "";

/** @param {import("@nats-io/transport-node").Msg} msg */
export function headersOf(msg) {
  const raw = /** @type {any} */ (msg); // the bytes are there, and in no type
  return raw._msg.hdr > 0 ? decode(raw._rdata.subarray(0, raw._msg.hdr)) : new Map();
}

/** Writes headers as they are. @param {Record<string, string>} flat */
export const encode = (flat) => /** @type {MsgHdrsImpl} */ (MsgHdrsImpl.fromRecord(
  Object.fromEntries(Object.entries(flat).map(([name, value]) => [name, [value]]))));

/** The webhook's id, 0 where the header is not a positive decimal number of 31 bits. @param {string | undefined} text */
export function webhookIDOf(text) {
  const id = /^[0-9]+$/.test(text ?? "") ? Number(text) : 0;
  return id < 2 ** 31 ? id : 0;
}

/** A message id, or "" for one that could not have come from a publish. @param {string | undefined} id */
export function messageIDOf(id = "") {
  const good = id !== "" && Buffer.byteLength(id) <= 255 && !/\p{Cc}|^\p{White_Space}|\p{White_Space}$/u.test(id);
  return good ? id : "";
}

/** A traceparent of version 00, or "". @param {string | undefined} text */
export function traceparentOf(text = "") {
  const [, trace, parent] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(text) ?? [];
  return trace && /[^0]/.test(trace) && /[^0]/.test(parent) ? text : "";
}
