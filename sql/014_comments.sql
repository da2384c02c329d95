COMMENT ON COLUMN @extschema@.rule_webhook_queue.traceparent IS 'What the session that made the event had in rule_engine.traceparent';
