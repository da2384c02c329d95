import { Ended, sleep } from "./context.js";

const megabyte = 1 << 20;
// Bounds the bytes of payloads in hand: slots count events, and a thousand of a
// megabyte each would be more than a worker should need.
export const mostLoad = 128 * megabyte;
// Bounds one request to NATS, which ends a connection that has not taken 64 MB.
const mostFetch = 32 * megabyte;
/** Bounds the bytes of one call to the database, but for its last member. */
export const mostBatch = 16 * megabyte;

const lookForRoom = 5;

/** Counts the bytes of the payloads that the process holds. */
export class Load {
  #bytes = 0;

  get bytes() {
    return this.#bytes;
  }

  /** @param {number} n */
  add(n) {
    this.#bytes += n;
  }

  /** @param {number} n */
  remove(n) {
    this.#bytes -= n;
  }

  /** Waits until something more may be taken. @param {AbortSignal} signal */
  async wait(signal) {
    while (this.#bytes >= mostLoad) {
      if (!await sleep(signal, lookForRoom)) break;
    }
    if (signal.aborted) throw new Ended();
  }

  /**
   * Waits until an event of the largest size may be taken, and answers how many may
   * be asked for: one at least, also where a request for one may bring more than
   * mostFetch. A load of nothing takes one of any size.
   * @param {AbortSignal} signal
   * @param {number} largest
   */
  async room(signal, largest) {
    const size = Math.max(largest, 1);
    for (;;) {
      if (signal.aborted) throw new Ended();
      if (this.#bytes <= 0 || this.#bytes + size <= mostLoad) {
        return Math.max(1, Math.floor(Math.min(mostFetch, mostLoad - this.#bytes) / size));
      }
      await sleep(signal, lookForRoom);
    }
  }
}
