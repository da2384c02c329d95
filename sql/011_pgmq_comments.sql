COMMENT ON COLUMN @extschema@.rule_webhook_queue.pgmq_msg_id IS 'Its message in pgmq; NULL where it has none: with the native queue, while it waits for NATS, and where it is redelivered at a rate';
