import { log } from "./log.js";

export const sayAgain = 30_000;

/** Says what goes on for a while once, and again every half minute. */
export class Complaint {
  /** @type {Map<string, number>} */
  #last = new Map();

  /**
   * Takes why apart from what: two causes that take turns, or one that is told in
   * ever other words, would fill the log.
   * @param {string} what
   * @param {string} why
   * @param {object} [facts]
   */
  say(what, why, facts = {}) {
    const now = performance.now();
    if (now - (this.#last.get(what) ?? -Infinity) < sayAgain) return;
    this.#last.set(what, now);
    log.warn(facts, why ? `${what}: ${why}` : what);
  }
}
