-- What a session says of the trace that it belongs to goes with its events.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('traced', 'https://example.com') AS id \gset
SELECT rule_webhook_call_unified(:id, '1', 'none') -> 'queue' -> 'success' AS queued;
SET rule_engine.traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
SELECT rule_webhook_call_unified(:id, '1', 'traced') -> 'queue' -> 'success' AS queued;
SELECT rule_webhook_enqueue(:id, '2') > 0 AS queued;
BEGIN;
SET LOCAL rule_engine.traceparent = '00-00000000000000000000000000000001-0000000000000001-00';
SELECT rule_webhook_call_unified(:id, '1', 'local') -> 'queue' -> 'success' AS queued;
COMMIT;
SET rule_engine.traceparent = '';
SELECT rule_webhook_call_unified(:id, '1', 'none again') -> 'queue' -> 'success' AS queued;
SELECT payload, CASE WHEN payload = '1' THEN message_id END AS message_id, traceparent FROM rule_webhook_queue
WHERE webhook_id = :id ORDER BY queue_id;

-- Only what may be put into a header.
\a \t
SELECT v || E'\n    ' || t.error(format('SET rule_engine.traceparent = %L', v))
FROM unnest('{
    00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1,
    00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011,
    01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01,
    00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01,
    00-00000000000000000000000000000000-00f067aa0ba902b7-01,
    00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01,
    00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01,
    00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01,
    hunter2}'::text[]) AS v;
\a \t

-- Workers are told, and a redelivery belongs to the same trace.
SELECT action, CASE WHEN payload = '1' THEN message_id END AS message_id, headers FROM rule_worker_claim('w', 10, '{}');
UPDATE rule_webhook_queue SET status = 'success', completed_at = now(), leased_by = NULL, lease_until = NULL
WHERE webhook_id = :id;
SELECT rule_webhook_redeliver(queue_id) FROM rule_webhook_queue WHERE message_id = 'traced';
SELECT message_id, redelivery, traceparent FROM rule_webhook_queue WHERE redelivery > 0;
SELECT rule_webhook_delete(:id);
