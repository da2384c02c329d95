import { onEnd, Ended, sleep } from "./context.js";

/**
 * Bounds how many events a path holds that have not been sent yet, so that no
 * more is taken than can be sent.
 */
export class Slots {
  #free;
  /** @type {(() => void)[]} */
  #waiting = [];

  /** @param {number} size */
  constructor(size) {
    this.size = size;
    this.#free = size;
  }

  /** Waits for one slot. @param {AbortSignal} [signal] @returns {Promise<void>} */
  enter(signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(new Ended());
      if (this.#free > 0) {
        this.#free--;
        return resolve();
      }
      const turn = () => {
        forget();
        resolve();
      };
      this.#waiting.push(turn);
      const forget = signal ? onEnd(signal, () => {
        this.#waiting.splice(this.#waiting.indexOf(turn), 1);
        reject(new Ended());
      }) : () => {};
    });
  }

  /**
   * Waits for a free slot and answers how many it took. Under load slots come
   * back one by one, and a request to NATS or Postgres for each would cost more
   * than the event: one that became free alone waits a moment for company.
   * @param {AbortSignal} signal
   */
  async take(signal) {
    await this.enter(signal);
    let n = 1 + this.#takeFree();
    if (n < Math.max(1, this.size / 4) && await sleep(signal, 1)) n += this.#takeFree();
    return n;
  }

  #takeFree() {
    const n = this.#free;
    this.#free = 0;
    return n;
  }

  give(n = 1) {
    for (; n > 0; n--) {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/** @param {() => void} f */
export function once(f) {
  let done = false;
  return () => {
    if (!done) f();
    done = true;
  };
}
