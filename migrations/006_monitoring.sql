-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '006_monitoring';
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

-- How long rows stay. One setting per table that grows; pristine as in rule_nats_config.
CREATE TABLE @extschema@.rule_engine_retention (
    table_name  text     NOT NULL CONSTRAINT rule_engine_retention_pkey PRIMARY KEY
                CONSTRAINT rule_engine_retention_table_name_check
                CHECK (table_name IN ('rule_nats_publish_history', 'rule_webhook_attempts', 'rule_webhook_queue',
                                      'rule_webhook_receipts', 'rule_webhook_drops')),
    keep        interval NOT NULL
                CONSTRAINT rule_engine_retention_keep_check CHECK (keep >= interval '1 hour'),
    -- NULL is for ever: a dead letter waits for somebody to look at it.
    keep_failed interval
                CONSTRAINT rule_engine_retention_keep_failed_check CHECK (keep_failed >= keep),
    pristine    boolean  NOT NULL DEFAULT false
);

INSERT INTO @extschema@.rule_engine_retention (table_name, keep, keep_failed, pristine) VALUES
    ('rule_nats_publish_history', interval '7 days',  interval '30 days', true),
    ('rule_webhook_attempts',     interval '7 days',  interval '30 days', true),
    ('rule_webhook_queue',        interval '30 days', NULL,               true),
    -- Longer than any worker is away: a receipt that is gone lets a copy in the stream be delivered again.
    ('rule_webhook_receipts',     interval '30 days', interval '30 days', true),
    ('rule_webhook_drops',        interval '30 days', interval '30 days', true);

SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_engine_retention', 'WHERE NOT pristine');

-- A hold stops deliveries and nothing else: events are accepted and wait.
ALTER TABLE @extschema@.rule_webhooks
    ADD COLUMN held_reason text,
    ADD COLUMN held_since  timestamptz,
    ADD CONSTRAINT rule_webhooks_held_check CHECK ((held_reason IS NULL) = (held_since IS NULL));

-- Rows of these live briefly and change several times: room on the page for the next version, and vacuum that comes
-- by number, not by share.
ALTER TABLE @extschema@.rule_webhook_queue SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE @extschema@.rule_webhook_receipts SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

\endif
