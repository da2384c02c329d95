import { sleep } from "./context.js";

/**
 * The wait between tries of something that others mend: short at first, never
 * over five seconds, never in step with other workers.
 */
export class Backoff {
  #next = 50;

  /** Answers whether it waited for all of it. @param {AbortSignal} signal */
  wait(signal) {
    const ms = this.#next / 2 + Math.random() * this.#next;
    this.#next = Math.min(2 * this.#next, 4000);
    return sleep(signal, ms);
  }
}
