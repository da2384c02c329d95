-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '018_endpoint_limits';
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

-- Limits of an endpoint, which hold over all workers, and what is kept to hold them. NULL is no limit.

ALTER TABLE @extschema@.rule_webhooks
    ADD COLUMN max_concurrent integer
        CONSTRAINT rule_webhooks_max_concurrent_check CHECK (max_concurrent BETWEEN 1 AND 1000),
    ADD COLUMN max_per_second integer
        CONSTRAINT rule_webhooks_max_per_second_check CHECK (max_per_second BETWEEN 1 AND 1000000);

-- Asked by each claim, admit and report.
CREATE INDEX rule_webhooks_endpoint_limits_idx ON @extschema@.rule_webhooks (webhook_id)
    WHERE max_concurrent IS NOT NULL OR max_per_second IS NOT NULL;

-- One row per webhook with a limit, made when it is first needed. Whoever takes its events has it locked.
CREATE TABLE @extschema@.rule_webhook_buckets (
    webhook_id  integer          CONSTRAINT rule_webhook_buckets_pkey PRIMARY KEY,
    tokens      double precision NOT NULL DEFAULT 0,
    -- NULL: it is full.
    refilled_at timestamptz
);

-- The events that max_concurrent counts. A row whose event is not leased any more counts no more, and goes when the next
-- event is taken: a report, a renewal or a worker's death need not touch it.
CREATE TABLE @extschema@.rule_webhook_slots (
    webhook_id integer NOT NULL,
    message_id text    NOT NULL,
    redelivery integer NOT NULL,
    CONSTRAINT rule_webhook_slots_pkey PRIMARY KEY (webhook_id, message_id, redelivery)
);

\endif
