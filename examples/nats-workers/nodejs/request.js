import { badUpgrade, informed } from "./information.js";
import { said } from "./text.js";

export const mostOfAnswer = 16 << 10; // read at all
export const keptOfAnswer = 1 << 10; // kept of a failure

/**
 * @typedef {import("undici").Dispatcher.DispatchHandler} DispatchHandler
 * @typedef {import("undici").Dispatcher.DispatchController} Controller
 */

/**
 * One request and its answer, as undici tells of them. It is over once: with the
 * answer, with an error, or when end is called.
 * @implements {DispatchHandler}
 */
export class Request {
  /** Of the answer. 0 while there is none. */
  status = 0;
  /** @type {Record<string, string | string[] | undefined>} */
  headers = {};
  /** The beginning of the answer's body. */
  kept = Buffer.alloc(0);

  #left = mostOfAnswer;
  #look = informed();
  #isOver = false;
  /** @type {Controller | undefined} */
  #wire;
  /** @type {(err?: unknown) => void} */
  #finish = () => {};
  /** @type {Promise<void>} */
  over = new Promise((resolve, reject) => {
    this.#finish = (err) => {
      this.#isOver = true;
      if (err) reject(err);
      else resolve();
    };
  });

  /** Ends it on the wire as well, where it may not be yet. @param {Error} [err] */
  end(err) {
    if (this.#isOver) return;
    this.#finish(err);
    this.#wire?.abort(err ?? enough);
  }

  /** @param {Controller} wire */
  onRequestStart(wire) {
    this.#wire = wire;
    if (this.#isOver) wire.abort(enough);
  }

  /**
   * @param {Controller} _
   * @param {number} statusCode
   * @param {import("undici").Dispatcher.ResponseData["headers"]} headers
   */
  onResponseStart(_, statusCode, headers) {
    if (statusCode < 200) return this.#look({ statusCode, headers });
    this.status = statusCode;
    this.headers = headers;
    // These have no body, and undici waits for one that they announce.
    const announced = (headers["content-length"] ?? "0") !== "0" || headers["transfer-encoding"] !== undefined;
    if (announced && (statusCode === 204 || statusCode === 304)) this.end();
  }

  /** @param {Controller} _ @param {Buffer} chunk */
  onResponseData(_, chunk) {
    const room = keptOfAnswer - this.kept.length;
    if (room > 0) this.kept = Buffer.concat([this.kept, chunk.subarray(0, room)]);
    this.#left -= chunk.length;
    if (this.#left <= 0) this.end(); // the connection and not the try
  }

  onResponseEnd() {
    this.#finish();
  }

  /** @param {Controller} _ @param {Error} err */
  onResponseError(_, err) {
    if (this.status > 0) return this.#finish(new Error(`status ${this.status}, but the answer broke off: ${said(err)}`));
    if (err.message !== badUpgrade) return this.#finish(err);
    // To undici an answer that it did not ask for, to us one that is no success.
    this.status = 101;
    this.#finish();
  }
}

const enough = new Error("nobody waits for more of the answer");
