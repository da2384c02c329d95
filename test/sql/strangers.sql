-- Messages that belong to no webhook, or to another database.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('known', 'https://example.com') AS id \gset
SELECT source_id AS source_id FROM rule_engine_source \gset
CREATE TABLE t.strangers (n integer, message jsonb);
INSERT INTO t.strangers VALUES
    (1, jsonb_build_object('webhook_id', :id, 'message_id', 'm', 'source_id', '00000000-0000-4000-8000-00000000beef')),
    (2, '{"message_id": "m", "source_id": "00000000-0000-4000-8000-00000000BEEF"}'),
    (3, '{"stream": "WEBHOOKS", "sequence": 3}'),
    (4, jsonb_build_object('webhook_id', :id, 'message_id', 'm4', 'stream', 'WEBHOOKS', 'sequence', 4)),
    (5, jsonb_build_object('webhook_id', :id, 'message_id', 'm5', 'source_id', 'mine')),
    (6, jsonb_build_object('webhook_id', 2000000000, 'message_id', 'm6', 'source_id', :'source_id')),
    (7, jsonb_build_object('webhook_id', 'x', 'message_id', 'm7', 'source_id', :'source_id')),
    (8, jsonb_build_object('webhook_id', 99999999999, 'message_id', 'm8', 'source_id', :'source_id')),
    (9, jsonb_build_object('webhook_id', :id, 'source_id', :'source_id', 'stream', 'WEBHOOKS', 'sequence', 9)),
    (10, jsonb_build_object('webhook_id', :id, 'message_id', E'a\nb', 'source_id', :'source_id', 'stream', 'WEBHOOKS', 'sequence', 10)),
    (11, jsonb_build_object('webhook_id', :id, 'message_id', repeat('m', 256), 'source_id', :'source_id', 'stream', 'WEBHOOKS', 'sequence', 11)),
    (12, jsonb_build_object('webhook_id', :id, 'message_id', 'm12', 'source_id', :'source_id', 'transaction', 'x')),
    (13, '[]'), (14, '"text"'), (15, 'null'),
    (16, jsonb_build_object('webhook_id', 2000000000, 'message_id', 'm16', 'source_id', :'source_id', 'transaction', '3')),
    (17, jsonb_build_object('webhook_id', :id, 'message_id', 'm17', 'source_id', upper(:'source_id')));
-- The first call asks for the payload of what is to be kept. Neighbours are delivered.
SELECT s.n, a.verdict, regexp_replace(a.reason, :'source_id', 'ours') AS reason, a.wait_ms
FROM rule_worker_admit('w', (SELECT jsonb_agg(message ORDER BY n) FROM t.strangers)) a JOIN t.strangers s ON s.n = a.ordinal ORDER BY s.n;
SELECT count(*) AS dead_letters FROM rule_webhook_dead_letters;
-- The second one keeps them; a third, after a lost ack, keeps them once.
SELECT s.n, a.verdict, a.reason
FROM rule_worker_admit('w', (SELECT jsonb_agg(CASE jsonb_typeof(message) WHEN 'object' THEN message || '{"payload": "eyJuIjogMX0="}' ELSE message END ORDER BY n)
                             FROM t.strangers)) a
JOIN t.strangers s ON s.n = a.ordinal WHERE s.n BETWEEN 3 AND 15 ORDER BY s.n;
SELECT count(*) FILTER (WHERE a.verdict = 'drop') AS dropped_again
FROM rule_worker_admit('w', (SELECT jsonb_agg(message || '{"payload": "eyJuIjogMX0="}' ORDER BY n) FROM t.strangers WHERE n BETWEEN 3 AND 12)) a;
SELECT webhook_id, message_id, payload, error_message FROM rule_webhook_dead_letters ORDER BY queue_id;
-- Another message under the same id is not swallowed, and what jsonb refuses is kept as bytes.
SELECT verdict, reason FROM rule_worker_admit('w', jsonb_build_array(
    '{"message_id": "m4", "payload": ""}'::jsonb, '{"message_id": "m4", "payload": "/wA="}'::jsonb,
    '{"message_id": "m4", "payload": "!"}'::jsonb));
SELECT message_id, payload, payload_bytes, error_message FROM rule_webhook_dead_letters WHERE error_message = 'no webhook id' AND payload IS NULL ORDER BY queue_id;
-- Messages of one id and payload are told apart by their webhook and by where they lie in the stream.
CREATE FUNCTION t.strange(p_webhook_id integer, p_sequence bigint, p_age_ms bigint, p_more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS
$$ SELECT reason FROM rule_worker_admit('w', jsonb_build_array(jsonb_build_object('webhook_id', p_webhook_id, 'message_id', 'alike',
       'source_id', (SELECT source_id FROM rule_engine_source), 'stream', 'WEBHOOKS', 'sequence', p_sequence, 'age_ms', p_age_ms,
       'payload', 'e30=') || p_more)) $$;
SELECT t.strange(2000000000, 21, 5), t.strange(2000000001, 22, 5), t.strange(2000000000, 23, 5), t.strange(2000000000, 23, 5, '{"stream": "OTHER"}');
SELECT error_message FROM rule_webhook_dead_letters WHERE message_id = 'alike' ORDER BY queue_id;
-- The same one is known by its age, also after it has waited for Postgres; a younger one is of a stream that was made anew.
UPDATE rule_webhook_queue SET created_at = now() - interval '1 hour' WHERE message_id = 'alike';
SELECT count(t.strange(2000000000, 21, a, m)) FROM (VALUES (3600005, '{}'::jsonb), (999999999999999, '{}'), (5, '{"repeated": true}')) AS v (a, m);
SELECT count(*) AS kept FROM rule_webhook_dead_letters WHERE message_id = 'alike';
SELECT count(t.strange(2000000000, 21, 5)) FROM generate_series(1, 2);
SELECT count(*) AS kept FROM rule_webhook_dead_letters WHERE message_id = 'alike';
-- A message id is what a publish takes, by the golden file: no control character and no outer white space beyond ASCII either.
-- Text has no NUL.
\getenv tests PG_ABS_SRCDIR
\set wire :tests '/golden/wire.json'
\set wire `cat ":wire"`
CREATE TEMP VIEW ids AS
SELECT k.kind, i.id
FROM (VALUES ('accepted'), ('refused')) k (kind),
     json_array_elements_text(replace(:'wire', '\u0000', '\u0001')::json #> ARRAY['message_ids', k.kind]) i (id);
SELECT kind, count(*) > 5 AS some, bool_and(_rule_message_id_fits(id) = (kind = 'accepted')) AS as_published FROM ids GROUP BY kind ORDER BY kind;
SELECT i.kind, a.verdict, a.reason, bool_or(m.transaction IS NULL) AS committed, bool_or(m.transaction IS NOT NULL) AS open
FROM (VALUES (NULL), ('3')) m (transaction), ids i,
     LATERAL rule_worker_admit('w', jsonb_build_array(jsonb_build_object('webhook_id', :id, 'message_id', i.id, 'source_id', :'source_id',
                                                      'transaction', m.transaction, 'stream', 'WEBHOOKS', 'sequence', 20, 'age_ms', 0))) a
WHERE i.kind = 'refused' GROUP BY 1, 2, 3;
-- The queue never sends a dead letter, and nothing of this counts for the webhook.
SELECT count(*) AS claimed FROM rule_worker_claim('w', 100, '{}');
SELECT total_calls, failed_calls FROM webhook_status_summary WHERE webhook_name = 'known';
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT * FROM rule_worker_admit('w', NULL)$$),
    ($$SELECT * FROM rule_worker_admit('w', '{}')$$),
    ($$SELECT * FROM rule_worker_admit(NULL, '[]')$$),
    ($$SELECT * FROM rule_worker_admit(E'w\n', '[]')$$)
) AS c (call);
\a \t
SELECT rule_webhook_delete(:id);
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_drops;
