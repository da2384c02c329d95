import pg from "pg";

import { Backoff } from "./backoff.js";
import { lanes } from "./batch.js";
import { cancel } from "./cancel.js";
import { Ended, onEnd } from "./context.js";
import { LostCalls } from "./lostcalls.js";
import { Namesake } from "./namesake.js";
import { Outage } from "./outage.js";

// Bounds one call. A Postgres that is frozen looks alive until then.
const callTimeout = 15_000;

/** The errors of connections that could not be made. */
export const unconnected = new WeakSet();

/**
 * @typedef {import("./config.js").Config} Config
 * @typedef {(schema: string, query: (text: string, values: unknown[]) => Promise<any[]>) => Promise<any>} Call
 */

/**
 * Makes the calls of the extension's worker functions. While Postgres is away
 * each call waits and tries again until its signal ends, so that callers see
 * either an answer or a refusal of what they asked. What they ask: calls.js.
 */
export class Database {
  /** Quoted; "" before it is looked up. */
  #schema = "";
  #outage = new Outage();
  /** Those that are under way. @type {Set<Promise<void>>} */
  #cancels = new Set();
  /** Whether claim may be told what there is room for: hello says so. */
  claimRoom = false;
  lost = new LostCalls();
  namesake = new Namesake();

  /** @param {Config} cfg @param {import("./metrics.js").Metrics} metrics */
  constructor(cfg, metrics) {
    this.metrics = metrics;
    this.consumer = cfg.consumer;
    this.group = cfg.group;
    /** @type {pg.ClientConfig} */
    this.config = {
      connectionTimeoutMillis: 5000,
      keepAlive: true,
      ...cfg.database,
      application_name: cfg.database.application_name || "webhook-worker " + cfg.consumer,
    };
    // The lanes of admit for either way to read the stream, and of report; one each for what makes way, claim,
    // endpoints, heartbeat and maintenance, and one for hello, by which a session with NATS begins.
    this.pool = new pg.Pool({ ...this.config, max: 3 * lanes + 6 });
    // A connection that breaks says so to who uses it; an error event that nobody
    // hears would end the process.
    this.pool.on("error", () => {});
    this.pool.on("connect", (client) => client.on("error", () => {}));
  }

  /**
   * Runs one call until it is answered. once ends it after the first failure: at
   * the start that tells a wrong configuration from an outage.
   * @param {AbortSignal} signal
   * @param {string} name
   * @param {Call} f
   * @param {{once?: boolean}} [options]
   */
  async call(signal, name, f, { once = false } = {}) {
    const backoff = new Backoff();
    for (;;) {
      try {
        const answer = await this.tryCall(signal, name, callTimeout, f);
        this.#outage.answered(name);
        return answer;
      } catch (err) {
        if (signal.aborted) throw new Ended();
        if (once || atFault(err)) throw err;
        this.#outage.failed(name, err);
        if (!await backoff.wait(signal)) throw new Ended();
      }
    }
  }

  /**
   * Runs one call on a connection of the pool. One that takes too long costs the
   * connection, on which its answer may come still.
   * @param {AbortSignal} signal
   * @param {string} name
   * @param {number} ms
   * @param {Call} f
   */
  async tryCall(signal, name, ms, f) {
    const start = performance.now();
    try {
      const answer = await this.#tryCall(signal, ms, f);
      if (!signal.aborted) this.metrics.called(name, start);
      return answer;
    } catch (err) {
      if (!signal.aborted) this.metrics.called(name, start, err);
      throw err;
    }
  }

  /** @param {AbortSignal} signal @param {number} ms @param {Call} f */
  async #tryCall(signal, ms, f) {
    if (signal.aborted) throw new Ended();
    const connecting = this.pool.connect().catch((err) => {
      unconnected.add(err);
      throw err;
    });
    /** @type {pg.PoolClient | undefined} */
    let client;
    /** @type {Error | undefined} */
    let cut;
    /** @type {(err: Error) => void} */
    let reject = () => {};
    const broken = /** @type {Promise<never>} */ (new Promise((_, no) => { reject = no; }));
    const end = (/** @type {Error} */ err) => {
      cut = err;
      if (client) this.#cancel(client);
      reject(err);
    };
    const timer = setTimeout(() => end(new Error(`no answer within ${ms / 1000} s`)), ms);
    const forget = onEnd(signal, () => end(new Ended()));
    broken.catch(() => {});
    try {
      const it = client = await Promise.race([connecting, broken]);
      const query = async (/** @type {string} */ text, /** @type {unknown[]} */ values) =>
        (await it.query(text, values)).rows;
      const asked = this.schema(query).then((schema) => f(schema, query));
      asked.catch((err) => {
        // Dropped and made again in another schema, perhaps.
        if (err.code === "42883" || err.code === "3F000") this.#schema = "";
      });
      return await Promise.race([asked, broken]);
    } catch (err) {
      // Of an error that is not the server's answer the connection is not sure to have recovered.
      if (!(err instanceof pg.DatabaseError)) cut ??= /** @type {Error} */ (err);
      throw err;
    } finally {
      clearTimeout(timer);
      forget();
      if (client) client.release(cut ?? false);
      else connecting.then((late) => late.release(), () => {});
    }
  }

  /**
   * Says where the extension lies; its functions are never found through the search path.
   * @param {(text: string, values: unknown[]) => Promise<any[]>} query
   */
  async schema(query) {
    if (this.#schema) return this.#schema;
    const rows = await query(`SELECT n.nspname FROM pg_catalog.pg_extension e
      JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
      WHERE e.extname OPERATOR(pg_catalog.=) 'rule_engine'`, []);
    if (rows.length === 0) {
      throw new Error("the extension rule_engine is not in this database; CREATE EXTENSION rule_engine makes it");
    }
    this.#schema = pg.escapeIdentifier(rows[0].nspname);
    return this.#schema;
  }

  /** @param {pg.PoolClient} client */
  #cancel(client) {
    const cancelled = cancel(client).finally(() => this.#cancels.delete(cancelled));
    this.#cancels.add(cancelled);
  }

  /** Ends what was cut short by the end of the worker. */
  async close() {
    await Promise.all(this.#cancels);
  }
}

/**
 * Tells whether the error is about the values of this very call, so that the
 * same call will fail again. All else is for waiting: an outage, a failover, an
 * extension that is just being updated.
 * @param {unknown} err
 */
export function atFault(err) {
  // 54: more than Postgres takes at once
  return err instanceof pg.DatabaseError && ["21", "22", "23", "54", "P0"].includes((err.code ?? "").slice(0, 2));
}
