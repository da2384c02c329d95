import { createHmac } from "node:crypto";

export class SecretError extends Error {
  constructor() {
    super("a signing secret of the webhook is not whsec_ and base64");
  }
}

/**
 * Reads secrets of the form whsec_ and base64. A webhook with a secret that
 * cannot be read is not sent at all: its receiver counts on it.
 * @param {string[]} secrets
 */
export function signingKeys(secrets) {
  return secrets.map((secret) => {
    const text = /^whsec_([A-Za-z0-9+/]+)=*$/.exec(secret)?.[1];
    // Node reads any text as base64; only lengths that are possible are.
    if (!text || text.length % 4 === 1) throw new SecretError();
    return Buffer.from(text, "base64");
  });
}

/**
 * How a message id travels. Receivers may put it into file names and keys, so
 * what is outside of the usual set is wrapped.
 * @param {string} messageID
 */
export function webhookID(messageID) {
  if (/^[A-Za-z0-9_-]{1,128}$/.test(messageID)) return messageID;
  return "b64_" + Buffer.from(messageID).toString("base64url");
}

/**
 * The three headers of one try. The timestamp is the try's: receivers refuse old ones.
 * @param {Buffer[]} keys
 * @param {string} messageID
 * @param {number} at ms since 1970
 * @param {Uint8Array} body
 * @returns {Record<string, string>}
 */
export function sign(keys, messageID, at, body) {
  const id = webhookID(messageID);
  const stamp = String(Math.floor(at / 1000));
  /** @type {Record<string, string>} */
  const headers = { "webhook-id": id, "webhook-timestamp": stamp };
  if (keys.length > 0) {
    headers["webhook-signature"] = keys.map((key) =>
      "v1," + createHmac("sha256", key).update(`${id}.${stamp}.`).update(body).digest("base64")).join(" ");
  }
  return headers;
}
