import { mostLoad } from "./load.js";

/** How long an event may wait for its endpoint before it makes way for others', in ms. */
export const patience = 250;

/**
 * So many that endpoints which hang have some requests each under way. It is no less
 * than what a few slow ones use that are sent all that they may be.
 */
export const mostAside = 2048;

/**
 * Where events are that take long, beside those that have slots. What waits for the
 * database finds room there or keeps its slot. What waits for its endpoint always
 * goes there: of such, windows take in no more than its share is.
 */
export class Siding {
  taken = 0;

  /** @param {number} batch BATCH_SIZE */
  constructor(batch) {
    this.most = Math.max(mostAside, 8 * batch);
  }

  /**
   * How many places an event takes: with large ones all places together are half of mostLoad.
   * @param {number} size
   */
  places(size) {
    return 1 + Math.floor(size * this.most / (mostLoad / 2));
  }

  /** Moves an event aside, where there is room. @param {number} size */
  enter(size) {
    if (this.taken + this.places(size) > this.most) return false;
    this.add(size);
    return true;
  }

  /** @param {number} size */
  add(size) {
    this.taken += this.places(size);
  }

  /** @param {number} size */
  leave(size) {
    this.taken -= this.places(size);
  }

  /**
   * How many events of one endpoint may be in hand while it answers nothing: the fewer
   * the more there are aside. Each of a few gets many, and however many there are, each gets one.
   */
  get share() {
    return Math.max(1, Math.floor((this.most - this.taken) / 2));
  }

  /**
   * Frees an event's slot when it has waited for as long as patience lasts and there
   * is room, until what it answers is called.
   * @param {number} size
   * @param {() => void} free
   */
  shunt(size, free) {
    return afterPatience(() => {
      const aside = this.enter(size);
      if (aside) free();
      return aside;
    }, () => this.leave(size));
  }
}

/**
 * Calls begin when patience is over, unless what it answers was called before, which
 * calls back at the end of what has begun.
 * @param {() => boolean} begin
 * @param {() => void} back
 */
export function afterPatience(begin, back) {
  let begun = false;
  const late = setTimeout(() => { begun = begin(); }, patience);
  return () => {
    clearTimeout(late);
    if (begun) back();
  };
}
