import crypto from "node:crypto";

export class SecretError extends Error {
  constructor() {
    super("a signing secret of the webhook is neither whsec_ nor whsk_ and base64 of a key");
  }
}

/** Stands before a seed in PKCS #8, the form in which Node takes ed25519 keys. */
const beforeSeed = Buffer.from("302e020100300506032b657004220420", "hex");
const seedSize = 32;

/**
 * Reads secrets of the form whsec_ or whsk_ and base64. The first is shared with
 * the receiver (v1), of the second the receiver has the public half (v1a). A
 * webhook with a secret that cannot be read is not sent at all: its receiver
 * counts on it.
 * @param {string[]} secrets
 * @returns {crypto.KeyObject[]}
 */
export function signingKeys(secrets) {
  return secrets.map((text) => {
    const [, kind, base64] = /^(whsec|whsk)_([A-Za-z0-9+/]+)=*$/.exec(text) ?? [];
    // Node reads any text as base64; only lengths that are possible are.
    if (!base64 || base64.length % 4 === 1) throw new SecretError();
    const secret = Buffer.from(base64, "base64");
    return kind === "whsk" ? privateKey(secret) : crypto.createSecretKey(secret);
  });
}

/**
 * Takes a seed, alone or with its public key behind it, as the libraries of the
 * specification write it.
 * @param {Buffer} secret
 */
function privateKey(secret) {
  if (secret.length !== seedSize && secret.length !== 2 * seedSize) throw new SecretError();
  const der = Buffer.concat([beforeSeed, secret.subarray(0, seedSize)]);
  const key = crypto.createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const behind = secret.subarray(seedSize);
  if (behind.length > 0 && !behind.equals(publicKey(key))) throw new SecretError();
  return key;
}

/** The bytes that a receiver gets as whpk_. @param {crypto.KeyObject} key */
export function publicKey(key) {
  return crypto.createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
}

/**
 * How a message id travels. Receivers may put it into file names and keys, so
 * what is outside of the usual set is wrapped; and so is what looks wrapped, or
 * two events could have one webhook-id.
 * @param {string} messageID
 */
function webhookID(messageID) {
  if (/^(?!b64_)[A-Za-z0-9_-]{1,128}$/.test(messageID)) return messageID;
  return "b64_" + Buffer.from(messageID).toString("base64url");
}

/**
 * The three headers of one try. The timestamp is the try's: receivers refuse old ones.
 * @param {crypto.KeyObject[]} keys
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
    const content = Buffer.concat([Buffer.from(`${id}.${stamp}.`), body]);
    headers["webhook-signature"] = keys.map((key) => signature(key, content)).join(" ");
  }
  return headers;
}

/** One entry of the header. @param {crypto.KeyObject} key @param {Buffer} content */
function signature(key, content) {
  if (key.type === "private") return "v1a," + crypto.sign(null, content, key).toString("base64");
  return "v1," + crypto.createHmac("sha256", key).update(content).digest("base64");
}
