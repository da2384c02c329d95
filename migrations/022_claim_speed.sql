-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '022_claim_speed';
    v_schema pg_catalog.text;
    v_version pg_catalog.text;
BEGIN
    SELECT n.nspname INTO v_schema
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
    WHERE e.extname OPERATOR(pg_catalog.=) 'rule_engine';
    IF v_schema IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '42704', MESSAGE = 'extension rule_engine does not exist',
            HINT = 'Run CREATE EXTENSION rule_engine; it applies every migration.';
    END IF;
    FOR v_look IN 1 .. 2 LOOP
        EXECUTE pg_catalog.format('SELECT m.version FROM %I.rule_engine_migrations m
                                   WHERE m.name OPERATOR(pg_catalog.=) $1', v_schema) INTO v_version USING c_name;
        IF v_version IS NOT NULL THEN
            RAISE NOTICE 'migration % is there, applied by version %', c_name, v_version;
            RETURN;
        ELSIF v_look OPERATOR(pg_catalog.=) 1 THEN
            ALTER EXTENSION rule_engine UPDATE;
        END IF;
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = '55000',
        MESSAGE = pg_catalog.format('the installed files of rule_engine are older than migration %s', c_name),
        HINT = 'Install the version that this migration belongs to, then run it again.';
END
$psql$;
\if false

-- Claims that read little, however long another session keeps them from removing what they have left behind.

-- Named by no other condition than one of a lease: a look-up by key that asks for a status as well must not go through all
-- that was ever leased.
DROP INDEX @extschema@.rule_webhook_queue_lease_idx;
CREATE INDEX rule_webhook_queue_lease_idx ON @extschema@.rule_webhook_queue (lease_until)
    WHERE lease_until IS NOT NULL;

-- webhook_id + 0, so that no plan takes it for what waits for the endpoint alone, which has an index of its own. The column
-- itself is for counting by the index alone.
DROP INDEX @extschema@.rule_webhook_queue_due_idx;
CREATE INDEX rule_webhook_queue_due_idx ON @extschema@.rule_webhook_queue ((webhook_id + 0), next_retry_at, queue_id)
    INCLUDE (webhook_id) WHERE status = 'pending';

\endif
