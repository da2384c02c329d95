COMMENT ON COLUMN @extschema@.rule_webhooks.give_up_after IS 'How long an event is tried while its endpoint is away; 0 makes max_retries the limit of that, too';
COMMENT ON COLUMN @extschema@.rule_webhooks.hold_for IS 'How long an event waits for a held webhook before it expires';

COMMENT ON COLUMN @extschema@.rule_webhook_queue.refusals IS 'How many tries were answered and refused, as max_retries counts';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.first_tried_at IS 'When the first try that failed began, by the webhook''s own clock: so much earlier as it had been held or disabled until then (paused_ms). give_up_after counts from it';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.lease_losses IS 'How many leases of it ran out since a try was last reported';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.redelivered_at IS 'When rule_webhook_redeliver() made another row of the same event; that one counts from then on';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.refusals IS 'As in the queue';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.first_tried_at IS 'As in the queue';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.lease_losses IS 'As in the queue';

COMMENT ON TABLE @extschema@.rule_webhook_endpoints IS 'How the endpoints do that have failed at some time, and their breakers.';
COMMENT ON COLUMN @extschema@.rule_webhook_endpoints.webhook_id IS 'Whose endpoint it is';
COMMENT ON COLUMN @extschema@.rule_webhook_endpoints.failing_since IS 'The first failure since the last success; NULL when the last try succeeded';
COMMENT ON COLUMN @extschema@.rule_webhook_endpoints.last_success_at IS 'When a success last ended failures';
COMMENT ON COLUMN @extschema@.rule_webhook_endpoints.outages IS 'How many outages on end, while the breaker is closed';
COMMENT ON COLUMN @extschema@.rule_webhook_endpoints.breaker_state IS 'closed: events are sent. open: none is. half-open: one is, and decides.';
COMMENT ON COLUMN @extschema@.rule_webhook_endpoints.breaker_since IS 'Since when it is in that state';
COMMENT ON COLUMN @extschema@.rule_webhook_endpoints.open_ms IS 'How long the breaker stays open; twice as long each time, up to 60 s';
COMMENT ON COLUMN @extschema@.rule_webhook_endpoints.open_until IS 'No event is let through before this';
