/**
 * So many messages behind the last one are a backlog. Fewer are passed in no time, unless
 * they are large or slow: then the last one has waited for as long as longWait, in ms.
 */
export const manyPending = 500;
export const longWait = 1000;
/**
 * From how many messages at most, the last ones, a worker tells whose backlog it is, and
 * leastSeen from how many at least.
 */
export const lookedAt = 1024;
export const leastSeen = 64;
/** The part of them, one in so many, with which a webhook holds up others; of few it takes some. */
export const large = 64;
const some = 4;
/** So many that come before what is new, again and again. */
export const manyAgain = 128;
/**
 * How long, in ms, a webhook holds up others by whatever part, after a message of it was
 * not for its endpoint then: moved to the queue, or to come again.
 */
export const lately = 5000;

/** What the group's consumer has before it, as the messages tell that it delivers. */
export class Backlog {
  #long = false;
  /** The last messages, a ring. @type {{webhookID: number, again: boolean, passed: boolean}[]} */
  #recent = [];
  #at = 0;
  /** Of each webhook's in it that nobody has read past. @type {Map<number, number>} */
  #counts = new Map();
  #again = 0; // of those in it that came before
  #passed = 0; // of those in it that were read past a backlog
  /** When that was last so of a webhook's message. @type {Map<number, number>} */
  #moved = new Map();

  // What is read past: from begun, before end, but for what was lately left to the
  // consumer of each webhook: from the first to the last message that were left with
  // none between them that was not.
  #begun = 0;
  #end = 0;
  /** @type {Map<number, {first: number, last: number, open: boolean}>} */
  #left = new Map();

  /**
   * Notes a message, how old it is in ms and how many are behind it, and whether it came
   * before: such come before what is new.
   * @param {number} webhookID @param {number} sequence @param {number} age @param {number} pending @param {boolean} again
   */
  came(webhookID, sequence, age, pending, again) {
    this.#long = pending >= manyPending || pending > 0 && !again && age >= longWait;
    const old = this.#recent[this.#at];
    if (old) this.#count(old, -1);
    const left = this.#left.get(webhookID);
    const passed = this.#begun <= sequence && sequence < this.#end && !(left && left.first <= sequence && sequence <= left.last);
    this.#recent[this.#at] = { webhookID, again, passed };
    this.#count(this.#recent[this.#at], 1);
    this.#at = (this.#at + 1) % lookedAt;
  }

  /** @param {{webhookID: number, again: boolean, passed: boolean}} message @param {number} n */
  #count({ webhookID, again, passed }, n) {
    if (again) this.#again += n;
    if (passed) {
      this.#passed += n;
      return;
    }
    const all = (this.#counts.get(webhookID) ?? 0) + n;
    if (all > 0) this.#counts.set(webhookID, all);
    else this.#counts.delete(webhookID);
  }

  /** Notes that a message of the webhook is moved to the queue, or comes again when its endpoint may be back. @param {number} webhookID */
  move(webhookID) {
    this.#moved.set(webhookID, performance.now());
  }

  /** Notes that nothing is there to be delivered. */
  over() {
    this.#long = false;
    this.#again = this.#passed = this.#at = 0;
    this.#recent = [];
    this.#counts.clear();
    this.#moved.clear();
  }

  /**
   * Tells whether messages of a few webhooks, of some whose endpoints are behind or away, or
   * such as were read past them, stand before all others': many that wait or take long, or
   * so many of an open transaction that nearly all that comes has come before. Where many
   * webhooks have their part in a backlog and take it, each gets its turn as it is.
   */
  holdsUp() {
    const seen = this.#recent.length;
    if (seen < leastSeen || !this.#long && this.#again < Math.max(manyAgain, Math.floor(seen / 2))) return false;
    let theirs = this.#passed;
    for (const [id, n] of this.#counts) {
      if (id !== 0 && this.#theirs(id, n)) theirs += n;
    }
    return theirs >= Math.floor(seen / 2);
  }

  /** @param {number} webhookID @param {number} n */
  #theirs(webhookID, n) {
    return n >= Math.max(some, Math.floor(this.#recent.length / large))
      || performance.now() - (this.#moved.get(webhookID) ?? -Infinity) < lately;
  }

  /**
   * Tells whether the webhook is one of those, whose messages are left to the consumer.
   * @param {number} webhookID @param {number} sequence
   */
  leaves(webhookID, sequence) {
    const left = this.#left.get(webhookID);
    if (!this.#theirs(webhookID, this.#counts.get(webhookID) ?? 0)) {
      if (left) left.open = false;
      return false;
    }
    if (left?.open) {
      left.first = Math.min(left.first, sequence);
      left.last = Math.max(left.last, sequence);
    } else {
      this.#left.set(webhookID, { first: sequence, last: sequence, open: true });
    }
    return true;
  }

  /**
   * Notes from where on messages are read past the backlog, and up to where they were.
   * @param {number} begun @param {number} end
   */
  reads(begun, end) {
    if (begun !== this.#begun) {
      this.#begun = begun;
      this.#left.clear();
    }
    this.#end = end;
  }
}
