COMMENT ON TABLE @extschema@.rule_engine_settings IS 'What holds for the whole database, in one row.';
COMMENT ON COLUMN @extschema@.rule_engine_settings."only" IS 'True: there is one row';
COMMENT ON COLUMN @extschema@.rule_engine_settings.queue_backend IS 'Who keeps the order and the leases of the queue: native, or pgmq';
COMMENT ON COLUMN @extschema@.rule_engine_settings.queue_max_events IS 'How many events may wait in the queue; NULL is no limit';
COMMENT ON COLUMN @extschema@.rule_engine_settings.queue_max_bytes IS 'How many bytes of payload may wait in the queue; NULL is no limit';
COMMENT ON COLUMN @extschema@.rule_engine_settings.pristine IS 'True until the row is changed; a dump leaves it out';
