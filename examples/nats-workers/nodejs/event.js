/** @typedef {import("./message.js").Message | import("./early.js").Early} StreamMessage */

/** One payload for one webhook while this process has it. */
export class Event {
  queueID = 0; // 0 on the stream path
  webhookID = 0;
  messageID = "";
  redelivery = 0;
  try = 0;
  /** The payload's bytes as they came; never parsed. @type {Uint8Array} */
  body = new Uint8Array();
  trace = "";
  stream = "";
  sequence = 0;
  /** Absent on the queue path. @type {StreamMessage | undefined} */
  msg;

  taken = 0; // when the call began that gave its lease
  // The end of the lease on the process's own monotonic clock, which nobody sets
  // right; 0 while there is none to renew.
  #leaseEnd = 0;

  /** @param {Partial<Event>} fields */
  constructor(fields) {
    Object.assign(this, fields);
  }

  get path() {
    return this.msg ? "stream" : "queue";
  }

  get isLeased() {
    return this.#leaseEnd !== 0;
  }

  /**
   * Notes a lease taken by a call that began at start. It is counted from before
   * the call: the database counted from later.
   * @param {number} start @param {number} length
   */
  leased(start, length) {
    this.taken = start;
    this.#leaseEnd = start + length;
  }

  /**
   * Notes that the lease was renewed by a call that began at start. It may have been
   * given back, or found lost, while the call was under way: that stays.
   * @param {number} start @param {number} length
   */
  renewed(start, length) {
    if (this.isLeased) this.#leaseEnd = start + length;
  }

  /** How long the lease still holds. */
  left() {
    return this.#leaseEnd - performance.now();
  }

  /** Makes the heartbeat leave the event alone: its lease is being given back, or was found lost. */
  unlease() {
    this.#leaseEnd = 0;
  }

  /** Names the event the way heartbeat takes and gives it. @returns {[number, string, number]} */
  receipt() {
    return [this.webhookID, this.messageID, this.redelivery];
  }
}

/** A message's in the stream. @param {Event} e */
const placeOf = (e) => `${e.msg?.made} ${e.sequence}`;

/** All that the process has not settled. @extends {Set<Event>} */
export class Holdings extends Set {
  /** Of those of the stream. @type {Set<string>} */
  #places = new Set();

  /**
   * Answers false for a message that is held already: the database takes a second
   * question about it for the first, whose answer was lost.
   * @param {Event} e
   */
  addMessage(e) {
    if (this.#places.has(placeOf(e))) return false;
    this.#places.add(placeOf(e));
    this.add(e);
    return true;
  }

  /** Has what is in hand of deleted webhooks given back untried: no lease of it is left. @param {Set<number>} webhookIDs */
  recall(webhookIDs) {
    for (const e of this) if (webhookIDs.has(e.webhookID)) e.unlease();
  }

  /** @param {Event} e */
  delete(e) {
    if (e.msg) this.#places.delete(placeOf(e));
    return super.delete(e);
  }
}
