-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '019_order_key';
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

-- Strict order of the events of one webhook that have the same value at a path of their payload.

ALTER TABLE @extschema@.rule_webhooks
    -- As #>> takes it. NULL is no order.
    ADD COLUMN order_key text[]
        CONSTRAINT rule_webhooks_order_key_check
        CHECK (order_key IS NULL OR (publish_mode = 'queue' AND array_ndims(order_key) = 1 AND array_position(order_key, NULL) IS NULL)),
    ADD COLUMN on_dead text NOT NULL DEFAULT 'block'
        CONSTRAINT rule_webhooks_on_dead_check CHECK (on_dead IN ('block', 'skip'));

ALTER TABLE @extschema@.rule_webhook_queue
    -- The value, as it was accepted. A row with one whose next_retry_at is infinity waits for its turn.
    ADD COLUMN order_key text,
    -- A redelivery takes the place of its original. NULL is queue_id: nobody knows it before the row is there.
    ADD COLUMN order_place bigint;

-- What of a key has not ended: by status, so that the first that waits, the first dead letter and what is being sent are
-- found at once, however many there are of the others. webhook_id + 0, since a plan that takes an index by webhook_id
-- reads all that waits for the webhook.
CREATE INDEX rule_webhook_queue_order_idx ON @extschema@.rule_webhook_queue
    (order_key, (webhook_id + 0), status, (coalesce(order_place, queue_id)), queue_id)
    WHERE order_key IS NOT NULL AND status <> 'success' AND redelivered_at IS NULL;

-- Keys whose next event a worker is to look for, since whoever ended the one before it could not. Only inserted into and
-- deleted from, so that nobody waits here.
CREATE TABLE @extschema@.rule_webhook_turns (
    turn_id    bigserial CONSTRAINT rule_webhook_turns_pkey PRIMARY KEY,
    webhook_id integer   NOT NULL,
    -- NULL: all keys of the webhook that have a dead letter.
    order_key  text
);

SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_turns', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_turns_turn_id_seq', '');

\endif
