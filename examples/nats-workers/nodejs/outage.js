import { sayAgain } from "./complaint.js";
import { log } from "./log.js";
import { said } from "./text.js";

/** What the log was last told of a Postgres that does not answer. */
export class Outage {
  /** The one that is waited for; "" when none is. */
  #call = "";
  #at = -Infinity;

  /** @param {string} call @param {unknown} err */
  failed(call, err) {
    const now = performance.now();
    if (now - this.#at < sayAgain) return;
    this.#call = call;
    this.#at = now;
    log.warn({ call, error: said(err) }, "waiting for postgres");
  }

  /**
   * Says that Postgres is there when it is the call that was waited for: others may
   * be answered all the time.
   * @param {string} call
   */
  answered(call) {
    if (this.#call !== call) return;
    this.#call = "";
    log.info("postgres is there");
  }
}
