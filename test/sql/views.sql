SET search_path = re;
\pset null -
SELECT rule_webhook_register('seen', 'https://user:pw@Example.com:8443/T000/secret?key=1#f') AS id \gset
SELECT rule_webhook_register('quiet', 'HTTP://example.org') AS quiet \gset
-- Also before the first publish there is a row for each webhook that may.
SELECT rule_webhook_enable_nats(:id, 'webhooks.seen');
SELECT webhook_name, subject, publish_mode, total_published, successful, failed, success_rate_pct, avg_latency_ms, last_published_at FROM nats_publish_summary;
INSERT INTO rule_nats_publish_history (webhook_id, subject, payload, message_id, success, error_message, latency_ms, published_at)
VALUES (:id, 'webhooks.seen', '{"n": 1}', '1', true, NULL, 1, now()), (:id, 'webhooks.seen', '{"n": 2}', '2', true, NULL, 3, now()),
       (:id, 'webhooks.seen', '{"n": 3}', '3', true, NULL, 8, now()), (:id, 'webhooks.seen', '{"n": 4}', '4', false, 'no responders', 2, now()),
       (:id, 'webhooks.seen', NULL, '5', false, 'stream is full', 2, now() - interval '1 minute'),
       (:id, 'webhooks.seen', NULL, '6', false, 'long ago', 2, now() - interval '2 days');
SELECT webhook_name, subject, publish_mode, total_published, successful, failed, success_rate_pct, avg_latency_ms, min_latency_ms, max_latency_ms,
       last_published_at = (SELECT max(published_at) FROM rule_nats_publish_history WHERE message_id = '1') AS last
FROM nats_publish_summary;
SELECT webhook_name, subject, message_count, avg_latency_ms, min_latency_ms, max_latency_ms, abs(p50_latency_ms / 3 - 1) < 0.05 AS p50,
       abs(p95_latency_ms / 7.5 - 1) < 0.05 AS p95, abs(p99_latency_ms / 7.9 - 1) < 0.05 AS p99
FROM nats_performance_stats;
SELECT webhook_name, subject, error_message, payload, latency_ms FROM nats_recent_failures;

-- Events by what became of them; of those that only the stream has, the ones that failed. A URL shows scheme and host.
SELECT webhook_name, url, enabled, total_calls, successful_calls, failed_calls, pending_calls, retrying_calls, avg_execution_time_ms, last_call_at, success_rate_pct
FROM webhook_status_summary ORDER BY webhook_id;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, retry_count, leased_by, lease_until) VALUES
    (:id, 'q1', '{}', 'success', 1, NULL, NULL), (:id, 'q2', '{}', 'failed', 3, NULL, NULL), (:id, 'q3', '{}', 'pending', 0, NULL, NULL),
    (:id, 'q4', '{}', 'pending', 2, NULL, NULL), (:id, 'q5', '{}', 'processing', 0, 'w', now()), (:id, 'q6', '{}', 'processing', 1, 'w', now());
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, retry_count, leased_by, lease_until) VALUES
    (:id, 'r1', 'done', 0, NULL, NULL), (:id, 'r2', 'waiting', 1, NULL, NULL), (:id, 'r3', 'leased', 0, 'w', now()),
    -- The receipt of a row that is there counts once.
    (:id, 'q4', 'leased', 2, 'w', now());
INSERT INTO rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, duration_ms, outcome) VALUES
    (:id, 'q1', 1, 'queue', 'w', now(), 10, 'again'), (:id, 'q1', 2, 'queue', 'w', now(), 20.5, 'delivered'),
    (:id, 'r1', 1, 'stream', 'w', now(), 15.25, 'delivered');
SELECT webhook_name, total_calls, successful_calls, failed_calls, pending_calls, retrying_calls, avg_execution_time_ms, last_call_at IS NOT NULL AS called, success_rate_pct
FROM webhook_status_summary WHERE webhook_id = :id;
SELECT webhook_name, total_calls, success_rate FROM rule_webhook_list() ORDER BY webhook_id;

-- A deleted webhook's history is seen no more.
SELECT rule_webhook_delete(:id), rule_webhook_delete(:quiet);
SELECT (SELECT count(*) FROM nats_publish_summary) AS summary, (SELECT count(*) FROM nats_performance_stats) AS stats,
       (SELECT count(*) FROM nats_recent_failures) AS failures;
DELETE FROM rule_nats_publish_history;
DELETE FROM rule_webhook_attempts;
