-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '033_redelivery_rate';
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

-- Redeliveries go at a rate of their own, whatever else the webhook sends.

ALTER TABLE @extschema@.rule_webhooks
    ADD COLUMN redeliver_per_second integer
        CONSTRAINT rule_webhooks_redeliver_per_second_check CHECK (redeliver_per_second BETWEEN 1 AND 1000000);

ALTER TABLE @extschema@.rule_webhook_queue
    -- It goes at that rate.
    ADD COLUMN paced boolean NOT NULL DEFAULT false;

ALTER TABLE @extschema@.rule_webhook_buckets
    ADD COLUMN redeliver_tokens double precision NOT NULL DEFAULT 0,
    ADD COLUMN redeliver_refilled_at timestamptz;

-- Two lanes of a webhook, so that a claim for one does not read what is long due in the other.
DROP INDEX @extschema@.rule_webhook_queue_post_idx;
CREATE INDEX rule_webhook_queue_post_idx ON @extschema@.rule_webhook_queue (webhook_id, paced, next_retry_at, queue_id)
    WHERE status = 'pending' AND route <> 'publish';

DROP INDEX @extschema@.rule_webhooks_endpoint_limits_idx;
CREATE INDEX rule_webhooks_endpoint_limits_idx ON @extschema@.rule_webhooks (webhook_id)
    WHERE max_concurrent IS NOT NULL OR max_per_second IS NOT NULL OR resumed_at IS NOT NULL OR redeliver_per_second IS NOT NULL;

\endif
