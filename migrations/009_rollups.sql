-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '009_rollups';
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

-- What the views need of history and attempts, counted by maintenance, so that no view reads ten million rows. Made from
-- rows that a dump takes along, and therefore not dumped. Buckets hold latencies by their logarithm: the n-th those up to
-- 1.1 to the power of n milliseconds, -32768 those of a microsecond or less. So a percentile is 4.8 per cent off at most.

-- By the slot of its rows, so that what leaves with a day's slot leaves here with it.
CREATE TABLE @extschema@.rule_nats_publish_hours (
    webhook_id         integer     NOT NULL,
    slot               smallint    NOT NULL,
    hour               timestamptz NOT NULL,
    success            boolean     NOT NULL,
    subject            text        NOT NULL,
    publishes          bigint      NOT NULL,
    duplicates         bigint      NOT NULL,
    latencies          bigint      NOT NULL,
    latency_sum_ms     numeric,
    latency_min_ms     numeric,
    latency_max_ms     numeric,
    first_published_at timestamptz NOT NULL,
    last_published_at  timestamptz NOT NULL,
    buckets            smallint[],
    bucket_counts      bigint[],
    CONSTRAINT rule_nats_publish_hours_pkey PRIMARY KEY (webhook_id, slot, hour, success, subject)
);

-- No view of attempts asks for hours.
CREATE TABLE @extschema@.rule_webhook_attempt_days (
    webhook_id      integer     NOT NULL,
    slot            smallint    NOT NULL,
    attempts        bigint      NOT NULL,
    delivered       bigint      NOT NULL,
    durations       bigint      NOT NULL,
    duration_sum_ms double precision,
    duration_min_ms real,
    duration_max_ms real,
    last_started_at timestamptz NOT NULL,
    buckets         smallint[],
    bucket_counts   bigint[],
    CONSTRAINT rule_webhook_attempt_days_pkey PRIMARY KEY (webhook_id, slot)
);

-- How far that has come. Rows are counted in the order of their ids, not of their times: an attempt is recorded as long
-- after it was made as its worker was cut off.
CREATE TABLE @extschema@.rule_engine_upkeep (
    table_name    text    NOT NULL CONSTRAINT rule_engine_upkeep_pkey PRIMARY KEY,
    maintained_at timestamptz,
    rolled_up_at  timestamptz,
    more          boolean NOT NULL DEFAULT false,
    -- Every row up to this id is counted, each later one is read by the views themselves.
    rolled_up_to  bigint  NOT NULL DEFAULT 0,
    -- Whoever drew an id up to noted_id did so in a transaction before noted_xid.
    noted_id      bigint,
    noted_xid     xid8,
    CONSTRAINT rule_engine_upkeep_noted_check CHECK ((noted_id IS NULL) = (noted_xid IS NULL))
);

INSERT INTO @extschema@.rule_engine_upkeep (table_name) VALUES ('rule_nats_publish_history'), ('rule_webhook_attempts');

-- Failures are few, and these cost nothing but them. A receipt's retry_count goes back to zero with the delivery, so that
-- delivering at the first try stays an update within the page.
CREATE INDEX rule_nats_publish_history_failed_idx ON @extschema@.rule_nats_publish_history (published_at)
    WHERE NOT success;
CREATE INDEX rule_webhook_queue_failed_idx ON @extschema@.rule_webhook_queue (coalesce(completed_at, started_at, created_at))
    WHERE status = 'failed';
CREATE INDEX rule_webhook_receipts_retry_idx ON @extschema@.rule_webhook_receipts (webhook_id)
    WHERE retry_count > 0;

\endif
