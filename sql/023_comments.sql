COMMENT ON COLUMN @extschema@.rule_webhook_queue_fill.found_events IS 'All events that were found; NULL where counting ended before the end';
COMMENT ON COLUMN @extschema@.rule_webhook_queue_fill.found_bytes IS 'The bytes of their payloads';
