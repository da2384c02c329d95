/** So many messages behind the last one are a backlog. Fewer are passed in no time. */
export const manyPending = 500;
/** From how many messages, the last ones, a worker tells whose backlog it is. */
export const lookedAt = 256;
/** The part of them, one in so many, with which a webhook holds up others. */
export const large = 16;

/** What the group's consumer has before it, as the messages tell that it delivers. */
export class Backlog {
  #pending = 0;
  /** The webhooks of the last messages, a ring. */
  #recent = new Array(lookedAt).fill(0);
  #at = 0;
  /** How often each stands in it. @type {Map<number, number>} */
  #counts = new Map();

  /** Notes a message, and how many are behind it. @param {number} webhookID @param {number} pending */
  came(webhookID, pending) {
    this.#pending = pending;
    this.#count(this.#recent[this.#at], -1);
    this.#recent[this.#at] = webhookID;
    this.#count(webhookID, 1);
    this.#at = (this.#at + 1) % lookedAt;
  }

  /** @param {number} id @param {number} more */
  #count(id, more) {
    const n = (this.#counts.get(id) ?? 0) + more;
    if (n > 0) this.#counts.set(id, n);
    else this.#counts.delete(id);
  }

  /** Notes that nothing is behind. */
  over() {
    this.#pending = 0;
  }

  /**
   * Tells whether a few webhooks' messages stand before all others'. Where many have
   * their part in a backlog, each gets its turn as it is.
   */
  holdsUp() {
    if (this.#pending < manyPending) return false;
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
