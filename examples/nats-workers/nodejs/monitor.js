import { once } from "node:events";
import http from "node:http";

import { wrong } from "./config.js";
import { log } from "./log.js";
import { joined, said } from "./text.js";

/**
 * @typedef {import("./worker.js").Worker} Worker
 * @typedef {{status: number, body: string, type?: string}} Page
 */

/**
 * Answers on METRICS_ADDR whether the process lives (/healthz), whether it can do
 * its work (/readyz) and what it has counted (/metrics). It listens from now on;
 * where METRICS_ADDR is not set there is no server.
 * @param {Worker} w
 * @param {AbortSignal} signal ends when the process is told to
 */
export async function startMonitor(w, signal) {
  if (!w.cfg.metrics) return undefined;
  const { host, port } = w.cfg.metrics;
  const server = http.createServer({ headersTimeout: 5000, requestTimeout: 10_000 }, (request, response) => {
    page(w, signal, request).then(({ status, body, type = "text/plain; charset=utf-8" }) => {
      response.writeHead(status, { "Content-Type": type }).end(body);
    }, () => response.writeHead(500).end());
  });
  try {
    await once(server.listen(port, host), "listening");
  } catch (err) {
    throw wrong("METRICS_ADDR", `is ${joined(host, port)}, where nobody can listen: ${said(err)}`);
  }
  w.metrics.watch(w);
  const at = /** @type {import("node:net").AddressInfo} */ (server.address());
  log.info({ addr: joined(at.address, at.port) }, "monitoring");
  return server;
}

/** @param {Worker} w @param {AbortSignal} signal @param {http.IncomingMessage} request @returns {Promise<Page>} */
async function page(w, signal, { method = "", url = "" }) {
  const path = url.split("?")[0];
  if (!["/healthz", "/readyz", "/metrics"].includes(path)) return { status: 404, body: "not found\n" };
  if (!["GET", "HEAD"].includes(method)) return { status: 405, body: "method not allowed\n" };
  if (path === "/metrics") {
    return { status: 200, body: await w.metrics.registry.metrics(), type: w.metrics.registry.contentType };
  }
  const lacks = path === "/readyz" ? missing(w, signal) : [];
  if (lacks.length > 0) return { status: 503, body: lacks.join("\n") + "\n" };
  return { status: 200, body: "ok\n" };
}

/**
 * What keeps the worker from its work. A worker of the queue alone goes on without NATS.
 * @param {Worker} w
 * @param {AbortSignal} signal
 */
function missing(w, signal) {
  const all = [];
  if (signal.aborted) all.push("stopping");
  if (!w.metrics.postgresUp) all.push("the database does not answer");
  if (w.cfg.doStream) {
    if (!w.link.connected) all.push("nats is away");
    else if (!w.link.there) all.push(`the stream ${w.cfg.stream} is out of reach`);
  }
  return all;
}
