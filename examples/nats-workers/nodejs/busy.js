/** The events that are being carried; each holds a slot, so there are never many. */
export class Busy {
  #running = new Set();

  /** @param {() => Promise<void>} f */
  go(f) {
    const running = f().finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async wait() {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
