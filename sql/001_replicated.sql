-- Triggers that keep account of what happens to our rows fire ALWAYS: bulk loaders and replication tools set
-- session_replication_role to replica, and what they change would leave events behind. Those that only validate do not, nor
-- those of which maintenance finds what they would have done.

CREATE OR REPLACE FUNCTION @extschema@._rule_replicated()
RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN current_setting('session_replication_role') = 'replica'
       AND has_function_privilege('pg_replication_origin_session_is_setup()', 'EXECUTE')
       AND pg_replication_origin_session_is_setup();
END
$$;
COMMENT ON FUNCTION @extschema@._rule_replicated() IS
    'Internal: whether the session applies what another server has done. What that one kept account of comes along, and a second row of the same number would stop the replication.';
