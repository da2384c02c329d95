CREATE OR REPLACE VIEW @extschema@.rule_webhook_dead_letters AS
SELECT q.queue_id, q.webhook_id, w.webhook_name, q.message_id, q.redelivery, q.payload, q.payload_bytes,
       q.retry_count, q.response_status, q.error_message, q.last_answer, q.created_at, q.completed_at,
       -- As rule_webhook_id_header() says it, to which not all who may read this have the right.
       CASE WHEN q.message_id ~ '^(?!b64_)[A-Za-z0-9_-]{1,128}$' THEN q.message_id
            ELSE 'b64_' || pg_catalog.translate(pg_catalog.encode(pg_catalog.convert_to(q.message_id, 'UTF8'), 'base64'), E'+/=\n', '-_')
            END AS webhook_id_header
FROM @extschema@.rule_webhook_queue q LEFT JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
WHERE q.status = 'failed' AND q.redelivered_at IS NULL;
COMMENT ON VIEW @extschema@.rule_webhook_dead_letters IS
    'Events that are not tried again, nor redelivered, with their last answer. webhook_id is NULL where a message in the stream belonged to no webhook; webhook_id_header is what its receiver knows an event by.';
