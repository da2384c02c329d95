/** So many messages behind the last one are a backlog. Fewer are passed in no time. */
export const manyPending = 500;
/** From how many messages, the last ones, a worker tells whose backlog it is. */
export const lookedAt = 1024;
/** The part of them, one in so many, with which a webhook holds up others. */
export const large = 64;

/** What the group's consumer has before it, as the messages tell that it delivers. */
export class Backlog {
  #pending = 0;
  /** The last messages, a ring. @type {{webhookID: number, again: boolean}[]} */
  #recent = [];
  #at = 0;
  /** Of each webhook's in it. @type {Map<number, number>} */
  #counts = new Map();
  #again = 0; // of those in it that came before

  /**
   * Notes a message, how many are behind it, and whether it came before: such come
   * before what is new.
   * @param {number} webhookID @param {number} pending @param {boolean} again
   */
  came(webhookID, pending, again) {
    this.#pending = pending;
    const old = this.#recent[this.#at];
    if (old) this.#count(old, -1);
    this.#recent[this.#at] = { webhookID, again };
    this.#count(this.#recent[this.#at], 1);
    this.#at = (this.#at + 1) % lookedAt;
  }

  /** @param {{webhookID: number, again: boolean}} message @param {number} n */
  #count({ webhookID, again }, n) {
    if (again) this.#again += n;
    const all = (this.#counts.get(webhookID) ?? 0) + n;
    if (all > 0) this.#counts.set(webhookID, all);
    else this.#counts.delete(webhookID);
  }

  /** Notes that nothing is there to be delivered. */
  over() {
    this.#pending = this.#again = 0;
    this.#recent = [];
    this.#counts.clear();
  }

  /**
   * Tells whether a few webhooks' messages stand before all others': many that wait, or
   * so many of an open transaction that nearly all that comes has come before. Where many
   * webhooks have their part in a backlog, each gets its turn as it is.
   */
  holdsUp() {
    if (this.#pending < manyPending && this.#again < lookedAt / 2) return false;
    let theirs = 0;
    for (const [id, n] of this.#counts) {
      if (id !== 0 && n >= lookedAt / large) theirs += n;
    }
    return theirs >= lookedAt / 2;
  }

  /** Tells whether the webhook is one of those. @param {number} webhookID */
  of(webhookID) {
    return (this.#counts.get(webhookID) ?? 0) >= lookedAt / large;
  }
}
