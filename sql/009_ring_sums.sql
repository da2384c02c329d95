-- Roll-up and what is not rolled up yet, in one shape. Views use pg_catalog's functions alone: a function of ours would ask
-- whoever reads the view for the right to call it.

CREATE OR REPLACE VIEW @extschema@._rule_publish_rows AS
SELECT h.publish_id, h.slot, h.webhook_id, h.subject,
       pg_catalog.date_bin('1 hour', h.published_at, '1970-01-01 00:00:00+00') AS hour,
       h.success, h.duplicate, h.published_at, h.expires_at, h.latency_ms,
       CASE WHEN h.latency_ms > 0.001
            THEN pg_catalog.ceil(pg_catalog.ln(least(h.latency_ms, 1000000000000)::double precision)
                                 / pg_catalog.ln(1.1::double precision))::smallint
            WHEN h.latency_ms IS NOT NULL THEN (-32768)::smallint END AS bucket
FROM @extschema@.rule_nats_publish_history h;
COMMENT ON VIEW @extschema@._rule_publish_rows IS
    'Internal: publishes with what a roll-up goes by.';

-- All bounds but the mark bound nothing. They are for the planner: it expects next to nothing of two ranges whose ends it does
-- not know, as it should, where above an unknown mark alone it expects a third of all rows and reads them in their order.
CREATE OR REPLACE VIEW @extschema@._rule_publish_sums AS
SELECT t.webhook_id, t.subject, t.hour, t.success, t.publishes, t.duplicates, t.latencies, t.latency_sum_ms, t.latency_min_ms,
       t.latency_max_ms, t.first_published_at, t.last_published_at, t.buckets, t.bucket_counts
FROM @extschema@.rule_nats_publish_hours t
UNION ALL
SELECT r.webhook_id, r.subject, r.hour, r.success, pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE r.duplicate),
       pg_catalog.count(r.latency_ms), pg_catalog.sum(r.latency_ms), pg_catalog.min(r.latency_ms), pg_catalog.max(r.latency_ms),
       pg_catalog.min(r.published_at), pg_catalog.max(r.published_at), ARRAY[r.bucket], ARRAY[pg_catalog.count(*)]
FROM @extschema@._rule_publish_rows r
WHERE r.publish_id > (SELECT u.rolled_up_to FROM @extschema@.rule_engine_upkeep u WHERE u.table_name = 'rule_nats_publish_history')
  AND r.publish_id <= 9223372036854775807 AND r.slot >= (SELECT 0) AND r.slot <= 9
GROUP BY r.webhook_id, r.subject, r.hour, r.success, r.bucket;
COMMENT ON VIEW @extschema@._rule_publish_sums IS
    'Internal: the publish history, rolled up, and what is not by the bucket.';

CREATE OR REPLACE VIEW @extschema@._rule_attempt_rows AS
SELECT a.attempt_id, a.slot, a.webhook_id, a.outcome, a.started_at, a.duration_ms,
       CASE WHEN a.duration_ms > 0.001
            THEN pg_catalog.ceil(pg_catalog.ln(least(a.duration_ms::double precision, 1000000000000))
                                 / pg_catalog.ln(1.1::double precision))::smallint
            WHEN a.duration_ms IS NOT NULL THEN (-32768)::smallint END AS bucket
FROM @extschema@.rule_webhook_attempts a;
COMMENT ON VIEW @extschema@._rule_attempt_rows IS
    'Internal: attempts with what a roll-up goes by.';

CREATE OR REPLACE VIEW @extschema@._rule_attempt_sums AS
SELECT t.webhook_id, t.attempts, t.delivered, t.durations, t.duration_sum_ms, t.duration_min_ms, t.duration_max_ms,
       t.last_started_at, t.buckets, t.bucket_counts
FROM @extschema@.rule_webhook_attempt_days t
UNION ALL
SELECT r.webhook_id, pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE r.outcome = 'delivered'), pg_catalog.count(r.duration_ms),
       pg_catalog.sum(r.duration_ms::double precision), pg_catalog.min(r.duration_ms), pg_catalog.max(r.duration_ms),
       pg_catalog.max(r.started_at), ARRAY[r.bucket], ARRAY[pg_catalog.count(*)]
FROM @extschema@._rule_attempt_rows r
WHERE r.attempt_id > (SELECT u.rolled_up_to FROM @extschema@.rule_engine_upkeep u WHERE u.table_name = 'rule_webhook_attempts')
  AND r.attempt_id <= 9223372036854775807 AND r.slot >= (SELECT 0) AND r.slot <= 9
GROUP BY r.webhook_id, r.bucket;
COMMENT ON VIEW @extschema@._rule_attempt_sums IS
    'Internal: the attempts, rolled up, and what is not by the bucket.';
