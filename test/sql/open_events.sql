-- A transaction that stays open for long keeps no place of its stream's consumer: its events leave the stream, and are judged
-- when it has ended. It is a prepared one here, so that this session can go on: where the server takes none, nothing is tested.
SELECT current_setting('max_prepared_transactions')::integer < 2 AS cannot \gset
\if :cannot
\quit
\endif
SET search_path = re;
\pset null -
SELECT rule_webhook_register('open', 'https://example.com') AS id \gset
SELECT rule_webhook_enable_nats(:id, p_publish_mode => 'nats');

-- A message as the worker sends it when it is old, or when it says that places are scarce; and what it is asked for then.
CREATE FUNCTION t.old(p_message_id text, p_transaction text, p_more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql STABLE AS
$$ SELECT t.message('open', p_message_id, p_transaction) || '{"age_ms": 60000}' || p_more $$;
CREATE FUNCTION t.payload(p_text text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('payload', encode(convert_to(p_text, 'UTF8'), 'base64')) $$;
CREATE FUNCTION t.claim() RETURNS TABLE (message_id text, payload text, headers jsonb) LANGUAGE sql AS
$$ SELECT message_id, payload, headers FROM re.rule_worker_claim('w', 500, '{}') ORDER BY message_id COLLATE "C" $$;
CREATE VIEW t.kept AS SELECT message_id, convert_from(payload, 'UTF8') AS payload, traceparent FROM rule_webhook_open_events ORDER BY 1;

-- A minute, or few places. What was read ahead of the consumer has no place.
BEGIN;
SELECT t.publish('open', 'committed') AS tx \gset
PREPARE TRANSACTION 'open';
SELECT m.n, a.verdict, a.reason, a.wait_ms
FROM (VALUES (1, '{"age_ms": 59999}'::jsonb), (2, '{}'), (3, '{"age_ms": 0, "crowded": true}'), (4, '{"age_ms": 0, "crowded": "true"}'),
             (5, '{"early": true}'), (6, '{"early": true, "crowded": true}')) m (n, more),
     rule_worker_admit('w', jsonb_build_array(t.old('committed', :'tx', m.more))) a ORDER BY 1;
SELECT count(*) FROM t.kept;
-- The second call brings the payload; a lost ack brings the message again, which needs no payload then.
SELECT * FROM t.admit('w', t.old('committed', :'tx', t.payload('{"a": 1}')
                                 || '{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}'));
SELECT * FROM t.admit('w', t.old('committed', :'tx'));
SELECT * FROM t.admit('w', t.old('committed', :'tx', t.payload('{"a": 2}')), t.old('committed', :'tx', t.payload('{"a": 2}')));
SELECT * FROM t.kept;
-- It is no event yet.
SELECT count(*) FROM t.claim();
SELECT count(*) FROM rule_webhook_undelivered(:id);
SELECT rule_nats_event_status(:id, 'committed', :'tx');
-- Once it has committed it is one, taken or not, and of the time at which it was published.
COMMIT PREPARED 'open';
SELECT message_id, reason FROM rule_webhook_undelivered(:id);
SELECT * FROM t.claim();
SELECT count(*) FROM t.kept;
SELECT created_at = (SELECT published_at FROM rule_nats_publish_history WHERE message_id = 'committed') AS of_its_publish, lease_losses, retry_count
FROM rule_webhook_queue WHERE message_id = 'committed';
SELECT count(*) FROM rule_webhook_drops WHERE message_id = 'committed';
-- Its message comes again, and is no second one.
SELECT verdict, reason FROM t.admit('w', t.old('committed', :'tx'));

-- Rolled back.
BEGIN;
SELECT t.publish('open', 'rolled back') AS tx \gset
PREPARE TRANSACTION 'open';
SELECT verdict FROM t.admit('w', t.old('rolled back', :'tx', t.payload('1')));
SELECT count(*) FROM t.claim();
ROLLBACK PREPARED 'open';
SELECT count(*) FROM t.claim();
SELECT count(*) FROM t.kept;
SELECT message_id, transaction = :'tx' AS its_transaction, reason, worker FROM rule_webhook_drops WHERE message_id = 'rolled back';

-- Savepoints are judged one by one, when the whole has ended, of which there can be very many.
CREATE TABLE t.many (n integer, tx text);
BEGIN;
SELECT t.publish('open', 'before') AS before \gset
SAVEPOINT a;
SELECT t.publish('open', 'undone') AS undone \gset
ROLLBACK TO a;
SAVEPOINT c;
SAVEPOINT d;
SELECT t.publish('open', 'released') AS released \gset
RELEASE d;
RELEASE c;
DO $$ BEGIN
    FOR i IN 1 .. 120 LOOP
        BEGIN INSERT INTO t.many VALUES (i, t.publish('open', 'many ' || i)::text); EXCEPTION WHEN data_exception THEN NULL; END;
    END LOOP;
END $$;
SELECT jsonb_agg(t.old('many ' || n, tx, t.payload('1'))) AS many FROM t.many \gset
PREPARE TRANSACTION 'open';
SELECT verdict, reason
FROM t.admit('w', t.old('before', :'before', t.payload('1')), t.old('undone', :'undone', t.payload('1')), t.old('released', :'released', t.payload('1')));
SELECT verdict, count(*) FROM rule_worker_admit('w', :'many') GROUP BY 1;
SELECT count(*), count(*) FILTER (WHERE top_transaction = :'before') AS of_the_whole, count(DISTINCT transaction) AS of_their_own
FROM rule_webhook_open_events;
SELECT count(*) FROM t.claim();
COMMIT PREPARED 'open';
SELECT count(*), count(*) FILTER (WHERE message_id LIKE 'many%') AS many, min(message_id) AS first, max(message_id) AS last FROM t.claim();
SELECT count(*) FROM t.kept;
DROP TABLE t.many;

-- In mode 'both' its own transaction has the row; nobody waits for it, and it goes once.
BEGIN;
SELECT t.publish('open', 'both') AS tx \gset
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at) VALUES (:id, 'both', '"of the row"', 'stream', now() + interval '30 seconds');
PREPARE TRANSACTION 'open';
SELECT verdict FROM t.admit('w', t.old('both', :'tx', t.payload('"of the message"')));
COMMIT PREPARED 'open';
SELECT message_id, payload FROM t.claim();
SELECT count(*) FROM rule_webhook_queue WHERE message_id = 'both';

-- The same event is delivered by another copy of its message before anybody claims.
BEGIN;
SELECT t.publish('open', 'copied') AS tx \gset
PREPARE TRANSACTION 'open';
SELECT verdict FROM t.admit('w', t.old('copied', :'tx', t.payload('1')));
COMMIT PREPARED 'open';
SELECT verdict FROM t.admit('w', t.old('copied', :'tx'));
SELECT count(*) FROM t.claim();
SELECT look_at > now() + interval '3 seconds' AS later FROM rule_webhook_open_events;
SELECT * FROM t.report('w', t.tried('open', 'copied', 200));
-- What was in the way is looked at again after a while, by a session that does not spare its claims the look as well.
UPDATE rule_webhook_open_events SET look_at = now();
\c -
SET search_path = re;
\pset null -
SELECT count(*) FROM t.claim();
SELECT count(*) FROM t.kept;
SELECT count(*) FROM rule_webhook_drops WHERE message_id = 'copied';
SELECT webhook_id AS id FROM rule_webhooks WHERE webhook_name = 'open' \gset

-- An application uses its message id and has not ended: no claim waits for that.
BEGIN;
SELECT t.publish('open', 'in use') AS tx \gset
PREPARE TRANSACTION 'open';
SELECT verdict FROM t.admit('w', t.old('in use', :'tx', t.payload('"of the message"')));
BEGIN;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) VALUES (:id, 'in use', '"of the row"');
PREPARE TRANSACTION 'other';
COMMIT PREPARED 'open';
SELECT count(*) FROM t.claim();
SELECT * FROM t.kept;
ROLLBACK PREPARED 'other';
-- Nor is it put off for longer by a clock that was set back.
UPDATE rule_webhook_open_events SET look_at = now() + interval '1 hour';
\c -
SET search_path = re;
\pset null -
SELECT webhook_id AS id FROM rule_webhooks WHERE webhook_name = 'open' \gset
SELECT * FROM t.claim();

-- A webhook that the transaction registers, and one that is deleted before it ends.
BEGIN;
SELECT rule_webhook_register('registered', 'https://example.com') AS registered \gset
SELECT t.publish('registered', 'registered') AS tx \gset
SELECT t.old('registered', :'tx', t.payload('1')) || jsonb_build_object('webhook_id', :registered) AS message \gset
PREPARE TRANSACTION 'open';
SELECT verdict FROM t.admit('w', :'message'::jsonb);
COMMIT PREPARED 'open';
SELECT message_id FROM t.claim();
BEGIN;
SELECT t.publish('registered', 'deleted') AS tx \gset
PREPARE TRANSACTION 'open';
SELECT verdict FROM t.admit('w', t.old('deleted', :'tx', t.payload('{"n": 1}')) || jsonb_build_object('webhook_id', :registered));
SELECT rule_webhook_delete(:registered);
COMMIT PREPARED 'open';
SELECT message_id FROM t.claim();
SELECT webhook_id, message_id, payload, regexp_replace(error_message, 'webhook: \d+;', 'webhook: N;') AS error_message FROM rule_webhook_dead_letters;
SELECT regexp_replace(reason, '\d+$', 'N') AS reason FROM rule_webhook_drops WHERE message_id = 'deleted';
DELETE FROM rule_webhook_queue WHERE webhook_id IS NULL;

-- What waits for its webhook, or is no JSON. The queue sends JSON: what is none waits in the stream.
BEGIN;
SELECT t.publish('open', 'disabled') AS disabled \gset
SELECT t.publish('open', 'no JSON') AS no_json \gset
PREPARE TRANSACTION 'open';
SELECT verdict, reason, wait_ms FROM t.admit('w', t.old('disabled', :'disabled', t.payload('1')), t.old('no JSON', :'no_json', t.payload('{')));
SELECT rule_webhook_update(:id, p_enabled => false);
COMMIT PREPARED 'open';
SELECT message_id FROM t.claim();
SELECT message_id, reason FROM rule_webhook_undelivered(:id) WHERE message_id IN ('disabled', 'no JSON') ORDER BY 1;
SELECT rule_webhook_update(:id, p_enabled => true);
SELECT message_id FROM t.claim();

-- Out of a dump: what its history knows is delivered, whatever the number of its transaction means here; what was open then is
-- not, also under an id that was taken over.
BEGIN;
SELECT count(t.publish('open', 'dumped ' || n)) FROM generate_series(1, 3) n;
UPDATE rule_nats_publish_history h SET transaction = v.transaction
FROM (VALUES ('dumped 1', '3'::xid8), ('dumped 2', '4611686018427387904'), ('dumped 3', pg_current_xact_id())) v (message_id, transaction)
WHERE h.message_id = v.message_id;
INSERT INTO rule_webhook_open_events (webhook_id, message_id, transaction, top_transaction, published_at, payload)
SELECT :id, message_id, transaction, top_transaction, now() - interval '1 hour', '1'
FROM (VALUES ('dumped 1', '3'::xid8, '3'::xid8), ('dumped 2', '4611686018427387904', '4611686018427387903'), ('dumped 3', pg_current_xact_id(), '3'),
             ('lost 1', '3', '3'), ('lost 2', '4611686018427387904', '4611686018427387903'), ('lost 3', pg_current_xact_id(), '3'))
    v (message_id, transaction, top_transaction);
UPDATE rule_engine_source SET adopted_at = now(), history_kept_since = now();
SELECT message_id FROM t.claim();
SELECT message_id, reason FROM rule_webhook_drops WHERE message_id LIKE 'lost%' ORDER BY 1;
ROLLBACK;

-- Cleaned history decides nothing, as for a message.
BEGIN;
SELECT t.publish('open', 'cleaned') AS tx \gset
PREPARE TRANSACTION 'open';
SELECT verdict FROM t.admit('w', t.old('cleaned', :'tx', t.payload('1')));
COMMIT PREPARED 'open';
DELETE FROM rule_nats_publish_history WHERE message_id = 'cleaned';
UPDATE rule_engine_source SET history_kept_since = now();
SELECT message_id FROM t.claim();
UPDATE rule_engine_source SET history_kept_since = '-infinity';

-- More than one claim settles, and more than one transaction; the small one does not wait for the large.
BEGIN;
SELECT min(t.publish('open', 'large ' || n)::text) AS large FROM generate_series(1, 600) n \gset
PREPARE TRANSACTION 'large';
BEGIN;
SELECT t.publish('open', 'small') AS small \gset
PREPARE TRANSACTION 'small';
SELECT a.verdict, count(*) FROM generate_series(0, 1) p,
    rule_worker_admit('w', (SELECT jsonb_agg(t.old('large ' || n, :'large', t.payload('1'))) FROM generate_series(300 * p + 1, 300 * p + 300) n)) a GROUP BY 1;
SELECT verdict FROM t.admit('w', t.old('small', :'small', t.payload('1')));
COMMIT PREPARED 'small';
COMMIT PREPARED 'large';
SELECT count(*) BETWEEN 26 AND 250 AS some, count(*) FILTER (WHERE message_id = 'small') AS small FROM t.claim();
DO $$ BEGIN WHILE EXISTS (SELECT FROM t.kept) LOOP PERFORM count(*) FROM t.claim(); END LOOP; END $$;
SELECT count(*), count(DISTINCT message_id) FROM rule_webhook_queue WHERE message_id LIKE 'large %' AND status = 'processing';

-- Odd ids are their own.
SELECT v.transaction, _rule_transaction_top(v.transaction::xid8) = v.transaction::xid8 AS itself
FROM (VALUES ('0'), ('1'), ('3'), ('4611686018427387904'), ('18446744073709551615')) v (transaction);
SELECT _rule_transaction_top((pg_current_xact_id()::text::numeric + 4294967296)::text::xid8)::text::numeric > 4294967296 AS of_another_epoch;

DROP VIEW t.kept;
DROP FUNCTION t.old, t.payload, t.claim;
SELECT rule_webhook_delete(:id);
DELETE FROM rule_nats_publish_history;
DELETE FROM rule_webhook_drops;
UPDATE rule_engine_source SET history_kept_since = '-infinity';
