-- Dropped, the extension leaves nothing behind; its roles belong to the cluster and to the DBA.
DROP EXTENSION rule_engine;
SELECT count(*) AS relations FROM pg_class WHERE relnamespace = 're'::regnamespace;
SELECT count(*) AS functions FROM pg_proc WHERE pronamespace = 're'::regnamespace;
SELECT count(*) AS types FROM pg_type WHERE typnamespace = 're'::regnamespace;
-- It can be made again, in another schema.
CREATE SCHEMA re2;
CREATE EXTENSION rule_engine SCHEMA re2;
SELECT re2.rule_webhook_register('again', 'https://example.com') IS NOT NULL AS registered;
DROP EXTENSION rule_engine;
DROP SCHEMA re, re2;
-- The roles that were not there before go; unless another database uses them.
DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT rolname FROM pg_roles
                  WHERE rolname IN ('rule_engine_publisher', 'rule_engine_worker', 'rule_engine_admin', 'rule_engine_monitor')
                    AND rolname NOT IN (SELECT rolname FROM t.roles_before) LOOP
        BEGIN
            EXECUTE format('DROP OWNED BY %I', v_role);
            EXECUTE format('DROP ROLE %I', v_role);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            NULL;
        END;
    END LOOP;
END $$;
