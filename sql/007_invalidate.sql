-- Backends keep webhooks, configurations and settings; a change of these tables makes each of them look again.

CREATE OR REPLACE FUNCTION @extschema@.rule_engine_invalidate()
RETURNS trigger LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_engine_invalidate';
COMMENT ON FUNCTION @extschema@.rule_engine_invalidate() IS
    'Internal trigger: tells every backend that rows of this table changed.';

-- Before the statement as well: what a row trigger of the user's makes this backend read during it must be forgotten
-- when it fails. Always: a restore and a replication role change rows that backends know, too.
CREATE OR REPLACE TRIGGER rule_webhooks_invalidate_before
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_webhooks
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_webhooks ENABLE ALWAYS TRIGGER rule_webhooks_invalidate_before;
CREATE OR REPLACE TRIGGER rule_webhooks_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_webhooks
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_webhooks ENABLE ALWAYS TRIGGER rule_webhooks_invalidate;
CREATE OR REPLACE TRIGGER rule_nats_config_invalidate_before
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_nats_config
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_nats_config ENABLE ALWAYS TRIGGER rule_nats_config_invalidate_before;
CREATE OR REPLACE TRIGGER rule_nats_config_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_nats_config
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_nats_config ENABLE ALWAYS TRIGGER rule_nats_config_invalidate;
CREATE OR REPLACE TRIGGER rule_nats_streams_invalidate_before
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_nats_streams
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_nats_streams ENABLE ALWAYS TRIGGER rule_nats_streams_invalidate_before;
CREATE OR REPLACE TRIGGER rule_nats_streams_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_nats_streams
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_nats_streams ENABLE ALWAYS TRIGGER rule_nats_streams_invalidate;
CREATE OR REPLACE TRIGGER rule_engine_source_invalidate_before
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_engine_source
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_engine_source ENABLE ALWAYS TRIGGER rule_engine_source_invalidate_before;
CREATE OR REPLACE TRIGGER rule_engine_source_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_engine_source
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_engine_source ENABLE ALWAYS TRIGGER rule_engine_source_invalidate;
CREATE OR REPLACE TRIGGER rule_engine_settings_invalidate_before
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_engine_settings
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_engine_settings ENABLE ALWAYS TRIGGER rule_engine_settings_invalidate_before;
CREATE OR REPLACE TRIGGER rule_engine_settings_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_engine_settings
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_engine_settings ENABLE ALWAYS TRIGGER rule_engine_settings_invalidate;
