-- An update changes nearly all tables. Were they locked one by one as it comes to them, a transaction that has one and wants
-- another could not end, nor could the update, and one of the two would be broken off. So it has all of them before it begins,
-- and while it waits for one it lets nobody wait for the others for long.
DO $$
DECLARE
    v_tables pg_catalog.text := (
        SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, c.relname), ', ' ORDER BY c.relname)
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'rule_engine'
        JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p')
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e'
          AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass);
    v_timeout CONSTANT pg_catalog.text := pg_catalog.current_setting('lock_timeout');
    v_until CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp() + '1 minute';
BEGIN
    PERFORM pg_catalog.set_config('lock_timeout', '100ms', true);
    LOOP
        BEGIN
            EXECUTE 'LOCK TABLE ' || v_tables || ' IN ACCESS EXCLUSIVE MODE';
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF pg_catalog.clock_timestamp() > v_until THEN
                RAISE EXCEPTION USING ERRCODE = '55P03', MESSAGE = 'other sessions have used tables of rule_engine for a minute without an end',
                    HINT = 'End their transactions (the oldest xact_start in pg_stat_activity), or stop the workers, and update again.';
            END IF;
        END;
        PERFORM pg_catalog.pg_sleep(0.2);
    END LOOP;
    PERFORM pg_catalog.set_config('lock_timeout', v_timeout, true);
END
$$;
