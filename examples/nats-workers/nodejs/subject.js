/**
 * Tells whether some subject is in both the filter and one of the stream's
 * patterns. A stream that lists none gets its messages otherwise.
 * @param {string} filter
 * @param {string[]} patterns
 */
export function matchesAny(filter, patterns) {
  return patterns.length === 0 || patterns.some((p) => overlap(filter.split("."), p.split(".")));
}

/** @param {string[]} a @param {string[]} b */
function overlap(a, b) {
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (a[i] === ">" || b[i] === ">") return true;
    if (a[i] !== b[i] && a[i] !== "*" && b[i] !== "*") return false;
  }
  return a.length === b.length;
}
