import net from "node:net";

import { Agent, buildConnector } from "undici";

import { guardedLookup, unresolvedRefusal } from "./address.js";
import { boundAnswers } from "./bound.js";
import { Ended, onEnd } from "./context.js";
import { mostOfHeader, passContinue } from "./information.js";
import { tunnels } from "./proxy.js";
import { keptOfAnswer, Request } from "./request.js";
import { retryAfter } from "./retryafter.js";
import { patience } from "./siding.js";
import { sign } from "./sign.js";
import { once, Slots } from "./slots.js";
import { plain, said } from "./text.js";

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
 * itself, follows no redirect, unpacks nothing and asks no proxy of the environment.
 */
export class Sender {
  // A connection must not be waited for longer than the try that asked for it, and
  // undici has one bound for all connections of an agent.
  /** @type {Map<number, Agent>} */
  #agents = new Map();

  /**
   * @param {number} inFlight
   * @param {import("./address.js").Network[]} allow
   * @param {import("./configproxy.js").Proxy} [proxy]
   */
  constructor(inFlight, allow, proxy) {
    this.allow = allow;
    this.proxy = proxy;
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
    // The default leaves a far address after 250 ms.
    const dialling = { autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 2500 };
    const direct = buildConnector({ timeout, allowH2: false, lookup: guardedLookup(this.allow, timeout), ...dialling });
    const connect = this.proxy ? tunnels(this.proxy, dialling, direct, timeout) : direct;
    return (options, callback) => {
      const host = options.hostname.replace(/^\[(.*)\]$/, "$1");
      // An address is not looked up, nor is a name where there is a proxy.
      const refused = this.proxy || net.isIP(host) ? unresolvedRefusal(host, this.allow) : undefined;
      if (refused) return callback(new Error(refused), null);
      connect(options, (...connected) => {
        const socket = connected[1];
        if (socket) {
          boundAnswers(socket);
          passContinue(socket);
        }
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
    const request = new Request();
    const timer = setTimeout(() => request.end(new Error(`no whole answer within ${ep.timeout} ms`)), ep.timeout);
    const forget = onEnd(signal, () => request.end(new Ended()));
    try {
      this.#agent(ep.timeout).dispatch({
        origin: ep.origin, path: ep.path, method: /** @type {import("undici").Dispatcher.HttpMethod} */ (ep.method),
        headers: headersOf(ep, e), body: e.body,
      }, request);
      await request.over;
      const { status, headers, kept } = request;
      o.result = "answered";
      o.status = status;
      if (status < 200 || status > 299) {
        o.answer = plain(kept, keptOfAnswer);
        o.retryAfter = retryAfter(headers, Date.now());
      }
    } catch (err) {
      if (err instanceof Ended) o.result = "released"; // the process ends
      else o.error = plain(said(err), keptOfAnswer);
    } finally {
      clearTimeout(timer);
      forget();
      o.duration = performance.now() - o.started;
    }
    return o;
  }
}

/** @param {Exclude<Endpoint, {broken: string}>} ep @param {Event} e */
function headersOf(ep, e) {
  const headers = { ...ep.headers, ...sign(ep.keys, e.messageID, Date.now(), e.body) };
  if (e.trace) {
    // In place of one that the webhook itself has, in whatever case.
    for (const name of Object.keys(headers)) if (name.toLowerCase() === "traceparent") delete headers[name];
    headers.traceparent = e.trace;
  }
  return headers;
}
