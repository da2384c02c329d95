import { Ended, onEnd } from "./context.js";
import { mostBatch } from "./load.js";

// How many round trips of most kinds are under way at a time: a second one gathers
// and travels while the first waits for Postgres' disk.
export const lanes = 2;

/**
 * Gathers questions of many events into few round trips. A lane takes whatever
 * is there when its previous round trip returns: an idle worker asks at once, a
 * busy one in large batches, and nobody waits for a timer.
 * @template Q, A
 */
export class Batcher {
  /** @type {{question: Q, resolve: (a: A) => void, reject: (err: unknown) => void}[]} */
  #waiting = [];
  #running = 0;
  #soon = false;

  /**
   * @param {AbortSignal} signal ends it
   * @param {number} lanes
   * @param {number} most
   * @param {(q: Q) => number} size of what a question carries
   * @param {(signal: AbortSignal, questions: Q[]) => Promise<A[]>} call
   */
  constructor(signal, lanes, most, size, call) {
    this.signal = signal;
    this.lanes = lanes;
    this.most = most;
    this.size = size;
    this.call = call;
  }

  /**
   * Waits for the answer to one question.
   * @param {AbortSignal} signal
   * @param {Q} question
   * @returns {Promise<A>}
   */
  ask(signal, question) {
    return new Promise((resolve, reject) => {
      const forget = onEnd(signal, () => reject(new Ended()));
      this.#waiting.push({
        question,
        resolve: (answer) => {
          forget();
          resolve(answer);
        },
        reject: (err) => {
          forget();
          reject(err);
        },
      });
      this.#pump();
    });
  }

  #pump() {
    if (this.#soon || this.#running >= this.lanes || this.#waiting.length === 0) return;
    this.#soon = true;
    // What arrived from NATS in one packet asks in one batch.
    setImmediate(() => {
      this.#soon = false;
      const batch = this.#gather();
      this.#running++;
      this.#serve(batch).finally(() => {
        this.#running--;
        this.#pump();
      });
      this.#pump();
    });
  }

  #gather() {
    let n = 0;
    for (let bytes = 0; n < this.#waiting.length && n < this.most && bytes < mostBatch; n++) {
      bytes += this.size(this.#waiting[n].question);
    }
    return this.#waiting.splice(0, n);
  }

  /**
   * Asks for the batch and hands out the answers. A call fails only when the
   * database refuses what it was given; then the batch is halved until the one
   * member that is at fault stands alone.
   * @param {{question: Q, resolve: (a: A) => void, reject: (err: unknown) => void}[]} batch
   */
  async #serve(batch) {
    try {
      const answers = await this.call(this.signal, batch.map((a) => a.question));
      batch.forEach((a, i) => a.resolve(answers[i]));
    } catch (err) {
      if (batch.length === 1 || this.signal.aborted) {
        for (const a of batch) a.reject(err);
        return;
      }
      const half = batch.length >> 1;
      await this.#serve(batch.slice(0, half));
      await this.#serve(batch.slice(half));
    }
  }
}
