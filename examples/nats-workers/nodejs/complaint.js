import { log } from "./log.js";

/** Says what goes on for a while once, and again every half minute or when its cause changes. */
export class Complaint {
  #last = "";
  #at = 0;

  /** @param {string} text @param {object} [facts] */
  say(text, facts = {}) {
    const now = performance.now();
    if (text === this.#last && now - this.#at < 30_000) return;
    this.#last = text;
    this.#at = now;
    log.warn(facts, text);
  }

  over() {
    this.#last = "";
  }
}
