import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { AuthorizationError, connect, PermissionViolationError, UserAuthenticationExpiredError } from "@nats-io/transport-node";

import { Acks } from "./acks.js";
import { Backoff } from "./backoff.js";
import { wrong } from "./config.js";
import { Ended } from "./context.js";
import { log } from "./log.js";
import { said, unknownAuthority } from "./text.js";

/**
 * @typedef {import("@nats-io/transport-node").NatsConnection} NatsConnection
 * @typedef {import("./worker.js").Worker} Worker
 */

/** This process's connection to NATS and what is known over it. */
export class Link {
  /** @type {NatsConnection | undefined} */
  nc;
  /** @type {Acks | undefined} */
  acks;
  /** @type {import("@nats-io/jetstream").JetStreamClient | undefined} */
  #js;
  /** @type {import("@nats-io/jetstream").JetStreamManager | undefined} */
  #jsm;
  #connected = false;
  /** The database was told that the stream is in reach. */
  met = false;
  /** The stream was there when last looked for. */
  there = false;
  /** The subject of the queue's latest publish, which says by itself that it is denied. */
  publishesTo = "";
  /** When the stream was made, as NATS says it. Not known after a reconnect. @type {string | undefined} */
  made;
  /** It is being asked for. @type {Promise<void> | undefined} */
  looking;
  #pausedUntil = 0;
  clock = 0; // how far the server's clock is ahead of ours, ms

  get js() {
    if (!this.#js) throw new Error("not connected to nats yet");
    return this.#js;
  }

  get jsm() {
    if (!this.#jsm) throw new Error("not connected to nats yet");
    return this.#jsm;
  }

  /** The client keeps what is sent meanwhile for later, when nobody expects it any more. */
  get connected() {
    return this.#connected && this.nc !== undefined && !this.nc.isClosed();
  }

  /** Tells whether a publish to the stream has a chance now. */
  get reaches() {
    return this.connected && this.there && performance.now() >= this.#pausedUntil;
  }

  /** Keeps publishing away from a stream that just failed to take something. @param {number} ms */
  pause(ms) {
    this.#pausedUntil = performance.now() + ms;
  }

  /** The time on the server's clock, by which messages are stamped. */
  now() {
    return Date.now() + this.clock;
  }

  /** @param {string | undefined} server @param {number} asked @param {number} answered */
  setClock(server, asked, answered) {
    const at = Date.parse(server ?? "");
    if (at > 0) this.clock = at - (asked + answered) / 2; // a server that is too old does not say
  }

  async close() {
    if (!this.nc || this.nc.isClosed()) return;
    // Acks are answered by now; naks have no answer, so wait until they have left.
    if (this.connected) await Promise.race([this.nc.flush().catch(() => {}), new Promise((r) => setTimeout(r, 1000))]);
    await this.nc.close();
  }

  /**
   * Waits for a server. Only a refusal of the very first connection is an error;
   * later ones may come from credentials that are just being renewed.
   * @param {Worker} w
   * @param {AbortSignal} signal
   */
  async connect(w, signal) {
    const backoff = new Backoff();
    while (!signal.aborted) {
      try {
        const nc = await connect({
          ...w.cfg.nats,
          name: "webhook-worker " + w.cfg.consumer,
          timeout: 2000,
          maxReconnectAttempts: -1,
          reconnectTimeWait: 250,
          reconnectJitter: 100,
          reconnectJitterTLS: 500,
          pingInterval: 10_000,
          ignoreAuthErrorAbort: true,
          noAsyncTraces: true,
        });
        this.#js = jetstream(nc);
        this.#jsm = await jetstreamManager(nc, { checkAPI: false });
        this.acks = new Acks(nc);
        this.nc = nc;
        this.#connected = true;
        void this.#watch(w, nc);
        log.info({ server: nc.getServer() }, "nats is there");
        return;
      } catch (err) {
        const refusal = refused(err);
        if (refusal) throw refusal;
        w.nats.say("waiting for nats", said(err));
        await backoff.wait(signal);
      }
    }
    throw new Ended();
  }

  /** @param {Error} err */
  #heard(err) {
    return err instanceof PermissionViolationError && err.operation === "publish" && err.subject === this.publishesTo;
  }

  /** @param {Worker} w @param {NatsConnection} nc */
  async #watch(w, nc) {
    for await (const status of nc.status()) {
      if (status.type === "disconnect") {
        this.#connected = false;
        this.made = undefined;
        if (!w.taking.aborted) log.warn({ server: status.server }, "nats is away");
      } else if (status.type === "reconnect") {
        this.#connected = true;
        log.info({ server: status.server }, "nats is there");
      } else if (status.type === "error" && !this.#heard(status.error)) {
        w.nats.say("nats", said(status.error));
      }
    }
  }
}

/**
 * The configuration error that a failed connection proves, if any.
 * @param {unknown} err
 * @returns {import("./config.js").ConfigError | undefined}
 */
function refused(err) {
  for (let e = err; e instanceof Error; e = e.cause) {
    if (e instanceof AuthorizationError || e instanceof UserAuthenticationExpiredError) {
      return wrong("NATS_URL", `the server refuses the connection: ${said(e)}; see NATS_USER, NATS_TOKEN, NATS_CREDS, NATS_NKEY_SEED_FILE`);
    }
    // The library has no other error for it than these words.
    if (e.message === "server does not support 'tls'") {
      return wrong("NATS_URL", "the server has no TLS, which tls://, NATS_CA and NATS_CERT ask for");
    }
    if (unknownAuthority(e)) {
      return wrong("NATS_CA", `the server's certificate is signed by nobody we know: ${said(e)}`);
    }
  }
  return undefined;
}
