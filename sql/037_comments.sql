COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.instance IS 'Which process of this name last wrote totals: the number that it drew at its start';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.instance_at IS 'When it did';
