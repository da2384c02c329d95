import { log } from "./log.js";

// How far the clock here may be from Postgres' before it is worth a line, in ms.
const mostOff = 60_000;

/**
 * Says when the clock by which requests are stamped is not Postgres', once until
 * it is again. Whose is wrong is for a person to tell.
 */
export class ClockWatch {
  #off = false;

  /**
   * @param {number} postgres how far the clock here is ahead of Postgres', in ms
   * @param {number} nats and of NATS'; 0: not known
   */
  look(postgres, nats) {
    const off = Math.abs(postgres) > mostOff;
    if (off && !this.#off) {
      log.warn({ seconds_ahead_of_postgres: seconds(postgres), seconds_ahead_of_nats: nats ? seconds(nats) : undefined },
        "the clock here is not postgres'; receivers refuse a webhook-timestamp that is five minutes off");
    } else if (!off && this.#off) {
      log.info("the clock here is postgres' again");
    }
    this.#off = off;
  }
}

/** Not -0. @param {number} ms */
const seconds = (ms) => Math.round(ms / 1000) + 0;
