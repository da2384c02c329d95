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
SELECT r.webhook_id, r.subject, r.hour, r.success, 1, r.duplicate::integer, (r.latency_ms IS NOT NULL)::integer, r.latency_ms,
       r.latency_ms, r.latency_ms, r.published_at, r.published_at, ARRAY[r.bucket], ARRAY[1::bigint]
FROM @extschema@._rule_publish_rows r
WHERE r.publish_id BETWEEN (SELECT u.rolled_up_to + 1 FROM @extschema@.rule_engine_upkeep u
                            WHERE u.table_name = 'rule_nats_publish_history') AND 9223372036854775807
  AND r.slot BETWEEN (SELECT 0) AND 9;
COMMENT ON VIEW @extschema@._rule_publish_sums IS
    'Internal: the publish history, counted where it is rolled up, row by row where not.';

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
SELECT r.webhook_id, 1, (r.outcome = 'delivered')::integer, (r.duration_ms IS NOT NULL)::integer, r.duration_ms, r.duration_ms,
       r.duration_ms, r.started_at, ARRAY[r.bucket], ARRAY[1::bigint]
FROM @extschema@._rule_attempt_rows r
WHERE r.attempt_id BETWEEN (SELECT u.rolled_up_to + 1 FROM @extschema@.rule_engine_upkeep u
                            WHERE u.table_name = 'rule_webhook_attempts') AND 9223372036854775807
  AND r.slot BETWEEN (SELECT 0) AND 9;
COMMENT ON VIEW @extschema@._rule_attempt_sums IS
    'Internal: the attempts, counted where they are rolled up, row by row where not.';
