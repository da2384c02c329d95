import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

import { atFault } from "./database.js";
import { version } from "./version.js";

const prefix = "webhook_worker_";
// How long Postgres may go without an answer, in ms: the endpoints are asked for
// each second.
const silence = 5000;

const verdicts = ["done", "drop", "queued", "dead", "again", "wait", "lost"];
const classes = ["1xx", "1xx", "2xx", "3xx", "4xx", "5xx"];

/**
 * What the process counts for Prometheus, under the names of the Go worker. No
 * label has a value from outside (a webhook, a URL, a consumer): each is of a
 * fixed set.
 */
export class Metrics {
  registry = new Registry();
  // When Postgres last answered and last failed to, on the monotonic clock.
  answered = -Infinity;
  failed = -Infinity;

  taken = this.#counter("events_taken_total", "Events taken, from the stream or the queue.", "path");
  requests = this.#counter("requests_total",
    "Tries: by the class of the answer's status, or failed where there was none.", "outcome");
  verdicts = this.#counter("verdicts_total", "What the database decided about events.", "path", "verdict");
  published = this.#counter("republished_total", "Events of the queue that were to go to NATS again.", "result");
  duration = this.#histogram("request_duration_seconds",
    "Length of a try, from the look-up of the name to the end of the answer.",
    [.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30]);
  turn = this.#histogram("request_wait_seconds",
    "How long an event waited for the right to be sent: for its webhook's window, and for one of BATCH_SIZE places.", [.001, .01, .1, 1, 10]);
  calls = this.#histogram("database_call_duration_seconds", "Calls of the worker functions in Postgres, failed ones too.",
    [.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15], "call");
  failures = this.#counter("database_call_failures_total", "Calls of the worker functions in Postgres that failed.", "call");

  /** @param {string} name @param {string} help @param {string[]} labelNames */
  #counter(name, help, ...labelNames) {
    return new Counter({ name: prefix + name, help, labelNames, registers: [this.registry] });
  }

  /** @param {string} name @param {string} help @param {number[]} buckets @param {string[]} labelNames */
  #histogram(name, help, buckets, ...labelNames) {
    return new Histogram({ name: prefix + name, help, buckets, labelNames, registers: [this.registry] });
  }

  /** Adds what is read when somebody asks. @param {import("./worker.js").Worker} w */
  watch(w) {
    const gauge = (/** @type {string} */ name, /** @type {string} */ help, /** @type {() => number | boolean} */ read) =>
      new Gauge({ name: prefix + name, help, registers: [this.registry], collect() { this.set(Number(read())); } });
    gauge("requests_in_flight", "Requests on the wire.", () => w.sender.inFlight);
    gauge("events_held", "Events that are taken and not settled.", () => w.held.size);
    gauge("payload_bytes_held", "Bytes of their payloads.", () => w.load.bytes);
    gauge("postgres_up", "1 while the database answers.", () => this.postgresUp);
    if (w.cfg.nats) {
      gauge("nats_up", "1 while there is a connection to NATS.", () => w.link.connected);
      gauge("stream_up", "1 while the stream, and for a worker of the stream its consumer, is in reach.",
        () => w.link.connected && w.link.there);
    }
    const build = { name: prefix + "build_info", help: "1, with the worker's version.", labelNames: ["version"] };
    new Gauge({ ...build, registers: [this.registry] }).set({ version }, 1);
    collectDefaultMetrics({ register: this.registry });
  }

  /**
   * Notes one call of a worker function. Being refused is an answer, too.
   * @param {string} call
   * @param {number} start
   * @param {unknown} [err]
   */
  called(call, start, err) {
    const now = performance.now();
    this.calls.observe({ call }, (now - start) / 1000);
    if (err !== undefined) this.failures.inc({ call });
    if (err === undefined || atFault(err)) this.answered = now;
    else this.failed = now;
  }

  get postgresUp() {
    return this.answered >= this.failed && performance.now() - this.answered < silence;
  }

  /** Notes what became of a request. @param {import("./deliver.js").Outcome} o */
  tried(o) {
    const outcome = o.result === "answered" ? classes[Math.floor(o.status / 100)] ?? "other" : "failed";
    this.requests.inc({ outcome });
    this.duration.observe(o.duration / 1000);
  }

  /** Notes a verdict; one that this worker does not know is 'other'. @param {string} path @param {string} word */
  judged(path, word) {
    const verdict = verdicts.includes(word) ? word : word === "not ours" ? "not_ours" : "other";
    this.verdicts.inc({ path, verdict });
  }
}
