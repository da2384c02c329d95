-- One event on two paths: the queue row is its receipt, and the queue and NATS take turns.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('both', 'https://example.com') AS id \gset
SELECT rule_webhook_enable_nats(:id, 'webhooks.both');
CREATE FUNCTION t.put(p_message_id text, p_route text, p_age interval DEFAULT '0', p_due interval DEFAULT '0') RETURNS bigint LANGUAGE sql AS
$$ INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload, route, created_at, next_retry_at)
   VALUES (t.id('both'), p_message_id, '{"n": 1}', p_route, clock_timestamp() - p_age, clock_timestamp() + p_due) RETURNING queue_id $$;
CREATE FUNCTION t.row(p_message_id text) RETURNS TABLE (status text, route text, retry_count integer, leased_by text, due text) LANGUAGE sql AS
$$ SELECT status, route, retry_count, leased_by, CASE WHEN next_retry_at <= clock_timestamp() THEN 'now'
              WHEN next_retry_at <= clock_timestamp() + interval '35 seconds' THEN 'after the grace' ELSE 'later' END
   FROM re.rule_webhook_queue WHERE message_id = p_message_id $$;
CREATE FUNCTION t.of_row(p_message_id text, p_result text, p_status integer DEFAULT NULL, p_error text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('path', 'queue', 'queue_id', queue_id, 'result', p_result, 'status', p_status, 'error', p_error)
   FROM re.rule_webhook_queue WHERE message_id = p_message_id $$;

-- The stream comes first: within the grace the queue leaves the row alone, and afterwards it is done.
SELECT t.put('a', 'stream', '0', '30 seconds') IS NOT NULL AS put;
SELECT count(*) AS claimed FROM rule_worker_claim('q', 10, '{WEBHOOKS}');
SELECT verdict, try FROM t.admit('s', t.message('both', 'a'));
SELECT * FROM t.row('a');
SELECT count(*) AS receipts FROM rule_webhook_receipts;
SELECT * FROM t.report('s', t.tried('both', 'a', 200));
SELECT * FROM t.row('a');
SELECT verdict, reason FROM t.admit('s', t.message('both', 'a'));

-- Nothing came of the stream within the grace: the queue posts, and the stream's copy waits, then is left out.
SELECT t.put('b', 'stream') IS NOT NULL AS put;
SELECT message_id, action, try FROM rule_worker_claim('q', 10, '{WEBHOOKS}');
SELECT verdict, reason FROM t.admit('s', t.message('both', 'b'));
SELECT * FROM t.report('q', t.of_row('b', 'answered', 200));
SELECT verdict, reason FROM t.admit('s', t.message('both', 'b'));
-- The first one's message came again, and was no second copy.
SELECT message_id, reason FROM rule_webhook_drops;

-- A failed try on the stream's way leaves the row to the stream; a long delay to the queue.
SELECT t.put('c', 'stream', '0', '30 seconds') IS NOT NULL AS put;
SELECT verdict, try FROM t.admit('s', t.message('both', 'c'));
SELECT * FROM t.report('s', t.tried('both', 'c', 500));
SELECT * FROM t.row('c');
UPDATE rule_webhooks SET retry_delay_ms = 600000;
SELECT verdict, try FROM t.admit('s', t.message('both', 'c'));
SELECT * FROM t.report('s', t.tried('both', 'c', 500));
SELECT * FROM t.row('c');
SELECT verdict, reason FROM t.admit('s', t.message('both', 'c'));
UPDATE rule_webhooks SET retry_delay_ms = 1000;
-- Dead: the row has the payload already.
SELECT t.put('d', 'stream', '0', '30 seconds') IS NOT NULL AS put;
UPDATE rule_webhooks SET retry_enabled = false;
SELECT verdict, try FROM t.admit('s', t.message('both', 'd'));
SELECT * FROM t.report('s', t.tried('both', 'd', 500));
SELECT message_id, payload FROM rule_webhook_dead_letters;
UPDATE rule_webhooks SET retry_enabled = true;

-- A worker that dies on either way: the stream's row has its grace again, the queue's is due.
SELECT t.put('e', 'stream', '0', '30 seconds') IS NOT NULL AS put;
SELECT verdict FROM t.admit('s', t.message('both', 'e'));
SELECT t.lease_ends('e');
SELECT count(*) AS claimed FROM rule_worker_claim('q', 10, '{}');
SELECT * FROM t.row('e');
UPDATE rule_webhook_queue SET next_retry_at = now() WHERE message_id = 'e';
SELECT message_id, action FROM rule_worker_claim('q', 10, '{}');
SELECT t.lease_ends('e');
SELECT verdict, try FROM t.admit('s', t.message('both', 'e'));
SELECT * FROM t.report('q', t.of_row('e', 'answered', 200));
SELECT * FROM t.report('s', t.tried('both', 'e', 200));

-- NATS was away: published again by a worker that reaches the stream, in order, by one at a time.
SELECT t.put('p1', 'publish') IS NOT NULL AND t.put('p2', 'publish') IS NOT NULL AND t.put('p3', 'publish') IS NOT NULL AS put;
SELECT count(*) AS without_nats FROM rule_worker_claim('q', 10, '{}');
SELECT count(*) AS of_another_stream FROM rule_worker_claim('q', 10, '{OTHER}');
SELECT message_id, action, try, payload, stream, subject, headers - 'Rule-Engine-Source' - 'Nats-Msg-Id' - 'Rule-Engine-Webhook-Id' AS headers,
       headers ->> 'Nats-Msg-Id' = concat_ws(':', s.source_id, :id, message_id) AS msg_id,
       headers ->> 'Rule-Engine-Source' = s.source_id::text AND headers ->> 'Rule-Engine-Webhook-Id' = :'id' AS ids
FROM rule_worker_claim('q1', 4, '{WEBHOOKS}'), rule_engine_source s;
SELECT count(*) AS while_another_has_older_ones FROM rule_worker_claim('q2', 10, '{WEBHOOKS}');
SELECT * FROM t.report('q1', t.of_row('p1', 'published'), t.of_row('p2', 'released', NULL, 'no responders') || '{"duration_ms": 3}');
SELECT * FROM t.row('p1');
SELECT * FROM t.row('p2');
SELECT count(*) AS attempts FROM rule_webhook_attempts WHERE message_id = 'p2';
-- The one that was refused holds up those behind it.
SELECT count(*) AS before_its_time FROM rule_worker_claim('q2', 10, '{WEBHOOKS}');
UPDATE rule_webhook_queue SET next_retry_at = now() WHERE message_id = 'p2';
SELECT message_id, action FROM rule_worker_claim('q2', 10, '{WEBHOOKS}');
-- The copy can be fetched before its publish is reported.
SELECT verdict, reason, wait_ms FROM t.admit('s', t.message('both', 'p2'));
SELECT * FROM t.report('q2', t.of_row('p2', 'published'), t.of_row('p3', 'published'));
-- The copy that went there is delivered by the stream, without a transaction to ask for.
SELECT verdict, try FROM t.admit('s', t.message('both', 'p1'));
SELECT * FROM t.report('s', t.tried('both', 'p1', 200));
-- A copy of an unanswered publish can be there before it is published again.
SELECT t.put('p4', 'publish') IS NOT NULL AS put;
SELECT verdict, try FROM t.admit('s', t.message('both', 'p4'));
SELECT * FROM t.row('p4');
SELECT count(*) AS claimed FROM rule_worker_claim('q', 10, '{WEBHOOKS}');
SELECT * FROM t.report('s', t.tried('both', 'p4', 200));

-- NATS stays away: after 60 s in which no worker reached it the queue posts.
SELECT t.put('p5', 'publish', '61 seconds') IS NOT NULL AS put;
SELECT count(*) AS reached_lately FROM rule_worker_claim('q', 10, '{}');
UPDATE rule_nats_consumer_stats SET reached_at = now() - interval '61 seconds';
SELECT message_id, action FROM rule_worker_claim('q', 10, '{}');
SELECT * FROM t.report('q', t.of_row('p5', 'answered', 200));
-- NATS is there and refuses a row for longer than that: the queue posts it.
SELECT t.put('p6', 'publish', '61 seconds') IS NOT NULL AS put;
SELECT message_id, action FROM rule_worker_claim('q', 10, '{WEBHOOKS}');
SELECT * FROM t.report('q', t.of_row('p6', 'released', NULL, 'message is too big'));
SELECT message_id, action FROM rule_worker_claim('q', 10, '{WEBHOOKS}');
SELECT * FROM t.report('q', t.of_row('p6', 'answered', 200));
-- NATS can never take it: the queue posts it at once, and no try is counted.
SELECT t.put('p8', 'publish') IS NOT NULL AS put;
SELECT message_id, action FROM rule_worker_claim('q', 10, '{WEBHOOKS}');
SELECT * FROM t.report('q', t.of_row('p8', 'failed', NULL, 'larger than NATS takes'));
SELECT * FROM t.row('p8');
SELECT count(*) AS attempts FROM rule_webhook_attempts WHERE message_id = 'p8';
SELECT message_id, action, try FROM rule_worker_claim('q', 10, '{WEBHOOKS}');
SELECT * FROM t.report('q', t.of_row('p8', 'answered', 200));
-- Taken off NATS, what waited for it is posted; a disabled webhook's waits and holds up nobody.
SELECT t.put('p7', 'publish') IS NOT NULL AS put;
SELECT rule_webhook_update(:id, p_enabled => false);
SELECT count(*) AS of_a_disabled_webhook FROM rule_worker_claim('q', 10, '{WEBHOOKS}');
SELECT rule_webhook_update(:id, p_enabled => true);
SELECT rule_webhook_disable_nats(:id);
SELECT message_id, action FROM rule_worker_claim('q', 10, '{WEBHOOKS}');
SELECT * FROM t.report('q', t.of_row('p7', 'answered', 200));

-- The same message id again, after its first copy was taken from the stream: delivered once.
SELECT verdict FROM t.admit('s', t.message('both', 'r'));
SELECT t.put('r', 'post') IS NOT NULL AS put;
SELECT count(*) AS while_the_stream_has_it FROM rule_worker_claim('q', 10, '{}');
SELECT * FROM t.row('r');
SELECT verdict, reason FROM t.admit('s2', t.message('both', 'r'));
SELECT * FROM t.report('s', t.tried('both', 'r', 200));
UPDATE rule_webhook_queue SET next_retry_at = now() WHERE message_id = 'r';
SELECT count(*) AS after_it FROM rule_worker_claim('q', 10, '{}');
SELECT * FROM t.row('r');
-- Between two tries the queue row goes on from where the stream was.
SELECT verdict FROM t.admit('s', t.message('both', 'u'));
SELECT * FROM t.report('s', t.tried('both', 'u', 500));
SELECT t.put('u', 'post') IS NOT NULL AS put;
SELECT message_id, try FROM rule_worker_claim('q', 10, '{}');
SELECT count(*) AS receipts FROM rule_webhook_receipts WHERE message_id = 'u';
SELECT * FROM t.report('q', t.of_row('u', 'answered', 200));
-- The move into the queue meets such a row, too.
UPDATE rule_webhooks SET retry_delay_ms = 600000;
SELECT verdict FROM t.admit('s', t.message('both', 'v'));
SELECT t.put('v', 'post', '0', '1 day') IS NOT NULL AS put;
SELECT * FROM t.report('s', t.tried('both', 'v', 500, 1, '{"n": 1}'));
SELECT * FROM t.row('v');
SELECT count(*) AS receipts FROM rule_webhook_receipts WHERE message_id = 'v';

-- What the stream leaves to the queue is not left out: of an endpoint that is behind, or of a transaction that was open for long.
SELECT t.put('o1', 'stream', '0', '30 seconds') IS NOT NULL AND t.put('o2', 'stream', '0', '30 seconds') IS NOT NULL AS put;
SELECT verdict, reason FROM t.admit('s', t.message('both', 'o1') || '{"overflow": true}');
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, transaction) VALUES (:id, 's', 'o2', true, '3');
INSERT INTO rule_webhook_open_events (webhook_id, message_id, transaction, top_transaction, published_at, payload) VALUES (:id, 'o2', '3', '3', now(), '1');
SELECT message_id, action FROM rule_worker_claim('q', 10, '{}');
SELECT count(*) AS kept_apart FROM rule_webhook_open_events;
SELECT * FROM t.report('q', t.of_row('o1', 'answered', 200), t.of_row('o2', 'answered', 200));
SELECT DISTINCT reason FROM rule_webhook_drops;
DELETE FROM rule_nats_publish_history WHERE message_id = 'o2';
UPDATE rule_engine_source SET history_kept_since = '-infinity';

SELECT total_calls, successful_calls, failed_calls, pending_calls, retrying_calls, success_rate_pct FROM webhook_status_summary;
SELECT rule_webhook_delete(:id);
DROP FUNCTION t.put, t.row, t.of_row;
DELETE FROM rule_webhook_drops;
DELETE FROM rule_nats_consumer_stats;
