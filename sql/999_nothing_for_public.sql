-- PUBLIC gets nothing. Only objects that this script has just made are touched: a REVOKE that an update repeats would
-- take a DBA's own grants into the initial privileges, and dumps would lose them. A function without initial privileges
-- is a new one. A relation without them may be new or come out of pg_upgrade, which drops those that say no more than
-- the default; it gives PUBLIC nothing by itself, so that only one where PUBLIC holds something is touched.

DO $$
DECLARE
    v_object record;
    v_first boolean := NOT EXISTS (
        SELECT FROM pg_catalog.pg_init_privs i WHERE i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass
           AND i.objoid = '@extschema@._rule_source()'::pg_catalog.regprocedure);
    v_new integer := 0;
BEGIN
    FOR v_object IN
        SELECT CASE WHEN d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass THEN 'FUNCTION'
                    WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
               CASE WHEN c.oid IS NULL THEN d.objid::pg_catalog.regprocedure::text
                    ELSE d.objid::pg_catalog.regclass::text END AS name
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'rule_engine'
        LEFT JOIN pg_catalog.pg_class c
            ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid AND c.relkind IN ('r', 'p', 'v', 'S')
        WHERE d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND (c.oid IS NOT NULL OR d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_init_privs i
                          WHERE i.classoid = d.classid AND i.objoid = d.objid AND i.objsubid = 0)
          AND (c.oid IS NULL OR EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) a WHERE a.grantee = 0))
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM PUBLIC', v_object.kind, v_object.name);
        v_new := v_new + 1;
    END LOOP;
    IF NOT v_first AND (v_new > 0 OR EXISTS (SELECT FROM @extschema@.rule_engine_migrations m WHERE m.applied_at = pg_catalog.now())) THEN
        -- PostgreSQL keeps the notices of an extension's script to itself.
        RAISE WARNING 'rule_engine has new objects'
            USING HINT = 'SELECT rule_engine_create_roles() again, so that its roles may use them.';
    END IF;
END
$$;
