COMMENT ON COLUMN @extschema@.rule_webhooks.order_key IS 'Path into the payload, as #>> takes it: events with the same value there are sent one after the other; NULL is no order';
COMMENT ON COLUMN @extschema@.rule_webhooks.on_dead IS 'What a dead letter does to the events of its key that come after it. block: they wait. skip: they go on.';

COMMENT ON COLUMN @extschema@.rule_webhook_queue.order_key IS 'The value at the webhook''s order_key when the event was accepted, a long one as its hash; NULL is no order';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.order_place IS 'Its place among the events of its key where that is not queue_id: of a redelivery, that of the original';

COMMENT ON TABLE @extschema@.rule_webhook_turns IS 'Keys whose next event is to have its turn with the next claim.';
COMMENT ON COLUMN @extschema@.rule_webhook_turns.turn_id IS 'Number of the row';
COMMENT ON COLUMN @extschema@.rule_webhook_turns.webhook_id IS 'Whose key it is';
COMMENT ON COLUMN @extschema@.rule_webhook_turns.order_key IS 'The key; NULL: all of the webhook that have a dead letter';
