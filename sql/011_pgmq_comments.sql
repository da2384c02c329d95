COMMENT ON COLUMN @extschema@.rule_webhook_queue.pgmq_msg_id IS 'Its message in pgmq; NULL where it has none: with the native queue, and while it waits for NATS';
