-- Not current_setting(): before the library is loaded any user can set a placeholder of that name.
CREATE OR REPLACE FUNCTION @extschema@._rule_publish_off()
RETURNS boolean LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_publish_off';
COMMENT ON FUNCTION @extschema@._rule_publish_off() IS
    'Internal: whether rule_engine.publish is off.';
