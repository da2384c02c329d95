import * as calls from "./calls.js";
import { sleep } from "./context.js";
import { log } from "./log.js";
import { signingKeys } from "./sign.js";
import { basicAuth, said } from "./text.js";
import { userAgent } from "./version.js";

/**
 * Where a webhook's events go, made ready for requests. broken is set when no
 * request can be made of the row; each try fails with it.
 * @typedef {{timeout: number, broken: string} | {timeout: number, broken?: undefined, origin: string, path: string,
 *   method: string, headers: Record<string, string>, keys: import("node:crypto").KeyObject[]}} Endpoint
 *
 * What was told of a webhook, and when. shut: what was taken before is not to be sent. What the
 * database gave since then it gave in spite of that, or since it is open again.
 * @typedef {Endpoint & {shut: boolean, told: number}} Told
 */

/**
 * Keeps a copy of all endpoints. It asks for what changed since a snapshot of
 * the database, never since a time: a commit that was late would be missed for ever.
 */
export class Endpoints {
  /** @type {Map<number, Told>} */
  #byID = new Map();
  #mark = "";
  /** The refresh that has begun, and the one after it. @type {Promise<void> | undefined} */
  #running;
  /** @type {Promise<void> | undefined} */
  #next;

  /**
   * @param {import("./database.js").Database} db
   * @param {import("./event.js").Holdings} held
   * @param {import("./window.js").Windows} windows
   */
  constructor(db, held, windows) {
    this.db = db;
    this.held = held;
    this.windows = windows;
  }

  /** Refreshes until the signal ends. @param {AbortSignal} signal @param {number} every */
  async run(signal, every) {
    while (await sleep(signal, every)) {
      try {
        await this.refresh(signal);
      } catch (err) {
        if (!signal.aborted) log.error({ error: said(err) }, "cannot read the endpoints");
      }
    }
  }

  /**
   * Answers undefined when the database has no such webhook.
   * @param {AbortSignal} signal
   * @param {number} id
   */
  async get(signal, id) {
    // One that is missing was registered a moment ago, after the last refresh.
    if (!this.#byID.has(id)) await this.refresh(signal);
    return this.#byID.get(id);
  }

  /** Tells by the last refresh whether an event is not to be sent any more. @param {import("./event.js").Event} e */
  recalls(e) {
    const { shut = false, told = 0 } = this.#byID.get(e.webhookID) ?? {};
    return !e.isLeased || shut && e.taken < told;
  }

  /**
   * One refresh at a time; who asks meanwhile shares the next, which has not begun.
   * @param {AbortSignal} signal
   * @returns {Promise<void>}
   */
  refresh(signal) {
    if (!this.#running) {
      this.#running = this.#refresh(signal).finally(() => { this.#running = undefined; });
      return this.#running;
    }
    this.#next ??= this.#running.catch(() => {}).then(() => {
      this.#next = undefined;
      return this.refresh(signal);
    });
    return this.#next;
  }

  /** @param {AbortSignal} signal */
  async #refresh(signal) {
    const { rows, mark } = await calls.endpoints(this.db, signal, this.#mark);
    const told = performance.now();
    this.#mark = mark;
    const gone = new Set();
    for (const row of rows) {
      if (row.deleted) {
        this.#byID.delete(row.webhookID);
        gone.add(row.webhookID);
        continue;
      }
      const endpoint = newEndpoint(row);
      this.#byID.set(row.webhookID, { ...endpoint, shut: !row.enabled, told });
      if (endpoint.broken) {
        log.warn({ webhook_id: row.webhookID, webhook_name: row.name, error: endpoint.broken }, "a webhook cannot be sent");
      }
    }
    if (gone.size > 0) this.held.recall(gone);
    // The requests before it may take long.
    for (const row of rows) if (!row.enabled) this.windows.recall(row.webhookID);
  }
}

/**
 * @param {calls.EndpointRow} row
 * @returns {Endpoint}
 */
export function newEndpoint(row) {
  const { timeout } = row;
  const text = row.url.trim();
  const url = parseURL(text);
  // The parser's own error would show the URL, which can be a secret.
  if (!url) return { timeout, broken: "the webhook's URL is not an absolute http or https URL" };
  const method = row.method.toUpperCase();
  if (!/^[A-Z]+$/.test(method)) return { timeout, broken: "the webhook's method is not a method of HTTP" };
  try {
    const headers = requestHeaders(row.headers);
    if (!has(headers, "authorization")) {
      // What other clients do with user info. It is no part of the request line.
      const credentials = basicAuth(url);
      if (credentials) headers.Authorization = credentials;
    }
    return { timeout, origin: url.origin, path: pathOf(text, url) + url.search, method, headers, keys: signingKeys(row.secrets) };
  } catch (err) {
    return { timeout, broken: said(err) };
  }
}

/** @param {string} text */
function parseURL(text) {
  // URL repairs what other parsers refuse or read in another way.
  if (!/^https?:\/\/[^/?#]/i.test(text) || /[\\\p{Cc}]/u.test(text) || /^[^?#]*%(?![0-9a-f]{2})/i.test(text)) return undefined;
  try {
    const url = new URL(text);
    return url.hostname === "" || url.port === "0" ? undefined : url;
  } catch {
    return undefined;
  }
}

/** The path as it is written: URL would take out its . and .. @param {string} text @param {URL} url */
function pathOf(text, url) {
  return /^https?:\/\/[^/?#]*(\/[\w\-.~!$&'()*+,;=:@%/]*)(?:[?#]|$)/i.exec(text)?.[1] ?? url.pathname;
}

// What a request has from its connection and its body, and what signs it. A
// webhook's own header must not contradict it, nor take its place.
const framing = new Set(["connection", "content-length", "expect", "keep-alive", "proxy-connection", "te",
  "trailer", "transfer-encoding", "upgrade", "webhook-id", "webhook-timestamp", "webhook-signature"]);

/** @param {Record<string, string>} headers @param {string} name */
const has = (headers, name) => Object.keys(headers).some((n) => n.toLowerCase() === name && headers[n] !== "");

/** @param {string} text @returns {Record<string, string>} */
function requestHeaders(text) {
  /** @type {Record<string, string>} */
  const headers = {};
  for (const [name, value] of Object.entries(JSON.parse(text || "{}") ?? {})) {
    if (value === null || framing.has(name.toLowerCase())) continue;
    if (typeof value !== "string" && typeof value !== "number") {
      throw new Error("the webhook's headers are not an object of strings");
    }
    // A header's bytes are UTF-8; the client writes one byte for each character.
    headers[name] = Buffer.from(String(value)).toString("latin1");
  }
  if (!has(headers, "content-type")) headers["Content-Type"] = "application/json";
  if (!has(headers, "user-agent")) headers["User-Agent"] = userAgent;
  return headers;
}
