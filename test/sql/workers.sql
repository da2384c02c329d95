-- Who a worker is, what it knows, what it holds.
SET search_path = re;
\pset null -
SELECT (source_id = (SELECT source_id FROM rule_engine_source)) AS source, lease_ms, settings
FROM rule_worker_hello('w1', 'webhook-workers', '0.1.0', '{}', '{WEBHOOKS,WEBHOOKS,OTHER,NULL,""}');
SELECT stream_name, consumer_name, queue_group, ack_policy, max_deliver, messages_delivered, active, last_active_at IS NOT NULL AS dated
FROM rule_nats_consumer_stats ORDER BY stream_name;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT * FROM rule_worker_hello(NULL, 'g', '1', '{}', '{}')$$),
    ($$SELECT * FROM rule_worker_hello('w', NULL, '1', '{}', '{}')$$),
    ($$SELECT * FROM rule_worker_hello(E'w\t', 'g', '1', '{}', '{}')$$),
    ($$SELECT * FROM rule_worker_heartbeat(NULL, '[]', '{}')$$)
) AS c (call);
\a \t

-- What changed since the mark: a webhook, its secret, and nothing twice.
SELECT webhook_id, mark IS NOT NULL AS marked FROM rule_worker_endpoints();
SELECT rule_webhook_register('first', 'https://user:pw@example.com/p', 'PUT', '{"X-A": "b"}', p_timeout_ms => 45000) AS first \gset
SELECT rule_webhook_register('second', 'https://example.com') AS second \gset
SELECT mark AS mark FROM rule_worker_endpoints() LIMIT 1 \gset
SELECT webhook_name, url, method, headers, timeout_ms, secrets, enabled FROM rule_worker_endpoints();
SELECT webhook_name FROM rule_worker_endpoints(:'mark');
SELECT rule_webhook_update(:second, p_enabled => false);
SELECT webhook_name, enabled FROM rule_worker_endpoints(:'mark');
SELECT mark AS mark FROM rule_worker_endpoints(:'mark') LIMIT 1 \gset
SELECT rule_webhook_hold(:first, 'maintenance');
SELECT webhook_name, enabled FROM rule_worker_endpoints(:'mark');
SELECT rule_webhook_resume(:first);
-- A deletion is told to who may have something in hand; of a webhook that was made again with its id both, in their order.
SELECT rule_webhook_register('gone', 'https://example.com') AS gone \gset
SELECT mark AS mark FROM rule_worker_endpoints() LIMIT 1 \gset
SELECT rule_webhook_delete(:gone) AS deleted;
SELECT webhook_id = :gone AS gone, webhook_name, url, method, headers, timeout_ms, secrets, enabled FROM rule_worker_endpoints(:'mark');
SELECT count(*) FROM rule_worker_endpoints() WHERE url = '';
INSERT INTO rule_webhooks (webhook_id, webhook_name, webhook_url) VALUES (:gone, 'again', 'https://example.com/again');
SELECT webhook_id = :gone AS gone, webhook_name, url, enabled FROM rule_worker_endpoints(:'mark');
SELECT mark AS mark FROM rule_worker_endpoints(:'mark') LIMIT 1 \gset
SELECT webhook_id FROM rule_worker_endpoints(:'mark');
SELECT rule_webhook_delete(:gone) AS deleted;
SELECT webhook_id = :gone AS gone, webhook_name, url, enabled FROM rule_worker_endpoints(:'mark');
SELECT count(*) FROM rule_worker_endpoints('9000000:9000000:') WHERE url = '' AND webhook_id = :gone;
DELETE FROM rule_webhook_deletions;
-- Also what a replication role, or a repair under its name, has changed.
INSERT INTO rule_webhooks (webhook_id, webhook_name, webhook_url) VALUES (:gone, 'replica', 'https://example.com/replica');
SELECT mark AS mark FROM rule_worker_endpoints() LIMIT 1 \gset
SET session_replication_role = replica;
UPDATE rule_webhooks SET webhook_url = 'https://example.com/other' WHERE webhook_id = :gone;
SELECT webhook_name, url FROM rule_worker_endpoints(:'mark');
SELECT mark AS mark FROM rule_worker_endpoints(:'mark') LIMIT 1 \gset
INSERT INTO rule_webhook_secrets (webhook_id, secret_name, secret) VALUES (:gone, 's', 'whsec_' || repeat('A', 32));
SELECT webhook_name, cardinality(secrets) AS secrets FROM rule_worker_endpoints(:'mark');
SELECT mark AS mark FROM rule_worker_endpoints(:'mark') LIMIT 1 \gset
DELETE FROM rule_webhooks WHERE webhook_id = :gone;
RESET session_replication_role;
SELECT webhook_id = :gone AS gone, url FROM rule_worker_endpoints(:'mark');
DELETE FROM rule_webhook_secrets WHERE webhook_id = :gone;
DELETE FROM rule_webhook_deletions;
-- A mark from beyond our time is of no use: everything comes again. Nor is one of another run of the server, which its xmin says.
SELECT webhook_name FROM rule_worker_endpoints('9000000:9000000:');
SELECT webhook_name FROM rule_worker_endpoints('1:18446744073709551615:18446744073709551614');
SELECT mark AS mark FROM rule_worker_endpoints() LIMIT 1 \gset
SELECT webhook_name FROM rule_worker_endpoints(:'mark');
SELECT webhook_name FROM rule_worker_endpoints(regexp_replace(:'mark', '^\d+', CASE WHEN :'mark' LIKE '1:%' THEN '2' ELSE '1' END)::pg_snapshot);

-- A heartbeat writes totals and renews what is held, in the queue and in the receipts, longer for a longer time-out.
SELECT rule_webhook_enqueue(:first, '{}') AS row \gset
SELECT count(*) FROM rule_worker_claim('w1', 10, '{}');
SELECT verdict FROM t.admit('w1', t.message('first', 'm1'), t.message('first', 'm2'));
UPDATE rule_webhook_queue SET lease_until = now() + interval '1 second';
UPDATE rule_webhook_receipts SET lease_until = now() + interval '1 second';
SELECT verdict, jsonb_array_length(lost -> 'queue') AS rows, lost #> '{receipts,0,1}' AS receipt
FROM rule_worker_heartbeat('w1', '[{"stream": "WEBHOOKS", "group": "g", "delivered": 3, "acknowledged": 2, "pending": 1, "redelivered": 1, "avg_ms": 3.14159, "active": true}]',
    jsonb_build_object('queue', jsonb_build_array(:row, 999999999, 'x', NULL), 'receipts', jsonb_build_array(
        jsonb_build_array(:first, 'm1', 0), jsonb_build_array(:first, 'other', 0), jsonb_build_array('x'), 5)));
SELECT message_id = 'm1' AS held, lease_until - now() > interval '70 seconds' AS renewed FROM rule_webhook_receipts ORDER BY message_id;
SELECT lease_until - now() > interval '70 seconds' AS renewed FROM rule_webhook_queue WHERE queue_id = :row;
-- Of another worker, all is lost.
SELECT lost -> 'queue' = jsonb_build_array(:row) AS row, lost #> '{receipts,0,1}' AS receipt
FROM rule_worker_heartbeat('w2', NULL, jsonb_build_object('queue', jsonb_build_array(:row), 'receipts', jsonb_build_array(jsonb_build_array(:first, 'm1', 0))));
-- A stream event whose receipt is a queue row is renewed by the name that the worker knows.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at) VALUES (:first, 'm3', '{}', 'stream', now() + interval '30 seconds');
SELECT verdict FROM t.admit('w1', t.message('first', 'm3'));
UPDATE rule_webhook_queue SET lease_until = now() + interval '1 second' WHERE message_id = 'm3';
SELECT lost - 'now_ms' AS lost FROM rule_worker_heartbeat('w1', '[]', jsonb_build_object('receipts', jsonb_build_array(jsonb_build_array(:first, 'm3', 0))));
SELECT lease_until - now() > interval '70 seconds' AS renewed FROM rule_webhook_queue WHERE message_id = 'm3';

-- Totals replace totals; whatever makes no sense is left out.
SELECT verdict, lost - 'now_ms' AS lost FROM rule_worker_heartbeat('w1', '[{"stream": "WEBHOOKS", "delivered": 5, "acknowledged": -1, "active": false}, {}, 7, {"stream": ""}]', '[]');
SELECT queue_group, messages_delivered, messages_acknowledged, messages_pending, messages_redelivered, avg_processing_time_ms, active
FROM rule_nats_consumer_stats WHERE stream_name = 'WEBHOOKS';
SELECT verdict FROM rule_worker_heartbeat('w1', '"x"', NULL);
-- By the database's clock, with which a worker compares its own.
SELECT now_ms BETWEEN 1000 * extract(epoch FROM now()) - 1 AND 1000 * extract(epoch FROM clock_timestamp()) AS now
FROM (SELECT (lost -> 'now_ms')::bigint AS now_ms FROM rule_worker_heartbeat('w1', '[]', '{}')) h;

-- The live processes of a group that take from a stream share what stands behind a backlog: not another group's, not one that
-- takes from the queue alone, has stopped, or says nothing any more.
DELETE FROM rule_nats_consumer_stats;
SELECT c.consumer, settings -> 'places' AS places
FROM (VALUES ('p3', 'g'), ('p1', 'g'), ('queue-only', 'g'), ('stopped', 'g'), ('silent', 'g'), ('other', 'h')) AS c (consumer, of)
CROSS JOIN LATERAL rule_worker_hello(c.consumer, c.of, '1.0', '{}', '{WEBHOOKS}');
SELECT lost -> 'places' AS stopped
FROM rule_worker_heartbeat('stopped', '[{"stream": "WEBHOOKS", "group": "g", "active": false}]', '{}');
UPDATE rule_nats_consumer_stats SET last_active_at = now() - interval '16 seconds' WHERE consumer_name = 'silent';
SELECT lost -> 'places' AS queue_only
FROM rule_worker_heartbeat('queue-only', '[{"stream": "rule_webhook_queue", "group": "g"}, {"stream": "WEBHOOKS", "group": "g"}]', '{}');
SELECT c.consumer, lost -> 'places' AS places
FROM unnest('{p3, p1, other}'::text[]) AS c (consumer)
CROSS JOIN LATERAL rule_worker_heartbeat(c.consumer, '[]', '{}');
-- Nor does one count as such for ever whose process was killed and whose name another one has.
UPDATE rule_nats_consumer_stats SET last_active_at = now() - interval '16 seconds' WHERE stream_name = 'rule_webhook_queue';
SELECT lost -> 'places' AS renamed
FROM rule_worker_heartbeat('queue-only', '[{"stream": "WEBHOOKS", "group": "g"}]', '{}');

SELECT rule_webhook_delete(webhook_id) FROM rule_webhooks;
DELETE FROM rule_nats_consumer_stats;
