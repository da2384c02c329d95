-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '017_queue_row_checks';
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

-- The rows are checked by the triggers of sql/017_*.sql.

-- What only a hand can have written: a dump with it could not be restored. Counts that did not exist have no such values.
UPDATE @extschema@.rule_webhook_queue q
SET retry_count = least(greatest(q.retry_count, 0), 1000000000),
    lease_until = CASE WHEN isfinite(q.lease_until) THEN q.lease_until WHEN q.lease_until IS NOT NULL THEN now() END
WHERE q.retry_count NOT BETWEEN 0 AND 1000000000 OR NOT isfinite(q.lease_until);
UPDATE @extschema@.rule_webhook_queue q
SET redelivery = w.redelivery
FROM (SELECT r.queue_id, row_number() OVER (PARTITION BY r.webhook_id, r.message_id ORDER BY r.queue_id)
             + (SELECT coalesce(max(v.redelivery), 0) FROM @extschema@.rule_webhook_queue v
                WHERE v.webhook_id = r.webhook_id AND v.message_id = r.message_id AND v.redelivery BETWEEN 0 AND 1000000000) AS redelivery
      FROM @extschema@.rule_webhook_queue r WHERE r.redelivery NOT BETWEEN 0 AND 1000000000) w
WHERE q.queue_id = w.queue_id;

-- What a webhook has for NATS, oldest first, past all that others have there.
CREATE INDEX rule_webhook_queue_publish_webhook_idx ON @extschema@.rule_webhook_queue (webhook_id, queue_id)
    WHERE status = 'pending' AND route = 'publish';

\endif
