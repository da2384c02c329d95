-- A batch in which most is plain and some is not: each member gets its own verdict, at its own place.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('batches', 'https://example.com') AS id \gset
SELECT rule_webhook_register('idle hand', 'https://example.com') AS disabled \gset
SELECT rule_webhook_update(:disabled, p_enabled => false);

-- Published, by a transaction that committed; and one message id by two transactions, of which one rolled back.
BEGIN;
SELECT pg_current_xact_id() AS committed \gset
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, transaction)
SELECT :id, 'webhooks.batches', m, true, pg_current_xact_id() FROM unnest('{one,two,three,again,used again}'::text[]) m;
COMMIT;
BEGIN;
SELECT pg_current_xact_id() AS rolled_back \gset
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, transaction)
VALUES (:id, 'webhooks.batches', 'again', true, pg_current_xact_id());
ROLLBACK;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route) VALUES (:id, 'in the queue', '{}', 'stream');

SELECT ordinal, verdict, left(reason, 30) AS reason, try FROM t.admit('w1',
    t.message('batches', 'one', :'committed'), t.message('batches', 'again', :'rolled_back'), t.message('batches', 'two', :'committed'),
    t.message('batches', 'in the queue'), t.message('idle hand', 'kept'), t.message('batches', 'two', :'committed'),
    t.message('batches', 'no transaction'), t.message('batches', E'no\tname'), t.message('batches', 'again', :'committed'),
    t.message('batches', 'one'), t.message('batches', 'three', :'committed') || '{"source_id": "00000000-0000-0000-0000-000000000001"}',
    t.message('batches', 'strange') || '{"webhook_id": 99.5e7}', t.message('batches', 'odd') || '{"sequence": "x", "age_ms": -1}', '17',
    t.message('batches', 'gone', :'rolled_back'), t.message('batches', 'used again', :'rolled_back'));
SELECT message_id, state, leased_by, stream, sequence, retry_count FROM rule_webhook_receipts WHERE webhook_id = :id ORDER BY message_id;

-- An event has one lease, so it has one report in a batch.
SELECT ordinal, verdict, waits, reason FROM t.report('w1',
    t.tried('batches', 'one', 200), t.tried('batches', 'two', 503), t.tried('batches', 'no transaction', 204), t.tried('batches', 'two', 200),
    t.tried('batches', 'no transaction', 200), t.tried('batches', 'in the queue', 200), t.tried('batches', 'again', 200, 2),
    t.tried('batches', 'unheard of', 200), '"neither"');
SELECT ordinal, verdict, reason FROM t.report('w2', t.tried('batches', 'again', 200));
SELECT ordinal, verdict FROM t.report('w1', t.tried('batches', 'again', 200, 1), t.tried('batches', 'odd', 299));
SELECT ordinal, verdict, reason FROM t.report('w1', t.tried('batches', 'one', 200));
SELECT message_id, redelivery, try, path, worker, round(duration_ms) AS ms, status, outcome FROM rule_webhook_attempts
WHERE webhook_id = :id ORDER BY message_id, attempt_id;
SELECT message_id, state, done_at IS NOT NULL AS done, retry_count FROM rule_webhook_receipts WHERE webhook_id = :id ORDER BY message_id;

-- The queue row comes before a receipt that was left beside it.
SELECT verdict FROM t.admit('w1', t.message('batches', 'both ways'));
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, leased_by, lease_until)
VALUES (:id, 'both ways', '{}', 'processing', 'w1', now() + interval '1 minute');
SELECT verdict FROM t.report('w1', t.tried('batches', 'both ways', 200));
SELECT q.status, r.state FROM rule_webhook_queue q JOIN rule_webhook_receipts r USING (webhook_id, message_id) WHERE message_id = 'both ways';

-- More than 500 at once are not taken.
SELECT verdict, reason, count(*) FROM rule_worker_admit('w1',
    (SELECT jsonb_agg(t.message('batches', 'many ' || n) || jsonb_build_object('sequence', n)) FROM generate_series(1, 501) n))
GROUP BY verdict, reason ORDER BY verdict;
-- The reasons that workers read are those of the golden file.
\getenv tests PG_ABS_SRCDIR
\set reasons :tests '/golden/reasons.json'
\set reasons `cat ":reasons"`
SELECT DISTINCT g.key, a.verdict FROM json_each_text(:'reasons') g JOIN rule_worker_admit('w1',
    (SELECT jsonb_agg(t.message('batches', 'more ' || n / 2) || jsonb_build_object('sequence', n)) FROM generate_series(1, 501) n)) a
    ON a.reason = g.value ORDER BY g.key;

-- What a deleted webhook's events came to is not recorded, also where a receipt is left.
SELECT rule_webhook_delete(:id), rule_webhook_delete(:disabled);
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, leased_by, lease_until)
VALUES (:id, 'left', 'leased', 'w1', now() + interval '1 minute');
SELECT verdict, reason FROM t.report('w1', t.tried('batches', 'left', 200) || jsonb_build_object('webhook_id', :id));
SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'left';
DELETE FROM rule_webhook_receipts WHERE message_id = 'left';
