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
