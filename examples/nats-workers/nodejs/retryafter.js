// The longest wait that an endpoint can ask for. The database says the same;
// here it keeps numbers that are none.
const most = 24 * 60 * 60 * 1000;

/**
 * How long the endpoint asks to be left alone, in ms: in seconds, or until a
 * date. 0 when it does not, or asks for nothing that makes sense.
 * @param {Record<string, string | string[] | undefined>} headers
 * @param {number} now
 */
export function retryAfter(headers, now) {
  const text = first(headers["retry-after"]).trim();
  if (/^[0-9]+$/.test(text)) return Math.min(Number(text) * 1000, most);
  const until = httpDate(text);
  if (until === undefined) return 0;
  // The date is of the endpoint's clock, which ours may not agree with.
  const theirs = httpDate(first(headers.date));
  return Math.min(Math.max(0, until - (theirs ?? now)), most);
}

/** @param {string | string[] | undefined} value */
function first(value) {
  return (Array.isArray(value) ? value[0] : value) ?? "";
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// The three forms of HTTP: IMF-fixdate, that of RFC 850, and asctime's.
const forms = [
  /^[A-Z][a-z]{2}, (?<day>\d{2}) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>\d{2}:\d{2}:\d{2}) GMT$/,
  /^[A-Z][a-z]+day, (?<day>\d{2})-(?<month>[A-Z][a-z]{2})-(?<year>\d{2}) (?<time>\d{2}:\d{2}:\d{2}) GMT$/,
  /^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>\d{2}:\d{2}:\d{2}) (?<year>\d{4})$/,
];

/** @param {string} text */
function httpDate(text) {
  const parts = forms.map((form) => form.exec(text)?.groups).find(Boolean);
  if (!parts) return undefined;
  const month = months.indexOf(parts.month);
  const day = Number(parts.day);
  const [hour, minute, second] = parts.time.split(":").map(Number);
  let year = Number(parts.year);
  if (parts.year.length === 2) year += year >= 69 ? 1900 : 2000;
  const date = new Date(Date.UTC(year, month, day, hour, minute, second));
  const real = month >= 0 && hour < 24 && minute < 60 && second < 60 &&
    date.getUTCMonth() === month && date.getUTCDate() === day;
  return real ? date.getTime() : undefined;
}
