-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '003_webhook_queue';
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

-- The queue: events that this database delivers itself, events that NATS could not take, and dead letters.

CREATE TABLE @extschema@.rule_webhook_queue (
    queue_id        bigserial   CONSTRAINT rule_webhook_queue_pkey PRIMARY KEY,
    -- No foreign key: a publisher must not lock the webhook's row. NULL is the dead letter of a stranger.
    webhook_id      integer,
    message_id      text        NOT NULL,
    -- A deliberate second delivery is an event of its own, which no receipt of the first may swallow.
    redelivery      integer     NOT NULL DEFAULT 0,
    payload         jsonb,
    payload_bytes   bytea,
    status          text        NOT NULL DEFAULT 'pending'
                    CONSTRAINT rule_webhook_queue_status_check
                    CHECK (status IN ('pending', 'processing', 'success', 'failed')),
    route           text        NOT NULL DEFAULT 'post'
                    CONSTRAINT rule_webhook_queue_route_check CHECK (route IN ('post', 'publish', 'stream')),
    retry_count     integer     NOT NULL DEFAULT 0,
    next_retry_at   timestamptz NOT NULL DEFAULT now(),
    leased_by       text,
    lease_until     timestamptz,
    rule_name       text,
    response_status integer,
    error_message   text,
    last_answer     text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    completed_at    timestamptz,
    created_by      text        NOT NULL DEFAULT session_user,
    -- The queue row is the receipt of its event on both paths, so there is one per event.
    CONSTRAINT rule_webhook_queue_event_key UNIQUE (webhook_id, message_id, redelivery),
    CONSTRAINT rule_webhook_queue_payload_check CHECK ((payload IS NULL) <> (payload_bytes IS NULL)),
    CONSTRAINT rule_webhook_queue_stranger_check CHECK (webhook_id IS NOT NULL OR status = 'failed'),
    CONSTRAINT rule_webhook_queue_lease_check
        CHECK ((status = 'processing') = (leased_by IS NOT NULL) AND (leased_by IS NULL) = (lease_until IS NULL))
);

-- Claims go from webhook to webhook and take the oldest due row of each.
CREATE INDEX rule_webhook_queue_due_idx ON @extschema@.rule_webhook_queue (webhook_id, next_retry_at, queue_id)
    WHERE status = 'pending';
CREATE INDEX rule_webhook_queue_lease_idx ON @extschema@.rule_webhook_queue (lease_until)
    WHERE status = 'processing';
-- What NATS could not take goes back to it in the order in which it was accepted.
CREATE INDEX rule_webhook_queue_publish_idx ON @extschema@.rule_webhook_queue (queue_id)
    WHERE route = 'publish' AND status IN ('pending', 'processing');
CREATE INDEX rule_webhook_queue_dead_idx ON @extschema@.rule_webhook_queue (webhook_id, queue_id)
    WHERE status = 'failed';
CREATE INDEX rule_webhook_queue_stranger_idx ON @extschema@.rule_webhook_queue (message_id)
    WHERE webhook_id IS NULL;

SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_queue', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_queue_queue_id_seq', '');

\endif
