import net from "node:net";

import { Agent, buildConnector } from "undici";

import { guardedLookup, refusal } from "./address.js";
import { onEnd } from "./context.js";
import { badUpgrade, informed, mostOfHeader, passContinue } from "./information.js";
import { retryAfter } from "./retryafter.js";
import { sign } from "./sign.js";
import { once, Slots } from "./slots.js";
import { plain, said } from "./text.js";
import { patience } from "./window.js";

const mostOfAnswer = 16 << 10; // read at all
export const keptOfAnswer = 1 << 10; // kept of a failure
// Servers drop idle connections after 5 s at the earliest. Let go before: a
// request that meets the server's close on its way is a failed try.
const idleConnection = 4000;

/**
 * What became of one try. result: answered, failed or released; a row brought
 * back to NATS is published. started is monotonic.
 * @typedef {{result: string, status: number, error: string, answer: string, retryAfter: number,
 *   started: number, duration: number}} Outcome
 * @typedef {import("./endpoints.js").Endpoint} Endpoint
 * @typedef {import("./event.js").Event} Event
 */

/** @param {string} result @returns {Outcome} */
export const outcome = (result) =>
  ({ result, status: 0, error: "", answer: "", retryAfter: 0, started: performance.now(), duration: 0 });

/**
 * Makes requests, one on the wire for each try: undici's Agent repeats none by
 * itself, follows no redirect, unpacks nothing and asks no proxy.
 */
export class Sender {
  // A connection must not be waited for longer than the try that asked for it, and
  // undici has one bound for all connections of an agent.
  /** @type {Map<number, Agent>} */
  #agents = new Map();

  /** @param {number} inFlight @param {import("./address.js").Network[]} allow */
  constructor(inFlight, allow) {
    this.allow = allow;
    this.slots = new Slots(inFlight);
    this.inFlight = 0;
  }

  /**
   * Waits for a place among the requests on the wire and answers what leaves it. One
   * that takes long leaves it to others: its webhook's window bounds those.
   * @param {AbortSignal} signal
   */
  async enter(signal) {
    await this.slots.enter(signal);
    this.inFlight++;
    const free = once(() => this.slots.give());
    const late = setTimeout(free, patience);
    return () => {
      clearTimeout(late);
      free();
      this.inFlight--;
    };
  }

  /** @param {number} timeout */
  #agent(timeout) {
    let agent = this.#agents.get(timeout);
    if (!agent) {
      agent = new Agent({
        connect: this.#connector(timeout),
        pipelining: 1,
        allowH2: false,
        keepAliveTimeout: idleConnection,
        keepAliveMaxTimeout: idleConnection,
        maxHeaderSize: mostOfHeader,
        headersTimeout: 0, // the deadline is one over all of the try
        bodyTimeout: 0,
      });
      this.#agents.set(timeout, agent);
    }
    return agent;
  }

  /** @param {number} timeout @returns {buildConnector.connector} */
  #connector(timeout) {
    const connect = buildConnector({
      timeout,
      allowH2: false,
      lookup: guardedLookup(this.allow),
      autoSelectFamily: true,
      // The default leaves a far address after 250 ms.
      autoSelectFamilyAttemptTimeout: 2500,
    });
    return (options, callback) => {
      const host = options.hostname.replace(/^\[(.*)\]$/, "$1");
      // An address is not looked up.
      const refused = net.isIP(host) ? refusal(host, this.allow) : undefined;
      if (refused) return callback(new Error(refused), null);
      connect(options, (...connected) => {
        if (connected[1]) passContinue(connected[1]);
        callback(...connected);
      });
    };
  }

  /**
   * Sends the event once. The endpoint's time is one deadline over all of it,
   * from looking up the name to the last byte of the answer.
   * @param {AbortSignal} signal
   * @param {Endpoint} ep
   * @param {Event} e
   * @returns {Promise<Outcome>}
   */
  async try(signal, ep, e) {
    const o = outcome("failed");
    if (ep.broken !== undefined) return { ...o, error: ep.broken };
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), ep.timeout);
    const forget = onEnd(signal, () => limit.abort());
    /** @type {Promise<never>} */
    const late = new Promise((_, reject) => limit.signal.addEventListener("abort", reject, { once: true }));
    const asked = this.#request(limit.signal, ep, e);
    late.catch(() => {});
    asked.catch(() => {}); // one that is still connecting fails later than its deadline
    try {
      const { status, headers, answer } = await Promise.race([asked, late]);
      o.result = "answered";
      o.status = status;
      if (status < 200 || status > 299) {
        o.answer = plain(answer, keptOfAnswer);
        o.retryAfter = retryAfter(headers, Date.now());
      }
    } catch (err) {
      if (signal.aborted) o.result = "released"; // the process ends
      else if (limit.signal.aborted) o.error = `no whole answer within ${ep.timeout} ms`;
      else o.error = plain(said(err), keptOfAnswer);
    } finally {
      clearTimeout(timer);
      forget();
      o.duration = performance.now() - o.started;
    }
    return o;
  }

  /**
   * @param {AbortSignal} signal
   * @param {Exclude<Endpoint, {broken: string}>} ep
   * @param {Event} e
   * @returns {Promise<{status: number, headers: Record<string, string | string[] | undefined>, answer: Buffer}>}
   */
  async #request(signal, ep, e) {
    const headers = { ...ep.headers, ...sign(ep.keys, e.messageID, Date.now(), e.body) };
    if (e.trace) {
      // In place of one that the webhook itself has, in whatever case.
      for (const name of Object.keys(headers)) if (name.toLowerCase() === "traceparent") delete headers[name];
      headers.traceparent = e.trace;
    }
    let response;
    try {
      response = await this.#agent(ep.timeout).request({
        origin: ep.origin, path: ep.path, method: /** @type {import("undici").Dispatcher.HttpMethod} */ (ep.method),
        headers, body: e.body, signal, onInfo: informed(),
      });
    } catch (err) {
      // To undici an answer that it did not ask for, to us one that is no success.
      if (err instanceof Error && err.message === badUpgrade) return { status: 101, headers: {}, answer: Buffer.alloc(0) };
      throw err;
    }
    const { statusCode: status, body } = response;
    body.on("error", () => {}); // of what is not read to its end
    const chunks = [];
    let left = mostOfAnswer;
    try {
      for await (const chunk of body) {
        chunks.push(chunk.subarray(0, left));
        left -= chunk.length;
        if (left <= 0) break; // ends the connection and not the try
      }
    } catch (err) {
      throw new Error(`status ${status}, but the answer broke off: ${said(err)}`);
    }
    return { status, headers: response.headers, answer: Buffer.concat(chunks) };
  }
}
