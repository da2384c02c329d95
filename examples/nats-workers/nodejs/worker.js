import { Backlog } from "./backlog.js";
import { Batcher, lanes } from "./batch.js";
import { Busy } from "./busy.js";
import * as calls from "./calls.js";
import { ClockWatch } from "./clock.js";
import { Complaint } from "./complaint.js";
import { runNATS } from "./consumer.js";
import { Ended, onEnd, outlive } from "./context.js";
import { Database } from "./database.js";
import { outcome, Sender } from "./deliver.js";
import { Endpoints } from "./endpoints.js";
import { Holdings } from "./event.js";
import { heartbeats, keepInProgress, lastHeartbeat, Stats } from "./heartbeat.js";
import { Link } from "./link.js";
import { Load } from "./load.js";
import { log } from "./log.js";
import { maintain } from "./maintain.js";
import { Metrics } from "./metrics.js";
import { runQueue } from "./queue.js";
import { refused } from "./refusal.js";
import { Siding } from "./siding.js";
import { Slots } from "./slots.js";
import { joined } from "./text.js";
import { Windows } from "./window.js";

// How long things may go on after SIGTERM, in ms. A try that is not done by then is
// given back.
const askFor = 3000;
const sendFor = 20_000;
const tellFor = 25_000;

/** @param {{payload?: string}} question */
const sizeOf = (question) => question.payload?.length ?? 0;

/**
 * The database decides, the worker carries; the words are those of doc.go beside
 * the Go worker. Signals end a process in order: nothing new is taken ("taking"),
 * what is being sent may go on for a while ("sending"), and a little longer what
 * became of it is written down ("telling").
 */
export class Worker {
  stats = new Stats();
  metrics = new Metrics();
  load = new Load();
  busy = new Busy();
  link = new Link();
  held = new Holdings();
  backlog = new Backlog(); // of the stream
  /**
   * Of this process among those that take from the stream: each reads all, and carries
   * its part. Absent when the database gave none.
   * @type {{index: number, of: number} | undefined}
   */
  place;
  crowded = false; // its group holds many messages
  halted = 0; // or so many that it gets no others: the last one of them, else 0
  missed = -Infinity; // when the stream was last missing
  nats = new Complaint();
  strangers = new Complaint();
  namesakes = new Complaint();
  upkeep = new Complaint();
  clock = new ClockWatch();
  claims = new Complaint();
  lease = 0;
  heartbeatMS = 0;
  pollMS = 0;

  #stop = new AbortController();
  taking = this.#stop.signal;
  asking = outlive(this.taking, askFor);
  sending = outlive(this.taking, sendFor);
  telling = outlive(this.taking, tellFor);

  /** @param {import("./config.js").Config} cfg */
  constructor(cfg) {
    this.cfg = cfg;
    const db = this.db = new Database(cfg, this.metrics);
    this.sender = new Sender(cfg.batch, cfg.allow, cfg.proxy);
    // Twice as many as are sent at once, so that Postgres judges the next ones meanwhile, in
    // batches worth their flush to disk.
    this.slots = { stream: new Slots(2 * cfg.batch), ahead: new Slots(2 * cfg.batch), queue: new Slots(cfg.batch) };
    this.siding = new Siding(cfg.batch);
    this.windows = new Windows(cfg.batch, this.siding);
    this.endpoints = new Endpoints(db, this.held, this.windows);
    this.tellers = new Slots(2 * cfg.batch); // bounds the events that are sent and not settled
    /** @param {number} lanes */
    const admitting = (lanes) => new Batcher(this.telling, lanes, calls.mostAdmitted, sizeOf,
      (signal, /** @type {import("./carry.js").Told[]} */ some) => calls.admit(db, signal, some));
    this.admits = admitting(lanes);
    this.early = admitting(lanes); // for what must not wait for a backlog to be judged
    this.overflow = admitting(1); // what makes way for others does so in the database as well
    this.reports = new Batcher(this.telling, lanes, 2 * cfg.batch, sizeOf,
      (signal, /** @type {import("./report.js").Attempt[]} */ some) => calls.report(db, signal, some));
  }

  /**
   * Works until the signal ends, or until something proves that it never can.
   * @param {AbortSignal} signal
   */
  async run(signal) {
    onEnd(signal, () => this.#stop.abort());
    try {
      await this.#begin();
    } catch (err) {
      if (err instanceof Ended) return;
      throw err;
    }
    const quiet = new AbortController();
    const beating = heartbeats(this, quiet.signal);
    void keepInProgress(this, quiet.signal);
    void maintain(this, this.taking);

    const sources = [];
    if (this.cfg.nats) sources.push(this.#source(runNATS));
    if (this.cfg.doQueue) sources.push(this.#source(runQueue));
    const ended = await Promise.all(sources);
    log.info({ held: this.held.size }, "stopping");
    await this.busy.wait();
    quiet.abort();
    await beating;
    await lastHeartbeat(this);
    await this.link.close();
    await this.db.close();
    const failed = ended.find(Boolean);
    if (failed) throw failed;
  }

  /**
   * Runs one source of events; the end of one is the end of all.
   * @param {(w: Worker) => Promise<void>} source
   * @returns {Promise<unknown>}
   */
  async #source(source) {
    try {
      await source(this);
    } catch (err) {
      return err;
    } finally {
      this.#stop.abort();
    }
    return undefined;
  }

  /** @param {import("./calls.js").Places} [places] */
  takePlace(places = {}) {
    const [index, of] = places[this.cfg.stream] ?? [0, 0];
    this.place = index < of ? { index, of } : undefined;
  }

  /** Waits for the database and introduces this process to it. */
  async #begin() {
    const hello = (/** @type {boolean} */ once) => calls.hello(this.db, this.taking, [], { once });
    const hi = await hello(true).catch((err) => {
      const refusal = refused(err, this.cfg);
      if (refusal) throw refusal;
      return hello(false);
    });
    this.lease = hi.lease;
    this.heartbeatMS = hi.heartbeatMS;
    this.pollMS = hi.pollMS;
    await this.endpoints.refresh(this.taking);
    void this.endpoints.run(this.telling, hi.endpointsMS);
    const { consumer, doStream, doQueue, batch, proxy } = this.cfg;
    log.info({ consumer, source_id: hi.source, stream: doStream, queue: doQueue, in_flight: batch,
      proxy: proxy && joined(proxy.host, proxy.port) }, "started");
  }

  /**
   * Makes one try, or gives the event back untried: to an endpoint that is gone or
   * shut, after SIGTERM, or when its lease does not hold for as long as a try may
   * take. An event that takes long frees its slot.
   * @param {import("./event.js").Event} e
   * @param {() => void} free
   */
  async send(e, free) {
    const released = outcome("released");
    const end = this.windows.shunt(e.webhookID, e.body.length, free);
    try {
      const came = performance.now();
      if (!await this.windows.enter(this.taking, e.webhookID, () => this.endpoints.recalls(e))) return released;
      let o = released;
      try {
        o = await this.#try(e, came) ?? released;
      } finally {
        this.windows.leave(e.webhookID, o);
      }
      return o;
    } catch {
      return released; // the process ends, or the endpoints cannot be read
    } finally {
      end();
    }
  }

  /**
   * @param {import("./event.js").Event} e
   * @param {number} came
   */
  async #try(e, came) {
    const leave = await this.sender.enter(this.taking);
    try {
      this.metrics.turn.observe((performance.now() - came) / 1000);
      // Not before it has waited, which can take as long as the requests before it.
      const ep = await this.endpoints.get(this.asking, e.webhookID);
      if (!ep || this.endpoints.recalls(e) || this.taking.aborted || e.left() < this.enough(ep.timeout)) return undefined;
      const o = await this.sender.try(this.sending, ep, e);
      if (o.result !== "released") {
        this.stats.sent(o.duration);
        this.metrics.tried(o);
      }
      return o;
    } finally {
      leave();
    }
  }

  /**
   * How much of a lease a try needs. A try that may take longer than a lease lives
   * on renewals, as long as most of a lease is there at its start.
   * @param {number} timeout
   */
  enough(timeout) {
    return Math.min(timeout, this.lease * 3 / 4);
  }
}
