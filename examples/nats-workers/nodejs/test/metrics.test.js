import assert from "node:assert/strict";
import test from "node:test";

import pg from "pg";

import { outcome } from "../deliver.js";
import { Metrics } from "../metrics.js";

test("the database is there while it answers, and a refusal is an answer", (t) => {
  const m = new Metrics();
  assert.ok(!m.postgresUp);
  m.called("hello", 0);
  assert.ok(m.postgresUp);
  const refusal = new pg.DatabaseError("wrong", 0, "error");
  refusal.code = "22023";
  m.called("report", 0, refusal);
  assert.ok(m.postgresUp);
  m.failed = m.answered + 1;
  assert.ok(!m.postgresUp);

  m.called("claim", 0);
  m.failed = -Infinity;
  t.mock.method(performance, "now", () => m.answered + 4999);
  assert.ok(m.postgresUp);
  t.mock.method(performance, "now", () => m.answered + 5001);
  assert.ok(!m.postgresUp, "it is silent");
});

test("labels are of a fixed set", async () => {
  const m = new Metrics();
  for (const status of [101, 200, 302, 404, 503, 799]) m.tried({ ...outcome("answered"), status });
  m.tried(outcome("failed"));
  for (const verdict of ["done", "not ours", "hunter2", "hunter3"]) m.judged("stream", verdict);
  m.called("claim", 0, new Error("connection refused"));
  const text = await m.registry.metrics();
  assert.doesNotMatch(text, /hunter/);
  for (const line of [
    ...["1xx", "2xx", "3xx", "4xx", "5xx", "other", "failed"].map((o) => `requests_total{outcome="${o}"} 1`),
    "request_duration_seconds_count 7",
    'verdicts_total{path="stream",verdict="done"} 1',
    'verdicts_total{path="stream",verdict="not_ours"} 1',
    'verdicts_total{path="stream",verdict="other"} 2',
    'database_call_failures_total{call="claim"} 1',
  ]) {
    assert.ok(text.includes(`webhook_worker_${line}\n`), line);
  }
});
