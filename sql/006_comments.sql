COMMENT ON COLUMN @extschema@.rule_webhooks.held_reason IS 'Why its events wait; NULL when they do not';
COMMENT ON COLUMN @extschema@.rule_webhooks.held_since IS 'Since when they are held';

COMMENT ON TABLE @extschema@.rule_engine_retention IS 'How long the rows of each table stay before rule_engine_maintain() removes them.';
COMMENT ON COLUMN @extschema@.rule_engine_retention.table_name IS 'The table';
COMMENT ON COLUMN @extschema@.rule_engine_retention.keep IS 'How long a row stays after it ended, at least; rows of the publish history also until their expires_at';
COMMENT ON COLUMN @extschema@.rule_engine_retention.keep_failed IS 'The same for failures; NULL is for ever';
COMMENT ON COLUMN @extschema@.rule_engine_retention.pristine IS 'True until the row is changed; a dump leaves it out';
