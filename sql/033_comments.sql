COMMENT ON COLUMN @extschema@.rule_webhooks.redeliver_per_second IS 'How many of the events that rule_webhook_redeliver() sends again all workers together may take a second, as with max_per_second, by its latest call for the webhook; set to NULL, what is left goes without a rate. NULL again when nothing is left';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.paced IS 'A redelivery that goes at redeliver_per_second';
COMMENT ON COLUMN @extschema@.rule_webhook_buckets.redeliver_tokens IS 'How many redeliveries could be taken at redeliver_refilled_at';
COMMENT ON COLUMN @extschema@.rule_webhook_buckets.redeliver_refilled_at IS 'When that was; NULL: as many as may be taken at once';
