-- Backends keep webhooks and configurations; a change of these tables makes each of them look again.

CREATE OR REPLACE FUNCTION @extschema@.rule_engine_invalidate()
RETURNS trigger LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_engine_invalidate';
COMMENT ON FUNCTION @extschema@.rule_engine_invalidate() IS
    'Internal trigger: tells every backend that rows of this table changed.';

CREATE OR REPLACE TRIGGER rule_webhooks_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_webhooks
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
CREATE OR REPLACE TRIGGER rule_nats_config_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_nats_config
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
CREATE OR REPLACE TRIGGER rule_nats_streams_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_nats_streams
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
CREATE OR REPLACE TRIGGER rule_engine_source_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_engine_source
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
