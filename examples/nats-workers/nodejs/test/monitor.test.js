import assert from "node:assert/strict";
import test from "node:test";

import { ConfigError, readConfig } from "../config.js";
import { log } from "../log.js";
import { startMonitor } from "../monitor.js";
import { Worker } from "../worker.js";

log.level = "silent";

/**
 * A worker that has not begun, and a function that asks its monitor.
 * @param {test.TestContext} t
 * @param {AbortSignal} signal
 * @param {Record<string, string>} env
 */
async function monitored(t, signal, env = {}) {
  const w = new Worker(readConfig({ DATABASE_URL: "postgres://worker@localhost/app", METRICS_ADDR: ":0", ...env }));
  const server = await startMonitor(w, signal);
  assert.ok(server);
  t.after(() => server.close().closeAllConnections());
  const { address, port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  assert.equal(address, "127.0.0.1");
  const ask = async (/** @type {string} */ path, method = "GET") => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
    return [response.status, await response.text()];
  };
  return { w, ask, port };
}

test("a worker is ready while the database answers and it is not told to end", async (t) => {
  const stop = new AbortController();
  const { w, ask } = await monitored(t, stop.signal, { WORKER_SOURCES: "queue" });
  assert.deepEqual(await ask("/readyz"), [503, "the database does not answer\n"]);
  w.metrics.called("hello", 0);
  assert.deepEqual(await ask("/readyz"), [200, "ok\n"]);
  stop.abort();
  assert.deepEqual(await ask("/readyz"), [503, "stopping\n"]);
  assert.deepEqual(await ask("/healthz"), [200, "ok\n"]);
});

test("a worker of the stream needs NATS", async (t) => {
  const { w, ask } = await monitored(t, new AbortController().signal);
  w.metrics.called("hello", 0);
  assert.deepEqual(await ask("/readyz"), [503, "nats is away\n"]);
  const [status, text] = await ask("/metrics");
  assert.equal(status, 200);
  for (const line of ["postgres_up 1", "nats_up 0", "stream_up 0", "requests_in_flight 0", "events_held 0", "payload_bytes_held 0"]) {
    assert.ok(String(text).includes(`webhook_worker_${line}\n`), line);
  }
});

test("there is nothing else to ask", async (t) => {
  const { ask } = await monitored(t, new AbortController().signal);
  assert.equal((await ask("/"))[0], 404);
  assert.equal((await ask("/metrics", "POST"))[0], 405);
});

test("an address in use ends the start", async (t) => {
  const { port } = await monitored(t, new AbortController().signal);
  const w = new Worker(readConfig({ DATABASE_URL: "postgres://worker@localhost/app", METRICS_ADDR: `127.0.0.1:${port}` }));
  await assert.rejects(startMonitor(w, new AbortController().signal), (/** @type {Error} */ err) =>
    err instanceof ConfigError && err.message.startsWith("METRICS_ADDR: "));
});
