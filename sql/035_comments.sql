COMMENT ON TABLE @extschema@.rule_webhook_deletions IS 'Webhooks that were deleted within the last hours, for workers that have events of them in hand.';
COMMENT ON COLUMN @extschema@.rule_webhook_deletions.webhook_id IS 'Which; there may be one with this id again';
COMMENT ON COLUMN @extschema@.rule_webhook_deletions.deleted_xid IS 'The transaction that deleted it; workers learn of it by this';
COMMENT ON COLUMN @extschema@.rule_webhook_deletions.deleted_at IS 'When; maintenance removes the row an hour later';
