import { setMaxListeners } from "node:events";

/** Is thrown where waiting was cut short because the signal's time is over. */
export class Ended extends Error {
  constructor() {
    super("the worker ends");
  }
}

/** A controller whose signal many may listen to. */
export function controller() {
  const c = new AbortController();
  setMaxListeners(0, c.signal);
  return c;
}

/**
 * Answers a signal that ends some time after its parent did.
 * @param {AbortSignal} parent
 * @param {number} ms
 */
export function outlive(parent, ms) {
  const c = controller();
  onEnd(parent, () => setTimeout(() => c.abort(), ms).unref());
  return c.signal;
}

/**
 * Calls f when the signal ends, at once if it has; answers what takes that back.
 * @param {AbortSignal} signal
 * @param {() => void} f
 */
export function onEnd(signal, f) {
  if (signal.aborted) {
    f();
    return () => {};
  }
  signal.addEventListener("abort", f, { once: true });
  return () => signal.removeEventListener("abort", f);
}

/**
 * Waits for a promise, or throws Ended with the signal.
 * @template T
 * @param {AbortSignal} signal
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export function until(signal, promise) {
  return new Promise((resolve, reject) => {
    const forget = onEnd(signal, () => reject(new Ended()));
    promise.then(resolve, reject).finally(forget);
  });
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
