-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '029_after_a_hold';
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

-- What a hold leaves behind: time in which nothing was tried, and events that are to go at a bounded rate.

ALTER TABLE @extschema@.rule_webhooks
    -- Held or disabled.
    ADD COLUMN paused_since timestamptz,
    ADD COLUMN paused_ms bigint NOT NULL DEFAULT 0
        CONSTRAINT rule_webhooks_paused_ms_check CHECK (paused_ms BETWEEN 0 AND 31557600000000),
    -- What was due until then goes at this rate.
    ADD COLUMN resumed_at timestamptz,
    ADD COLUMN resume_per_second integer
        CONSTRAINT rule_webhooks_resume_per_second_check CHECK (resume_per_second BETWEEN 1 AND 1000000),
    ADD CONSTRAINT rule_webhooks_resumed_check CHECK (resumed_at IS NULL OR resume_per_second IS NOT NULL);

-- Since when a disabled one is, nobody has written down.
UPDATE @extschema@.rule_webhooks SET paused_since = coalesce(held_since, clock_timestamp())
WHERE held_since IS NOT NULL OR NOT enabled;

-- Beside those for max_per_second, which counts all events.
ALTER TABLE @extschema@.rule_webhook_buckets
    ADD COLUMN resume_tokens double precision NOT NULL DEFAULT 0,
    ADD COLUMN resume_refilled_at timestamptz;

DROP INDEX @extschema@.rule_webhooks_endpoint_limits_idx;
CREATE INDEX rule_webhooks_endpoint_limits_idx ON @extschema@.rule_webhooks (webhook_id)
    WHERE max_concurrent IS NOT NULL OR max_per_second IS NOT NULL OR resumed_at IS NOT NULL;

\endif
