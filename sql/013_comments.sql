COMMENT ON COLUMN @extschema@.rule_nats_config.idle_timeout_seconds IS 'After how long without use a session closes its connection; 0 is never';
