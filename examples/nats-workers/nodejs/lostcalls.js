import { randomInt } from "node:crypto";

// How long a call is named, in ms: longer than the lease of most of what it can have
// leased. More than once, since a server that hung may do it late.
const namedFor = 120_000;

/** A number that no other claim has, of an earlier process of the same name either. */
export const newCall = () => randomInt(1, 2 ** 47);

/**
 * Remembers the claims that were not answered. What they leased, if they came to
 * Postgres at all, is given back by a heartbeat that names them.
 */
export class LostCalls {
  /** @type {Map<number, number>} */
  #until = new Map();

  /** @param {number} call */
  add(call) {
    this.#until.set(call, performance.now() + namedFor);
  }

  all() {
    for (const [call, until] of this.#until) {
      if (until < performance.now()) this.#until.delete(call);
    }
    return [...this.#until.keys()];
  }
}
