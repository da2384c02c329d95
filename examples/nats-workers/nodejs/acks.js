import { createInbox } from "@nats-io/transport-node";

const ackTimeout = 5000;

/**
 * Acks whose answers are waited for. They share one subscription: the library's own
 * requests make an error, with its stack, of each that is answered.
 */
export class Acks {
  #inbox = createInbox();
  /** By the last part of where the answer goes. @type {Map<string, (err?: Error) => void>} */
  #waiting = new Map();
  #last = 0;

  /** @param {import("@nats-io/transport-node").NatsConnection} nc */
  constructor(nc) {
    this.nc = nc;
    nc.subscribe(this.#inbox + ".*", { callback: (err, msg) => { if (!err) this.#answered(msg); } });
  }

  /** Acks a message and waits until the server has taken it. @param {string} subject @returns {Promise<void>} */
  ack(subject) {
    return new Promise((resolve, reject) => {
      const key = String(++this.#last);
      this.nc.publish(subject, "+ACK", { reply: `${this.#inbox}.${key}` });
      const timer = setTimeout(() => done(new Error("nats does not answer an ack")), ackTimeout);
      const done = (/** @type {Error | undefined} */ err = undefined) => {
        clearTimeout(timer);
        this.#waiting.delete(key);
        if (err) reject(err);
        else resolve();
      };
      this.#waiting.set(key, done);
    });
  }

  /** @param {import("@nats-io/transport-node").Msg} msg */
  #answered({ subject, headers }) {
    const done = this.#waiting.get(subject.slice(this.#inbox.length + 1));
    done?.(headers?.code === 503 ? new Error("nobody takes the ack") : undefined);
  }
}
