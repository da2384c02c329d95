import { carry, open } from "./carry.js";
import { findStream } from "./consumer.js";
import { Ended, sleep } from "./context.js";
import { Early } from "./early.js";
import { matchesAny } from "./subject.js";
import { said } from "./text.js";

/**
 * @typedef {import("./worker.js").Worker} Worker
 * @typedef {import("@nats-io/jetstream").StoredMsg} StoredMsg
 * @typedef {import("@nats-io/jetstream").MsgRequest} MsgRequest
 */

const aheadEvery = 10;
// For a reader that has not reached the stream's end.
const catchUpEvery = 2;
// Bounds what is asked for at a time, and so what reading ahead costs the server.
const mostAhead = 64;
// Bounds the messages that wait to be read once more, and how many there may be for one
// of another process's part to come in.
const mostLater = 4096;
const mostOfOthers = 2048;
// Behind the stream's end by outrun, in ms, and by more than mostBehind messages, it is
// no use to read: what was stored meanwhile is left to the consumer.
const outrun = 1000;
const mostBehind = 5000;
// With how many of the last messages reading begins: some were stored while the backlog
// was not yet seen.
const lookBack = 4096;
// How long, in ms, a process leaves another one's part to it before it looks what has
// become of that: a process that lives need not get as far, be able to read or be of a
// version that does.
const standIn = 2000;
// For a server that does not let itself be read, and between two backlogs.
const aheadPause = 10_000;

/**
 * Reads past a backlog what a few webhooks' messages would hold up until each of
 * them is sent or moved. What was read so is carried as if the consumer had delivered
 * it. The consumer does deliver it when its turn comes, and the database knows then
 * what became of it; so all that goes wrong here is made good by the consumer.
 * @param {Worker} w
 * @param {AbortSignal} signal
 */
export async function readAhead(w, signal) {
  let r = new Reading(w);
  while (await sleep(signal, aheadEvery)) {
    if (!w.place || !heldUp(w)) continue;
    if (performance.now() - r.ended > aheadPause) r = new Reading(w);
    try {
      await passBacklog(w, signal, r).finally(() => { r.ended = performance.now(); });
    } catch (err) {
      if (signal.aborted || err instanceof Ended) return;
      w.nats.say("cannot read past a backlog", said(err), { stream: w.cfg.stream });
      await sleep(signal, aheadPause);
    }
  }
}

/** @param {Worker} w */
const heldUp = (w) => w.halted > 0 || w.backlog.holdsUp();

/**
 * Reads the last of what is stored and what comes from now on, while there is a
 * backlog, or what is behind a consumer that has halted.
 * @param {Worker} w
 * @param {AbortSignal} signal
 * @param {Reading} r
 */
async function passBacklog(w, signal, r) {
  let n = 1;
  while (heldUp(w)) {
    if (r.next === 0 || w.halted === 0 && w.link.now() - Math.max(r.last, r.looked) > outrun) {
      const { state } = await findStream(w);
      const end = state.last_seq + 1;
      if (r.next === 0 || end > r.next + mostBehind) await r.begin(end);
      r.looked = w.link.now();
    }
    if (w.halted > 0 && !r.halted) r.begun = r.next = w.halted + 1;
    r.halted = w.halted > 0;
    const room = await w.load.room(signal, w.link.nc?.info?.max_payload ?? 0);
    const { messages, more } = await r.read(Math.min(n, room));
    w.backlog.reads(r.begun, r.next);
    for (const { read, again } of messages) await carryEarly(w, signal, r, read, again);
    if (more) {
      n = Math.min(2 * n, mostAhead);
    } else {
      n = 1;
      r.last = w.link.now();
    }
    if (!await sleep(signal, more ? catchUpEvery : aheadEvery)) throw new Ended();
  }
}

/**
 * Sets a message on its way that is for this process and not of the backlog itself.
 * Where it was to be read again it is this process's, whoever's it was.
 * @param {Worker} w
 * @param {AbortSignal} signal
 * @param {Reading} r
 * @param {StoredMsg} read
 * @param {boolean} again
 */
async function carryEarly(w, signal, r, read, again) {
  const opened = open(w, new Early(w.cfg.stream, read, (sequence, ms) => r.again(sequence, ms), w.link.made));
  if (!w.place || w.halted === 0 && w.backlog.leaves(opened.e.webhookID, read.seq)) return;
  const { index, of } = w.place;
  const turn = (read.seq % of + of - index) % of; // how many come before this process with it
  if (turn > 0 && !again) {
    if (turn === 1) r.again(read.seq, standIn, mostOfOthers);
    return;
  }
  await w.slots.ahead.enter(signal);
  w.busy.go(() => carry(w, opened, w.slots.ahead));
}

/** How far a stream was read. */
class Reading {
  begun = 0; // all was read from here on
  next = 0; // nothing was read from here on
  last = -Infinity; // when the newest that was read was stored, on the server's clock
  looked = -Infinity; // when the stream's end was looked up, on that clock
  halted = false; // it follows a consumer that has halted
  ended = -Infinity; // when there was no backlog any more; soon after that it goes on where it was
  /** To be read once more. @type {{sequence: number, at: number, again: boolean}[]} */
  #later = [];

  /** @param {Worker} w */
  constructor(w) {
    this.jsm = w.link.jsm;
    this.stream = w.cfg.stream;
    this.group = w.cfg.group;
    this.subject = w.cfg.subject;
  }

  /**
   * Goes to the last messages before the stream's end that the consumer has still to
   * deliver. One that it has delivered may be done with for so long that the database
   * has forgotten it, and would be sent again.
   * @param {number} end
   */
  async begin(end) {
    const { delivered } = await this.jsm.consumers.info(this.stream, this.group);
    this.begun = this.next = Math.min(end, Math.max(this.next, delivered.stream_seq + 1, end - lookBack));
  }

  /**
   * Has a message read once more after a while, where there is room.
   * @param {number} sequence @param {number} ms @param {number} [most]
   */
  again(sequence, ms, most) {
    this.#look({ sequence, at: performance.now() + ms, again: true }, most);
  }

  /** @param {{sequence: number, at: number, again: boolean}} d */
  #look(d, most = mostLater) {
    if (this.#later.length < most) this.#later.push(d);
  }

  /** Takes out those whose time has come. */
  #due() {
    const now = performance.now();
    const due = this.#later.filter((d) => d.at <= now).slice(0, mostAhead);
    if (due.length > 0) this.#later = this.#later.filter((d) => !due.includes(d));
    return due;
  }

  /**
   * Answers up to n new messages and those that were to be read again, and whether
   * there may be more new ones.
   * @param {number} n
   */
  async read(n) {
    const expected = this.next + n;
    const get = (/** @type {MsgRequest & {next_by_subj?: string}} */ query) => this.jsm.streams.getMessage(this.stream, query);
    const due = this.#due();
    const found = await Promise.all([
      // The one that passes a gap, however large.
      get({ seq: this.next, next_by_subj: this.subject }),
      ...Array.from({ length: n - 1 }, (_, i) => get({ seq: this.next + 1 + i })),
      ...due.map((d) => get({ seq: d.sequence })),
    ]);
    this.#pass(found.slice(0, n));
    /** @type {{read: StoredMsg, again: boolean}[]} */
    const messages = [];
    found.forEach((read, i) => {
      const twice = i > 0 && i < n && read?.seq === found[0]?.seq;
      if (read && !twice && matchesAny(this.subject, [read.subject])) {
        messages.push({ read, again: i >= n && due[i - n].again });
      }
    });
    return { messages, more: this.next >= expected };
  }

  /**
   * Moves on behind the last of the new messages. One that was not there while another
   * behind it was may have been stored in that moment, and is read again.
   * @param {(StoredMsg | null)[]} found
   */
  #pass(found) {
    const from = this.next;
    for (const read of found) {
      if (read && read.seq >= this.next) {
        this.next = read.seq + 1;
        this.last = read.time.getTime();
      }
    }
    found.forEach((read, i) => {
      if (!read && from + i < this.next && from + i > (found[0]?.seq ?? 0)) {
        this.#look({ sequence: from + i, at: 0, again: false });
      }
    });
  }
}
