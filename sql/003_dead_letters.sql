CREATE OR REPLACE VIEW @extschema@.rule_webhook_dead_letters AS
SELECT q.queue_id, q.webhook_id, w.webhook_name, q.message_id, q.redelivery, q.payload, q.payload_bytes,
       q.retry_count, q.response_status, q.error_message, q.last_answer, q.created_at, q.completed_at
FROM @extschema@.rule_webhook_queue q LEFT JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
WHERE q.status = 'failed' AND q.redelivered_at IS NULL;
COMMENT ON VIEW @extschema@.rule_webhook_dead_letters IS
    'Events that are not tried again, nor redelivered, with their last answer. webhook_id is NULL where a message in the stream belonged to no webhook.';
