/** Makes a driver's message of several lines one line of a log. @param {string} s */
export const oneLine = (s) => s.split(/\s+/).filter(Boolean).join(" ");

/**
 * Makes text from outside fit for Postgres, which refuses NUL and surrogates
 * that stand alone, and no longer than max bytes.
 * @param {string | Uint8Array} s
 * @param {number} max
 */
export function plain(s, max) {
  const bytes = typeof s === "string" ? Buffer.from(s) : Buffer.from(s.buffer, s.byteOffset, s.byteLength);
  return bytes.subarray(0, max).toString().replaceAll("\0", "\uFFFD");
}

/**
 * What an error says, with the errors it was made of.
 * @param {unknown} err
 * @returns {string}
 */
export function said(err) {
  if (err instanceof AggregateError && err.errors.length > 0) return err.errors.map(said).join("; ");
  if (!(err instanceof Error)) return oneLine(String(err));
  return oneLine(err.message || /** @type {{code?: string}} */ (err).code || err.name);
}

const unknown = ["SELF_SIGNED_CERT_IN_CHAIN", "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_GET_ISSUER_CERT"];

/** Tells whether a certificate is signed by nobody we know. @param {unknown} err */
export const unknownAuthority = (err) => unknown.includes(/** @type {{code?: string}} */ (err)?.code ?? "");

/** @param {string} host @param {string | number} port */
export const joined = (host, port) => host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

/** What is escaped may be no UTF-8, and is then no text. @param {string} escaped */
const bytes = (escaped) => escaped.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));

/** The header's value for a URL's user info, where it has some. @param {URL} url */
export function basicAuth({ username, password }) {
  if (!username && !password) return undefined;
  return "Basic " + Buffer.from(`${bytes(username)}:${bytes(password)}`, "latin1").toString("base64");
}
