import { Ended, onEnd } from "./context.js";
import { afterPatience, patience } from "./siding.js";

/** What a webhook begins with, and what is left of its window when its endpoint is away. */
export const smallWindow = 8;
/**
 * How long an endpoint may use all that it gets before its events make way, in ms: each
 * is sent soon, and yet what stands behind them in the stream waits for all of them.
 */
const fullFor = 1000;
/** An answer so soon that moving the endpoint's events aside would take as long as sending them, in ms. */
export const brisk = 25;
/**
 * How long a window outlives its last event, in ms. A quick endpoint is done with all
 * of a claim before the next one, which is to bring more.
 */
export const remembered = 10_000;
/** How long after an answer, in ms, an endpoint is not one of those that answer nothing. */
const heard = 2000;

/**
 * One webhook's: behind says that events have waited for long, or the window was
 * full for long. Messages are then not waited with: the queue is where the endpoint's events wait, in their order.
 * more says that the queue may have rows of it, for which messages leave some room;
 * wanted that a claim left it out for the lack of it; aside how many of those in hand have
 * waited for as long as patience, to be sent or for the answer; answered when the endpoint
 * last kept nobody waiting in vain; full since when each answer
 * finds an event that waits and no room to grow; idle since when nothing is in
 * hand and nothing waits.
 * @typedef {{size: number, busy: number, held: number, aside: number, turns: Waiting[], comers: Waiting[], behind: boolean, more: boolean, wanted: boolean,
 *   answered: number, full: number, idle: number}} Window
 */

/**
 * One that waits, for the right to be sent or to be in hand.
 * @typedef {{go: (may: boolean) => void, recalled: () => boolean}} Waiting
 */

/**
 * Bounds for each webhook how many requests are under way (busy) and how many
 * events are in hand (held), so that one endpoint leaves room for the others
 * whatever its backlog is. In hand are at most twice as many as may be under way,
 * so that the database judges the next ones meanwhile; of an endpoint that answers
 * nothing at most its share of the siding.
 */
export class Windows {
  /** Those with an event in hand, one that waits to be, or one a while ago. @type {Map<number, Window>} */
  byID = new Map();
  /** Is called when a webhook that a claim left out has room again. */
  onRoom = () => {};

  /** @param {number} most BATCH_SIZE @param {import("./siding.js").Siding} siding */
  constructor(most, siding) {
    this.most = most;
    this.siding = siding;
    this.smallest = Math.min(smallWindow, most);
  }

  /** @param {number} id @returns {Window} */
  #of(id) {
    let w = this.byID.get(id);
    if (!w || isForgotten(w)) {
      w = { size: this.smallest, busy: 0, held: 0, aside: 0, turns: [], comers: [], behind: false, more: false, wanted: false,
        answered: -Infinity, full: Infinity, idle: Infinity };
      this.byID.set(id, w);
    }
    w.idle = Infinity;
    return w;
  }

  /** Lets through what may go on after a change. @param {number} id @param {Window} w */
  #settle(id, w) {
    for (; w.turns.length > 0 && w.busy < w.size; w.busy++) w.turns.shift()?.go(true);
    const bound = this.#bound(w);
    if (w.held <= Math.floor(bound / 4)) w.behind = false;
    if (w.aside > 0 && w.held >= bound && bound < 2 * w.size) w.behind = true;
    const most = w.more ? enough(bound) : bound;
    while (w.comers.length > 0 && (w.behind || w.held < most)) {
      if (!w.behind) w.held++;
      w.comers.shift()?.go(!w.behind);
    }
    if (w.wanted && this.#roomOf(w) > 0) {
      w.wanted = false;
      this.onRoom();
    }
    if (w.held === 0 && w.comers.length === 0) {
      w.idle = performance.now();
      if (w.size === this.smallest) this.byID.delete(id);
    }
  }

  /**
   * How many events may be in hand. Where many endpoints hang one that answers keeps
   * what it began with, and all that it has while no more than that of it take long.
   * @param {Window} w
   */
  #bound(w) {
    let share = this.siding.share;
    if (performance.now() - w.answered < heard) {
      share = Math.max(share, 2 * this.smallest);
      if (w.aside < share) return 2 * w.size;
    }
    return Math.min(2 * w.size, share);
  }

  /** How many rows a claim may bring. @param {Window} w */
  #roomOf(w) {
    const bound = this.#bound(w);
    return w.held > enough(bound) ? 0 : bound - w.held;
  }

  /**
   * Waits until a message may be in hand. It may not when its endpoint is behind.
   * @param {AbortSignal} signal
   * @param {number} id
   */
  take(signal, id) {
    const w = this.#of(id);
    return this.#wait(signal, id, w, w.comers);
  }

  /** Has an event in hand that the database gave: a row, or a message that it could not move. @param {number} id */
  add(id) {
    const w = this.#of(id);
    w.held++;
    w.more = true;
  }

  /**
   * Notes of an event in hand that it is not for its endpoint now: where all are
   * such, the endpoint bounds nothing.
   * @param {number} id
   */
  unsent(id) {
    const w = this.#of(id);
    w.answered = performance.now();
    if (w.turns.length === 0 && isShort(w)) w.size = Math.min(this.most, w.size + 1);
    this.#settle(id, w);
  }

  /**
   * Frees the slot of an event in hand when it has waited for as long as patience
   * lasts, until what it answers is called.
   * @param {number} id
   * @param {number} size
   * @param {() => void} free
   */
  shunt(id, size, free) {
    const w = this.#of(id);
    return afterPatience(() => {
      w.aside++;
      this.siding.add(size);
      this.#settle(id, w);
      free();
      return true;
    }, () => {
      w.aside--;
      this.siding.leave(size);
    });
  }

  /** Lays an event down that was in hand. @param {number} id */
  put(id) {
    const w = this.#of(id);
    w.held--;
    this.#settle(id, w);
  }

  /**
   * Waits until a request for an event in hand may be under way. It may not when the event is recalled.
   * @param {AbortSignal} signal
   * @param {number} id
   * @param {() => boolean} recalled
   */
  async enter(signal, id, recalled) {
    if (recalled()) return false;
    const w = this.#of(id);
    const turn = this.#wait(signal, id, w, w.turns, recalled);
    const own = w.turns.at(-1);
    const late = own && setTimeout(() => {
      if (!w.turns.includes(own)) return;
      w.behind = true;
      this.#settle(id, w);
    }, patience);
    try {
      return await turn;
    } finally {
      clearTimeout(late);
    }
  }

  /** Ends the wait of those of a webhook's events that are recalled by now. @param {number} id */
  recall(id) {
    const w = this.byID.get(id);
    if (!w) return;
    for (const turn of w.turns.filter((t) => t.recalled())) {
      w.turns.splice(w.turns.indexOf(turn), 1);
      turn.go(false);
    }
  }

  /**
   * Ends what enter began, with what became of the request.
   * @param {number} id
   * @param {import("./deliver.js").Outcome} o
   */
  leave(id, o) {
    const w = this.#of(id);
    w.size = resized(w.size, this.most, isShort(w), o);
    if (o.result === "answered" || o.result === "failed" && o.duration < patience) w.answered = performance.now();
    const full = w.turns.length > 0 && w.size >= this.most && o.duration >= brisk;
    w.full = full ? Math.min(w.full, performance.now()) : Infinity;
    if (performance.now() - w.full > fullFor) w.behind = true;
    w.busy--;
    this.#settle(id, w);
  }

  /**
   * Joins those who wait, at their end.
   * @param {AbortSignal} signal
   * @param {number} id
   * @param {Window} w
   * @param {Waiting[]} list
   * @param {() => boolean} [recalled]
   * @returns {Promise<boolean>}
   */
  #wait(signal, id, w, list, recalled = () => false) {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        this.#settle(id, w);
        return reject(new Ended());
      }
      let forget = () => {};
      const own = {
        go: (/** @type {boolean} */ may) => {
          forget();
          resolve(may);
        },
        recalled,
      };
      list.push(own);
      forget = onEnd(signal, () => {
        list.splice(list.indexOf(own), 1);
        this.#settle(id, w);
        reject(new Ended());
      });
      this.#settle(id, w);
    });
  }

  /**
   * Says for a claim how many rows of each webhook there is room for; "" are all
   * those that have no window.
   */
  rooms() {
    /** @type {Record<string, number>} */
    const rooms = { "": Math.min(2 * this.smallest, this.siding.share) };
    for (const [id, w] of this.byID) {
      if (isForgotten(w)) {
        this.byID.delete(id);
        continue;
      }
      rooms[id] = this.#roomOf(w);
      w.more = w.wanted = rooms[id] === 0;
    }
    return rooms;
  }
}

/** @param {Window} w */
const isForgotten = (w) => performance.now() - w.idle > remembered;

/** So much of a bound in hand that a claim for the rest would not be worth it. @param {number} bound */
const enough = (bound) => Math.max(1, Math.floor(bound * 3 / 4));

/** Whether there would be use for more. @param {Window} w */
const isShort = (w) => w.busy >= w.size || w.comers.length > 0 || w.wanted;

/**
 * A window's size after a request. It grows while it is too small for an endpoint
 * that answers, however slowly, since events that wait make way for others'; it
 * halves with each outage.
 * @param {number} size
 * @param {number} most
 * @param {boolean} short
 * @param {{result: string, status: number}} o
 */
export function resized(size, most, short, o) {
  if (o.result === "released") return size;
  if (outage(o)) return Math.max(Math.min(smallWindow, most), Math.floor(size / 2));
  return short ? Math.min(most, size + 1) : size;
}

/**
 * Tells from an answer that the endpoint was not there to give one, as the
 * database sees it: the request itself is not at fault.
 * @param {{result: string, status: number}} o
 */
function outage({ result, status }) {
  return result === "failed" || status < 200 || status > 499 || [408, 425, 429].includes(status);
}
