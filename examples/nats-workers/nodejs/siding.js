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
