-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '032_open_events';
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

-- An event of a transaction that stays open for long leaves the stream, which has few places for what is taken and not
-- settled. It is no row of the queue before its transaction has committed: its key there may be that transaction's own.

CREATE TABLE @extschema@.rule_webhook_open_events (
    -- No foreign key: the webhook may be registered by that very transaction.
    webhook_id      integer     NOT NULL,
    message_id      text        NOT NULL,
    -- The (sub)transaction that published it; a message id may be tried again by another.
    transaction     xid8        NOT NULL,
    -- The whole of it. One can have a savepoint for each of its events.
    top_transaction xid8        NOT NULL,
    stream          text,
    sequence        bigint,
    published_at    timestamptz NOT NULL,
    -- As it came. A jsonb can be far longer as text than it is as such.
    payload         bytea       NOT NULL,
    traceparent     text,
    look_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT rule_webhook_open_events_pkey PRIMARY KEY (webhook_id, message_id, transaction)
);

-- Each claim steps from transaction to transaction.
CREATE INDEX rule_webhook_open_events_transaction_idx ON @extschema@.rule_webhook_open_events (top_transaction, look_at);

SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_open_events', '');

\endif
