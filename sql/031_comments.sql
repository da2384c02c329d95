COMMENT ON COLUMN @extschema@.rule_webhook_queue.first_accepted_at IS
    'In a redelivery, when the event itself was accepted; else NULL, and created_at says it';
