COMMENT ON COLUMN @extschema@.rule_webhook_queue.lease_call IS
    'What the lease was given for: the number of a worker''s claim, or the sequence of a stream''s message below zero.';
