import { newCall } from "./lostcalls.js";

/**
 * Knows of another process that lives under this one's CONSUMER_NAME. Postgres takes
 * the two for one: what it has leased to either is both's to renew, report and give back.
 */
export class Namesake {
  /** Tells this process from others of its name. */
  instance = newCall();
  /** When Postgres last heard this one, in ms by its clock. @type {number | undefined} */
  heard;
  /** Or has lived: it may still have something in hand. */
  lives = false;
  #said = false;

  /**
   * Is told what a heartbeat was answered and tells whether another one lives. That
   * takes two in a row: the last words of a process that was killed can be late.
   * @param {{namesake?: boolean, now_ms?: number}} answer not said by older versions
   */
  look({ namesake = false, now_ms }) {
    const lives = namesake && this.#said;
    this.#said = namesake;
    this.heard = now_ms;
    if (lives) this.lives = true;
    return lives;
  }
}
