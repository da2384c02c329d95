-- A message reaches the stream before its transaction ends: the history row of that very (sub)transaction decides.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('fate', 'https://example.com') AS id \gset

-- Committed, whether or not the publish saw its acknowledgement: the message in the stream proves the rest.
SELECT t.publish('fate', 'committed') AS tx \gset
SELECT * FROM t.admit('w', t.message('fate', 'committed', :'tx'));
SELECT t.publish('fate', 'unknown', false, true) AS tx \gset
SELECT * FROM t.admit('w', t.message('fate', 'unknown', :'tx'));
SELECT t.publish('fate', 'failed', false) AS tx \gset
SELECT * FROM t.admit('w', t.message('fate', 'failed', :'tx'));

-- Rolled back.
BEGIN;
SELECT t.publish('fate', 'rolled back') AS tx \gset
ROLLBACK;
SELECT * FROM t.admit('w', t.message('fate', 'rolled back', :'tx'));
SELECT rule_nats_event_status(:id, 'rolled back', :'tx');

-- A savepoint that was rolled back, in a transaction that committed; its neighbours are delivered.
BEGIN;
SELECT t.publish('fate', 'before the savepoint') AS before \gset
SAVEPOINT a;
SELECT t.publish('fate', 'in the savepoint') AS in \gset
ROLLBACK TO a;
SAVEPOINT b;
SELECT t.publish('fate', 'in a released savepoint') AS released \gset
RELEASE b;
COMMIT;
SELECT * FROM t.admit('w', t.message('fate', 'before the savepoint', :'before'), t.message('fate', 'in the savepoint', :'in'),
                      t.message('fate', 'in a released savepoint', :'released'));
-- The id of the transaction alone, committed as it is, proves nothing.
SELECT * FROM t.admit('w', t.message('fate', 'in the savepoint', :'before'));
SELECT rule_nats_event_status(:id, 'in the savepoint', :'before') AS id_alone,
       rule_nats_event_status(:id, 'in a released savepoint', :'released') AS released;

-- A message id that was tried again: each copy by its own transaction.
BEGIN;
SELECT t.publish('fate', 'again') AS first \gset
ROLLBACK;
SELECT t.publish('fate', 'again') AS second \gset
SELECT * FROM t.admit('w', t.message('fate', 'again', :'first'), t.message('fate', 'again', :'second'));

-- Of another webhook, the row does not count.
SELECT rule_webhook_register('other fate', 'https://example.com') AS other \gset
SELECT t.publish('fate', 'one webhook') AS tx \gset
SELECT * FROM t.admit('w', t.message('other fate', 'one webhook', :'tx'));

-- Its own transaction still runs: wait, longer for an older message.
BEGIN;
SELECT t.publish('fate', 'open') AS tx \gset
DELETE FROM rule_nats_publish_history WHERE message_id = 'open';
SELECT age_ms, a.verdict, a.reason, a.wait_ms
FROM (VALUES (0), (10), (1000), (60000), (999999999)) v (age_ms),
     rule_worker_admit('w', jsonb_build_array(t.message('fate', 'open', :'tx') || jsonb_build_object('age_ms', age_ms))) a;
SELECT rule_nats_event_status(:id, 'open', :'tx');
ROLLBACK;

-- Ids that pg_xact_status() raises for, that are too old for it, or that are none. One of them fails no batch.
SELECT a.verdict, a.reason, m.transaction
FROM (VALUES (1, '18446744073709551615'), (2, '4611686018427387904'), (3, '0'), (4, '1'), (5, '2'), (6, '3'), (7, NULL),
             (8, ''), (9, '-1'), (10, 'abc'), (11, '18446744073709551616'), (12, '1e3'), (13, '99999999999999999999999')) m (n, transaction)
JOIN rule_worker_admit('w', (SELECT jsonb_agg(t.message('fate', 'odd ' || n, transaction) || '{"age_ms": 999999999}' ORDER BY n)
    FROM (VALUES (1, '18446744073709551615'), (2, '4611686018427387904'), (3, '0'), (4, '1'), (5, '2'), (6, '3'), (7, NULL),
                 (8, ''), (9, '-1'), (10, 'abc'), (11, '18446744073709551616'), (12, '1e3'), (13, '99999999999999999999999')) v (n, transaction))) a
    ON a.ordinal = m.n
ORDER BY m.n;

-- One of the future that was published while this server gave the ids is another server's.
SELECT pg_sleep(greatest(0, 11 - extract(epoch FROM clock_timestamp() - backend_start))) FROM pg_stat_activity WHERE backend_type = 'checkpointer';
SELECT * FROM t.admit('w', t.message('fate', 'copied', '4611686018427388904'));

-- Wherever the row lies, and however old its message is said to be: moved by maintenance, a batch of many days, a wrong clock.
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, triggered_by, transaction, slot)
SELECT :id, 'webhooks.test', 'slot ' || slot, true, 'test', '3', slot FROM generate_series(0, 9) slot;
SELECT a.verdict, count(*) FROM rule_worker_admit('w', (SELECT jsonb_agg(t.message('fate', 'slot ' || n, '3')) FROM generate_series(0, 9) n)) a GROUP BY 1;
UPDATE rule_webhook_receipts SET state = 'waiting', leased_by = NULL, lease_until = NULL WHERE message_id LIKE 'slot %';
SELECT a.verdict, count(*) FROM rule_worker_admit('w', (
    SELECT jsonb_agg(t.message('fate', 'slot ' || n, '3') || jsonb_build_object('age_ms', n * 86400000)) FROM generate_series(0, 9) n)) a GROUP BY 1;
UPDATE rule_webhook_receipts SET state = 'waiting', leased_by = NULL, lease_until = NULL WHERE message_id LIKE 'slot %';
SELECT * FROM t.admit('w', t.message('fate', 'slot 1', '3') || '{"age_ms": 999999999999999}',
                           t.message('fate', 'no slot', '3') || '{"age_ms": 999999999999999}');

-- Beyond what is kept of the history, the transaction is not asked for.
BEGIN;
UPDATE rule_engine_source SET history_kept_since = now() - interval '1 hour';
SELECT a.verdict, a.reason FROM (VALUES (3500000), (3700000)) v (age_ms),
    rule_worker_admit('w', jsonb_build_array(t.message('fate', 'age ' || age_ms, '3') || jsonb_build_object('age_ms', age_ms))) a;
SELECT rule_nats_event_status(:id, 'age', '3') AS cleaned_or_not, rule_nats_event_status(NULL, 'age', '3') AS no_webhook;
ROLLBACK;

-- What rolled back or is open never had a row that could have been cleaned away; but of what another database published
-- under an id that was adopted only the history can tell.
BEGIN;
SELECT pg_current_xact_id()::text AS gone \gset
ROLLBACK;
BEGIN;
UPDATE rule_engine_source SET history_kept_since = now() + interval '1 hour';
SELECT a.verdict, a.reason
FROM (VALUES (1, :'gone'), (2, pg_current_xact_id()::text), (3, '4611686018427388904')) v (n, transaction),
    rule_worker_admit('w', jsonb_build_array(t.message('fate', 'cleaned ' || n, transaction)
        || jsonb_build_object('age_ms', CASE n WHEN 3 THEN 999999999 ELSE 10 END))) a ORDER BY n;
SELECT rule_nats_event_status(:id, 'cleaned 1', :'gone') AS cleaned;
UPDATE rule_engine_source SET adopted_at = now() + interval '1 hour';
SELECT a.verdict, a.reason FROM rule_worker_admit('w', jsonb_build_array(t.message('fate', 'adopted', :'gone'))) a;
UPDATE rule_engine_source SET history_kept_since = now() - interval '1 hour';
SELECT a.verdict, a.reason
FROM (VALUES (1, 3500000), (2, 3700000)) v (n, age_ms), rule_worker_admit('w', jsonb_build_array(
    t.message('fate', 'adopted ' || n, :'gone') || jsonb_build_object('age_ms', age_ms))) a ORDER BY n;
SELECT rule_nats_event_status(:id, 'adopted', :'gone') AS adopted;
ROLLBACK;
-- Which is whole since the oldest publish that is left, or for as long as it is kept; where there is none, nothing is known.
BEGIN;
DELETE FROM rule_nats_publish_history;
UPDATE rule_engine_source SET history_kept_since = '-infinity';
SELECT rule_engine_source_renew('00000000-0000-4000-8000-000000000002') AS without_history;
SELECT history_kept_since > now() - interval '1 minute' AS known_from_now_on FROM rule_engine_source;
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, triggered_by, transaction, slot, published_at)
SELECT :id, 'webhooks.test', 'left ' || n, n < 3, 'test', '3', 0, now() - n * interval '1 day' FROM generate_series(1, 3) n;
UPDATE rule_engine_source SET history_kept_since = '-infinity';
SELECT rule_engine_source_renew('00000000-0000-4000-8000-000000000003') AS oldest_two_days;
SELECT now() - history_kept_since AS known_since FROM rule_engine_source;
UPDATE rule_engine_retention SET keep = interval '1 day' WHERE table_name = 'rule_nats_publish_history';
UPDATE rule_engine_source SET history_kept_since = '-infinity';
SELECT rule_engine_source_renew('00000000-0000-4000-8000-000000000004') AS kept_for_a_day;
SELECT now() - history_kept_since AS known_since FROM rule_engine_source;
ROLLBACK;

-- What was left out stands in SQL.
SELECT message_id, reason, worker, count(*) FROM rule_webhook_drops WHERE message_id !~ 'odd' GROUP BY 1, 2, 3 ORDER BY 1, 2;

-- Each look must see what has committed until then.
BEGIN ISOLATION LEVEL REPEATABLE READ;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT * FROM re.rule_worker_admit('w', '[]')$$),
    ($$SELECT * FROM re.rule_worker_claim('w', 1, '{}')$$)
) AS c (call);
\a \t
ROLLBACK;
-- What was seen as committed is on disk before anything is sent; a stronger setting stays.
BEGIN;
SET LOCAL synchronous_commit = off;
SELECT * FROM rule_worker_admit('w', '[]');
SHOW synchronous_commit;
SET LOCAL synchronous_commit = remote_apply;
SELECT count(*) FROM rule_worker_claim('w', 1, '{}');
SHOW synchronous_commit;
SET LOCAL synchronous_commit = local;
SELECT count(*) FROM rule_worker_claim('w', 1, '{}');
SHOW synchronous_commit;
ROLLBACK;
SELECT rule_webhook_delete(webhook_id) FROM rule_webhooks;
DELETE FROM rule_nats_publish_history;
DELETE FROM rule_webhook_drops;
