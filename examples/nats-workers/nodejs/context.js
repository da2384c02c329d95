/** Is thrown where waiting was cut short because the signal's time is over. */
export class Ended extends Error {
  constructor() {
    super("the worker ends");
  }
}

/**
 * Answers a signal that ends some time after its parent did.
 * @param {AbortSignal} parent
 * @param {number} ms
 */
export function outlive(parent, ms) {
  const c = new AbortController();
  onEnd(parent, () => setTimeout(() => c.abort(), ms).unref());
  return c.signal;
}

/** What is to be called at the end of each signal. @type {WeakMap<AbortSignal, Set<() => void>>} */
const atEnd = new WeakMap();

/**
 * Calls f when the signal ends, at once if it has; answers what takes that back.
 * A signal has one listener for all that wait for its end: to add one of a hundred
 * takes longer than most waits.
 * @param {AbortSignal} signal
 * @param {() => void} f
 */
export function onEnd(signal, f) {
  if (signal.aborted) {
    f();
    return () => {};
  }
  const all = atEnd.get(signal) ?? waiting(signal);
  all.add(f);
  return () => { all.delete(f); };
}

/** @param {AbortSignal} signal */
function waiting(signal) {
  /** @type {Set<() => void>} */
  const all = new Set();
  atEnd.set(signal, all);
  signal.addEventListener("abort", () => all.forEach((f) => f()), { once: true });
  return all;
}

/**
 * Sleeps, and answers whether it slept for all of it.
 * @param {AbortSignal} signal
 * @param {number} ms
 * @returns {Promise<boolean>}
 */
export function sleep(signal, ms) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(false);
    const timer = setTimeout(() => {
      forget();
      resolve(true);
    }, ms);
    const forget = onEnd(signal, () => {
      clearTimeout(timer);
      resolve(false);
    });
  });
}
