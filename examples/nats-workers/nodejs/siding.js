import { patience } from "./window.js";

// So many that a hundred endpoints which hang at once leave the slots free.
const mostAside = 2048;

/** Bounds how many events of slow endpoints there are beside those that have slots. */
export class Siding {
  #aside = 0;

  /** @param {number} [most] */
  constructor(most = mostAside) {
    this.most = most;
  }

  /** Moves an event aside, where there is room. */
  enter() {
    if (this.#aside >= this.most) return false;
    this.#aside++;
    return true;
  }

  leave() {
    this.#aside--;
  }

  /**
   * Frees an event's slot when it has waited for as long as patience lasts, until
   * what it answers is called.
   * @param {() => void} free
   */
  shunt(free) {
    let aside = false;
    const late = setTimeout(() => {
      aside = this.enter();
      if (aside) free();
    }, patience);
    return () => {
      clearTimeout(late);
      if (aside) this.leave();
    };
  }
}

// When a passed event comes again, in ms: at the earliest, and one after the other.
const comeAgain = 2000;
const comeAgainEvery = 0.2;
/** Three quarters of the consumer's max_ack_pending: others need places, too. */
export const mostPassed = 75_000;

/**
 * Is for events of slow endpoints when the siding is full, too. The worker passes
 * them over, without a look of the database, to come to what stands behind them in
 * the stream; they come again at a rate at which they can be moved.
 */
export class Passing {
  /** When the last of them comes again. */
  #last = 0;

  /**
   * Answers in how many ms an event comes again, or nothing when too many are to come
   * already. All those of one second come at one moment: the server looks through
   * all that is not settled at each moment that it was given.
   * @param {number} now
   */
  over(now) {
    this.#last = Math.max(this.#last, now + comeAgain);
    if (this.#last - now > comeAgain + mostPassed * comeAgainEvery) return undefined;
    this.#last += comeAgainEvery;
    return (Math.floor(this.#last / 1000) + 1) * 1000 - now;
  }
}
