COMMENT ON COLUMN @extschema@.rule_webhooks.paused_since IS 'Since when it is held or disabled, or both';
COMMENT ON COLUMN @extschema@.rule_webhooks.resumed_at IS 'When rule_webhook_resume() last ended a hold of it; what waited then goes at resume_per_second';
COMMENT ON COLUMN @extschema@.rule_webhooks.resume_per_second IS 'How many of the events that waited at resumed_at all workers together may take a second, as with max_per_second; set to NULL, it ends what is left of the resume. NULL again when nothing can be left';
COMMENT ON COLUMN @extschema@.rule_webhook_buckets.resume_tokens IS 'How many events that waited at a resume could be taken at resume_refilled_at';
COMMENT ON COLUMN @extschema@.rule_webhook_buckets.resume_refilled_at IS 'When that was; NULL: as many as may be taken at once';
COMMENT ON COLUMN @extschema@.rule_webhooks.paused_ms IS 'How long it was held or disabled before that; what give_up_after counts by is so much behind the clock';
