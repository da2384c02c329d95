-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '010_queue_limits';
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

-- Limits on what waits in the queue, and what was last found there.

ALTER TABLE @extschema@.rule_webhooks
    -- NULL is no limit.
    ADD COLUMN queue_max_events bigint
        CONSTRAINT rule_webhooks_queue_max_events_check CHECK (queue_max_events > 0),
    ADD COLUMN queue_max_bytes bigint
        CONSTRAINT rule_webhooks_queue_max_bytes_check CHECK (queue_max_bytes > 0);

-- Empty where nobody has set a limit, which is then found out at once.
CREATE INDEX rule_webhooks_limited_idx ON @extschema@.rule_webhooks (webhook_id)
    WHERE queue_max_events IS NOT NULL OR queue_max_bytes IS NOT NULL;

-- Written by workers and maintenance alone: a publisher that did would wait for others, and fail in REPEATABLE READ.
-- Not dumped: it is found again.
CREATE TABLE @extschema@.rule_webhook_queue_fill (
    webhook_id     integer     CONSTRAINT rule_webhook_queue_fill_pkey PRIMARY KEY,
    waiting_events bigint      NOT NULL,
    waiting_bytes  bigint      NOT NULL,
    -- A transaction that was open when its rows could not be seen may have lower numbers than one that was not. So a number
    -- counts as passed only when all that were open when it was the last one have ended.
    up_to_queue_id bigint      NOT NULL,
    next_queue_id  bigint      NOT NULL,
    next_xid       xid8        NOT NULL,
    alarm          boolean     NOT NULL,
    measured_at    timestamptz NOT NULL,
    measuring_time interval    NOT NULL
) WITH (fillfactor = 50);

\endif
