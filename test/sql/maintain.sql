-- What grows is cleaned: by retention, by hand, a day of the ring at a time.
SET search_path = re;
CALL t.begin_on_one_day();
-- Other tests have deleted history.
UPDATE rule_engine_source SET history_kept_since = '-infinity';
\pset null -
SELECT * FROM rule_engine_retention ORDER BY table_name;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$UPDATE re.rule_engine_retention SET keep = '1 second'$$),
    ($$UPDATE re.rule_engine_retention SET keep = NULL$$),
    ($$UPDATE re.rule_engine_retention SET keep = '1001 years', keep_failed = NULL$$),
    ($$UPDATE re.rule_engine_retention SET keep_failed = '1001 years'$$),
    ($$SELECT re.rule_nats_cleanup_old_history('1001 years')$$),
    ($$UPDATE re.rule_engine_retention SET keep_failed = '1 hour'$$),
    ($$UPDATE re.rule_engine_retention SET table_name = 'rule_webhooks' WHERE table_name = 'rule_webhook_drops'$$),
    ($$UPDATE re.rule_engine_retention SET table_name = 'rule_webhook_queue' WHERE table_name = 'rule_webhook_drops'$$),
    ($$INSERT INTO re.rule_engine_retention VALUES ('other', '1 day')$$),
    ($$DELETE FROM re.rule_engine_retention$$),
    ($$SELECT re.rule_engine_maintain(0)$$),
    ($$SELECT re.rule_engine_maintain(NULL)$$),
    ($$SELECT re.rule_nats_cleanup_old_history('-1 day')$$),
    ($$SELECT re.rule_nats_cleanup_old_history(NULL)$$),
    ($$SELECT re.rule_webhook_cleanup_old_calls('-1 second')$$)
) AS c (call);
\a \t
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT t.error('SELECT re.rule_engine_maintain()');
ROLLBACK;

SELECT rule_webhook_register('kept', 'https://example.com') AS id \gset
SELECT rule_webhook_register('deleted', 'https://example.com') AS gone \gset
CREATE FUNCTION t.slot(p_age integer) RETURNS smallint LANGUAGE sql AS
$$ SELECT ((extract(epoch FROM clock_timestamp())::bigint / 86400 - p_age) % 10)::smallint $$;
CREATE FUNCTION t.history(p_webhook integer, p_message_id text, p_age integer, p_success boolean DEFAULT true, p_expires interval DEFAULT '7 days')
RETURNS void LANGUAGE sql AS
$$ INSERT INTO re.rule_nats_publish_history (webhook_id, subject, payload, message_id, success, published_at, expires_at, slot, transaction, headers)
   SELECT p_webhook, 's', '{"n": 1}', p_message_id, p_success, now() - make_interval(days => p_age), now() - make_interval(days => p_age) + p_expires,
          t.slot(p_age), '77', '{"h": "1"}' $$;

-- Nothing to do.
SELECT rule_engine_maintain() - 'rolled_up' = '{"success": true, "expired": 0, "clock": {"rows_mended": 0, "more": false},
    "rule_webhook_queue": {"rows_removed": 0, "more": false}, "rule_webhook_receipts": {"rows_removed": 0, "more": false},
    "rule_webhook_drops": {"rows_removed": 0, "more": false},
    "rule_webhook_attempts": {"slots_emptied": 0, "slots_in_use": 0, "rows_removed": 0, "rows_kept_longer": 0, "more": false},
    "rule_nats_publish_history": {"slots_emptied": 0, "slots_in_use": 0, "rows_removed": 0, "rows_kept_longer": 0, "more": false}}' AS nothing;
SELECT history_kept_since FROM rule_engine_source;

-- A lap of the ring: the oldest days are emptied, what is to stay moves to today.
SELECT t.history(:id, 'today', 0), t.history(:id, 'three days', 3), t.history(:id, 'eight days', 8), t.history(:id, 'nine days', 9),
       t.history(:id, 'failed', 9, false), t.history(:id, 'expires later', 9, true, '30 days'), t.history(:id, 'never expires', 8, true, NULL),
       t.history(:id, 'failed long ago', 39, false), t.history(:gone, 'of a deleted one', 9, false);
SELECT rule_webhook_delete(:gone);
SELECT jsonb_pretty(rule_engine_maintain() -> 'rule_nats_publish_history');
SELECT message_id, slot = t.slot(0) AS in_todays_slot, transaction, headers, published_at < now() - interval '7 days' AS as_old_as_before
FROM rule_nats_publish_history ORDER BY publish_id;
-- Older messages are not asked for, younger ones are.
SELECT round(extract(epoch FROM now() - history_kept_since) / 86400) AS days_ago FROM rule_engine_source;
SELECT rule_engine_maintain() -> 'rule_nats_publish_history' ->> 'rows_removed' AS again;

-- Workers hear of a deletion for an hour.
SELECT count(*) FROM rule_webhook_deletions WHERE webhook_id = :gone;
UPDATE rule_webhook_deletions SET deleted_at = deleted_at - interval '1 hour' WHERE webhook_id = :gone;
SELECT rule_engine_maintain() -> 'success' AS success;
SELECT count(*) FROM rule_webhook_deletions WHERE webhook_id = :gone;

-- A worker's name need not come again.
SELECT count(rule_nats_consumer_update_stats('WEBHOOKS', n, 0, 0, 0)) FROM unnest(ARRAY['of late', 'long ago']) n;
UPDATE rule_nats_consumer_stats SET last_active_at = now() - CASE consumer_name WHEN 'of late' THEN interval '29 days' ELSE '31 days' END;
SELECT rule_engine_maintain() -> 'success' AS success;
DELETE FROM rule_nats_consumer_stats RETURNING consumer_name;

-- Nobody maintained for a lap: old rows lie in a day that is written to.
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, published_at, expires_at)
SELECT :id, 's', 'stray ' || g, true, now() - interval '10 days', now() - interval '3 days' FROM generate_series(1, 5) g;
SELECT r -> 'rule_nats_publish_history' ->> 'rows_removed' AS removed, r -> 'rule_nats_publish_history' ->> 'more' AS more FROM rule_engine_maintain(3) r;
SELECT r -> 'rule_nats_publish_history' ->> 'rows_removed' AS removed, r -> 'rule_nats_publish_history' ->> 'more' AS more FROM rule_engine_maintain(3) r;

-- A longer retention than the ring has days.
UPDATE rule_engine_retention SET keep = '20 days' WHERE table_name = 'rule_nats_publish_history';
SELECT t.history(:id, 'kept by setting', 9), t.history(:id, 'not even so', 29);
SELECT rule_engine_maintain() -> 'rule_nats_publish_history' AS report;
SELECT message_id FROM rule_nats_publish_history WHERE message_id IN ('kept by setting', 'not even so');
UPDATE rule_engine_retention SET keep = '7 days' WHERE table_name = 'rule_nats_publish_history';

-- Attempts, queue, receipts and drops.
INSERT INTO rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, outcome, slot)
SELECT :id, m, 1, 'queue', 'w', now() - make_interval(days => a), o, t.slot(a)
FROM (VALUES ('new', 1, 'delivered'), ('old', 9, 'delivered'), ('old failure', 9, 'again'), ('older failure', 38, 'dead')) AS v (m, a, o);
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, created_at, completed_at)
SELECT :id, s || ' ' || d, '{}', s, now() - make_interval(days => d), CASE WHEN s IN ('success', 'failed') THEN now() - make_interval(days => d) END
FROM unnest('{pending,success,failed}'::text[]) s, unnest('{1,40}'::integer[]) d;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, leased_by, lease_until, created_at) VALUES (:id, 'processing 40', '{}', 'processing', 'w', now(), now() - interval '40 days');
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, taken_at, done_at)
VALUES (:id, 'done', 'done', now(), now()), (:id, 'long done', 'done', now(), now() - interval '40 days'), (:id, 'long waiting', 'waiting', now() - interval '40 days', NULL);
INSERT INTO rule_webhook_drops (webhook_id, message_id, reason, worker, dropped_at) VALUES (:id, 'drop', 'rolled back', 'w', now()), (:id, 'long ago', 'rolled back', 'w', now() - interval '40 days');
SELECT jsonb_pretty(rule_engine_maintain() - 'rule_nats_publish_history' - 'rolled_up');
SELECT 'attempt' AS what, message_id FROM rule_webhook_attempts WHERE webhook_id = :id UNION ALL SELECT 'queue', message_id FROM rule_webhook_queue
UNION ALL SELECT 'receipt', message_id FROM rule_webhook_receipts UNION ALL SELECT 'drop', message_id FROM rule_webhook_drops ORDER BY 1, 2;

-- By hand.
SELECT rule_webhook_cleanup_old_calls(), rule_webhook_cleanup_old_calls(p_keep_failed => false), rule_webhook_cleanup_old_calls('0', false);
SELECT message_id FROM rule_webhook_queue ORDER BY 1;
DELETE FROM rule_nats_publish_history;
UPDATE rule_engine_source SET history_kept_since = '-infinity';
SELECT t.history(:id, 'new', 0), t.history(:id, 'old', 2), t.history(:id, 'failed', 3, false), t.history(:id, 'expired', 4, true, '1 day'),
       t.history(:id, 'failed and expired', 5, false, '1 day'), t.history(:id, 'never', 1, true, NULL);
SELECT rule_nats_cleanup_old_history() AS none, (SELECT history_kept_since FROM rule_engine_source);
SELECT rule_nats_cleanup_expired();
SELECT round(extract(epoch FROM now() - history_kept_since) / 86400) AS days_ago FROM rule_engine_source;
-- What was published before the mark is delivered, though its history is gone; what has no history since then rolled back.
SELECT verdict, reason FROM t.admit('w', t.message('kept', 'expired', '77') || '{"age_ms": 345600000}', t.message('kept', 'no history', '77') || '{"age_ms": 86400000}');
SELECT rule_nats_cleanup_old_history('36 hours') AS with_failures_kept, rule_nats_cleanup_old_history('36 hours', false) AS all_of_them;
SELECT round(extract(epoch FROM now() - history_kept_since) / 86400) AS days_ago FROM rule_engine_source;
SELECT message_id FROM rule_nats_publish_history ORDER BY publish_id;
-- The mark never lies in the future, and never goes back.
SELECT rule_nats_cleanup_old_history('0');
SELECT (history_kept_since <= clock_timestamp() AND history_kept_since > now() - interval '1 minute') AS now FROM rule_engine_source;

-- Nor is what lost its history to a person's DELETE or TRUNCATE taken for what rolled back.
UPDATE rule_engine_source SET history_kept_since = '-infinity';
SELECT t.publish('kept', 'deleted by hand') AS deleted \gset
DELETE FROM rule_nats_publish_history WHERE message_id = 'deleted by hand';
SELECT (history_kept_since <= clock_timestamp() AND history_kept_since > now() - interval '1 minute') AS now FROM rule_engine_source;
SELECT verdict FROM t.admit('w', t.message('kept', 'deleted by hand', :'deleted') || '{"age_ms": 60000}');
UPDATE rule_engine_source SET history_kept_since = '-infinity';
SELECT t.publish('kept', 'truncated') AS truncated \gset
TRUNCATE rule_nats_publish_history;
SELECT verdict FROM t.admit('w', t.message('kept', 'truncated', :'truncated') || '{"age_ms": 60000}');
-- Who deletes nothing, or attempts alone, moves no mark.
UPDATE rule_engine_source SET history_kept_since = '-infinity';
DELETE FROM rule_nats_publish_history;
TRUNCATE rule_webhook_attempts;
SELECT history_kept_since FROM rule_engine_source;
DELETE FROM rule_webhook_receipts WHERE webhook_id = :id;

-- How delivery goes.
DELETE FROM rule_webhook_attempts WHERE webhook_id = :id;
INSERT INTO rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, outcome, duration_ms) SELECT :id, 'm', 1, 'queue', 'w', now(), 'delivered', g FROM generate_series(1, 100) g;
SELECT webhook_name, total_calls, avg_time_ms, min_time_ms, max_time_ms, abs(p50_time_ms / 50.5 - 1) < 0.05 AS p50, abs(p95_time_ms / 95.05 - 1) < 0.05 AS p95,
       abs(p99_time_ms / 99.01 - 1) < 0.05 AS p99
FROM webhook_performance_stats;
DELETE FROM rule_webhook_attempts WHERE webhook_id = :id;
SELECT webhook_name, total_calls, avg_time_ms, p99_time_ms FROM webhook_performance_stats;
UPDATE rule_webhooks SET webhook_url = 'HTTPS://user:pw@Example.com:8443/T000?key=1';
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, retry_count, error_message, response_status, created_at, completed_at) VALUES
    (:id, 'dead', '{"n": 1}', 'failed', 3, 'HTTP 500', 500, now() - interval '3 days', now()), (:id, 'again', '{"n": 2}', 'pending', 1, 'no answer', NULL, now() - interval '1 minute', NULL),
    (:id, 'long dead', '{}', 'failed', 3, 'HTTP 500', 500, now() - interval '3 days', now() - interval '2 days'), (:id, 'in the end', '{}', 'success', 2, NULL, 200, now(), now());
SELECT call_id IN (SELECT queue_id FROM rule_webhook_queue) AS a_queue_id, webhook_name, url, status, retry_count, error_message, response_status, payload, completed_at IS NOT NULL AS completed
FROM webhook_recent_failures;

-- A restored row replaces the extension's own, an edited one stays.
SELECT t.error($$INSERT INTO re.rule_engine_retention VALUES ('rule_webhook_drops', '3 days')$$);
SELECT t.error($$INSERT INTO re.rule_engine_retention VALUES ('rule_nats_publish_history', '3 days')$$);
SELECT table_name, keep, pristine FROM rule_engine_retention WHERE NOT pristine ORDER BY table_name;
UPDATE rule_engine_retention SET keep = '30 days' WHERE table_name = 'rule_webhook_drops';

-- A queue row of a webhook with NATS is the receipt of a copy that a stream may hold: it stays as long as receipts do.
DELETE FROM rule_webhook_queue;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, status, completed_at)
VALUES (:id, 'both ways', '{}', 'stream', 'success', now() - interval '29 days'), (:id, 'long ago', '{}', 'stream', 'success', now() - interval '31 days');
UPDATE rule_webhooks SET nats_enabled = true, nats_subject = 'webhooks.maintained' WHERE webhook_id = :id;
SELECT rule_webhook_cleanup_old_calls('0') AS removed;
SELECT message_id FROM rule_webhook_queue;
UPDATE rule_webhooks SET nats_enabled = false WHERE webhook_id = :id;
SELECT rule_webhook_cleanup_old_calls('0') AS removed;

-- A publisher or a worker whose transaction was open when a webhook was deleted leaves rows behind.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) VALUES (:gone, 'left behind', '{}'), (:id, 'waits', '{}'), (2147483647, 'restored before its webhook', '{}');
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state) VALUES (:gone, 'left behind', 'waiting'), (:id, 'waits', 'waiting');
SELECT r -> 'rule_webhook_queue' AS queue, r -> 'rule_webhook_receipts' AS receipts FROM rule_engine_maintain() r;
SELECT message_id FROM rule_webhook_queue ORDER BY 1;
SELECT message_id FROM rule_webhook_receipts;
DELETE FROM rule_webhook_queue;

SELECT rule_webhook_delete(:id);
DELETE FROM rule_webhook_drops;
UPDATE rule_engine_source SET history_kept_since = '-infinity';
DROP FUNCTION t.slot, t.history;
