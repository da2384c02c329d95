import pg from "pg";

import { cancel } from "./cancel.js";
import { Complaint } from "./complaint.js";
import { onEnd, sleep } from "./context.js";
import { said } from "./text.js";

// Bounds one step on the listener's connection, in ms: claims wait for it.
const listenTimeout = 2000;
// How long a listener that could not connect leaves it at polling.
const listenAgain = 10_000;
// How many notifications in a row may lead to nothing before the listener merely
// polls for once: events of a held webhook, or other workers that are quicker, and
// each notification makes commits wait for each other.
const mostVain = 3;
// The first wait for a commit that is under way and notifies nobody.
const soonest = 4;

/**
 * Says when to look for rows again. While there are none, its session says that
 * it is idle, and a commit that queues an event then notifies it. It polls as
 * well: not every row comes with such a commit, and a notification is lost with
 * its connection.
 */
export class Listener {
  /** Listens; undefined: nobody wakes us. @type {pg.Client | undefined} */
  #client;
  #trouble = new Complaint();
  #idle = false; // the session says so
  #notified = false;
  #room = false; // a claim may bring more, as one that was notified
  #vain = 0; // notifications in a row that led to nothing
  #wait = soonest; // for the commit under way
  /** Ends a sleep early. */
  #stirred = () => {};

  /**
   * @param {AbortSignal} signal
   * @param {import("./database.js").Database} db
   * @param {number} poll
   */
  constructor(signal, db, poll) {
    this.signal = signal;
    this.db = db;
    this.poll = poll;
    void this.#connect(0);
  }

  /** Returns when it is time for another claim, after one that found so many rows. @param {number} found */
  async next(found) {
    if (found > 0) {
      this.#vain = 0;
      this.#wait = soonest;
      await this.#stir();
    } else if (this.#idle) {
      await this.#sleep(this.poll);
      if (this.#notified) {
        this.#vain++;
        await this.#stir();
      } else {
        this.#vain = 0;
      }
    } else if (!this.#client || this.#vain >= mostVain) {
      this.#vain = 0;
      await this.#sleep(this.poll); // a connection ends it, too
    } else {
      await this.#becomeIdle(this.#client);
    }
  }

  /** @param {pg.Client} client */
  async #becomeIdle(client) {
    try {
      const idle = await this.#say(client, true);
      if (this.#client !== client) return; // it ended together with the answer
      if (idle) {
        // The next claim sees all that was committed without a notification, and all
        // that was notified until now.
        this.#idle = true;
        this.#notified = false;
        this.#wait = soonest;
        return;
      }
    } catch (err) {
      this.#lose(client, err);
      return;
    }
    await sleep(this.signal, this.#wait);
    this.#wait = Math.min(2 * this.#wait, this.poll);
  }

  /** Waits until something stirs it. @param {number} ms @returns {Promise<void>} */
  #sleep(ms) {
    return new Promise((resolve) => {
      if (this.signal.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        forget();
        this.#stirred = () => {};
        resolve();
      };
      const timer = setTimeout(done, this.#room || this.#idle && this.#notified ? 0 : ms);
      this.#room = false;
      this.#stirred = done;
      const forget = onEnd(this.signal, () => this.#stirred());
    });
  }

  /** Ends a sleep early, or the next one. */
  hurry() {
    this.#room = true;
    this.#stirred();
  }

  /** Makes commits stop notifying. */
  async #stir() {
    const client = this.#client;
    if (!this.#idle || !client) return;
    this.#idle = false;
    await this.#say(client, false).catch((err) => this.#lose(client, err));
  }

  /**
   * Answers the channel to listen on, or nothing where idle cannot be said now.
   * @param {pg.Client} client
   * @param {boolean} idle
   * @returns {Promise<string>}
   */
  async #say(client, idle) {
    const query = async (/** @type {string} */ text, /** @type {unknown[]} */ values) =>
      (await ask(client, text, values)).rows;
    const schema = await this.db.schema(query);
    const [row] = await query(`SELECT ${schema}.rule_worker_idle($1, $2) AS channel`, [this.db.consumer, idle]);
    return row.channel ?? "";
  }

  /** Gives the connection up; the session's end ends what it said. @param {pg.Client} client @param {unknown} err */
  #lose(client, err) {
    if (this.#client !== client) return;
    if (!this.signal.aborted) this.#complain(err);
    void this.close();
    void this.#connect(1000);
  }

  /** @param {unknown} err */
  #complain(err) {
    this.#trouble.say("nobody wakes this worker, it polls", said(err), { poll_ms: this.poll });
  }

  async close() {
    const client = this.#client;
    this.#client = undefined;
    this.#idle = false;
    this.#stirred();
    if (client) await bounded(client.end(), 1000).catch(() => {});
  }

  /** Puts a connection that listens in place, as soon as there is one. @param {number} pause */
  async #connect(pause) {
    while (await sleep(this.signal, pause)) {
      try {
        const client = await this.#open();
        if (this.signal.aborted) return void client.end().catch(() => {});
        this.#client = client;
        this.#stirred();
        return;
      } catch (err) {
        if (!this.signal.aborted) this.#complain(err);
        pause = listenAgain;
      }
    }
  }

  async #open() {
    const client = new pg.Client({ ...this.db.config, connectionTimeoutMillis: listenTimeout });
    client.on("error", (err) => this.#lose(client, err));
    client.on("end", () => this.#lose(client, new Error("the connection ended")));
    client.on("notification", () => {
      this.#notified = true;
      if (this.#idle) this.#stirred();
    });
    try {
      await client.connect();
      await this.#listen(client);
      return client;
    } catch (err) {
      void client.end().catch(() => {});
      throw err;
    }
  }

  /**
   * Makes the session one that can be woken. A pooler gives sessions from hand to
   * hand: what one said and listens to would stay with somebody else.
   * @param {pg.Client} client
   */
  async #listen(client) {
    const { rows } = await ask(client, "SELECT pg_catalog.pg_backend_pid() AS pid");
    if (rows[0].pid !== /** @type {any} */ (client).processID) {
      throw new Error("there is a pooler between this worker and Postgres");
    }
    const channel = await this.#say(client, false);
    await ask(client, "LISTEN " + pg.escapeIdentifier(channel));
    // A worker whose machine is gone must not look idle for long.
    await ask(client, "SET tcp_user_timeout = '30s'");
  }
}

/** @param {pg.Client} client @param {string} text @param {unknown[]} [values] */
const ask = (client, text, values) => bounded(client.query(text, values), listenTimeout, () => void cancel(client));

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {number} ms
 * @param {() => void} [late]
 * @returns {Promise<T>}
 */
function bounded(promise, ms, late = () => {}) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      late();
      reject(new Error(`no answer within ${ms / 1000} s`));
    }, ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
