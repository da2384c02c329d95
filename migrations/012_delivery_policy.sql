-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '012_delivery_policy';
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

-- What follows a failure: how long an event is tried, which endpoints are left alone, which events are run alone.

ALTER TABLE @extschema@.rule_webhooks
    -- 0 makes max_retries the limit of outages, too.
    ADD COLUMN give_up_after interval NOT NULL DEFAULT '3 days'
        CONSTRAINT rule_webhooks_give_up_after_check CHECK (give_up_after >= interval '0'),
    ADD COLUMN hold_for interval NOT NULL DEFAULT '7 days'
        CONSTRAINT rule_webhooks_hold_for_check CHECK (hold_for > interval '0');

-- Each claim asks for holds that last too long.
CREATE INDEX rule_webhooks_held_idx ON @extschema@.rule_webhooks (held_since) WHERE held_since IS NOT NULL;

-- retry_count goes on counting the tries; refusals are those of them that were answered and refused.
ALTER TABLE @extschema@.rule_webhook_queue
    ADD COLUMN refusals integer NOT NULL DEFAULT 0,
    ADD COLUMN first_tried_at timestamptz,
    ADD COLUMN lease_losses smallint NOT NULL DEFAULT 0,
    -- Said here, because the row of the redelivery may be cleaned away before this one.
    ADD COLUMN redelivered_at timestamptz;
ALTER TABLE @extschema@.rule_webhook_receipts
    ADD COLUMN refusals integer NOT NULL DEFAULT 0,
    ADD COLUMN first_tried_at timestamptz,
    ADD COLUMN lease_losses smallint NOT NULL DEFAULT 0;

-- Events that are run alone: few, and asked for at each claim and admit.
CREATE INDEX rule_webhook_queue_suspect_idx ON @extschema@.rule_webhook_queue (queue_id)
    WHERE lease_losses >= 3 AND status IN ('pending', 'processing');

-- How an endpoint does. A row comes with its first failure; one that does well is never written to.
CREATE TABLE @extschema@.rule_webhook_endpoints (
    webhook_id      integer     CONSTRAINT rule_webhook_endpoints_pkey PRIMARY KEY,
    failing_since   timestamptz,
    last_success_at timestamptz,
    outages         integer     NOT NULL DEFAULT 0,
    breaker_state   text        NOT NULL DEFAULT 'closed'
                    CONSTRAINT rule_webhook_endpoints_breaker_state_check
                    CHECK (breaker_state IN ('closed', 'open', 'half-open')),
    -- Requests that began before it are of the state before.
    breaker_since   timestamptz NOT NULL DEFAULT '-infinity',
    open_ms         integer,
    open_until      timestamptz,
    CONSTRAINT rule_webhook_endpoints_open_check
        CHECK ((breaker_state = 'closed') = (open_until IS NULL) AND (open_until IS NULL) = (open_ms IS NULL)),
    CONSTRAINT rule_webhook_endpoints_failing_check
        CHECK (failing_since IS NOT NULL OR (outages = 0 AND breaker_state = 'closed'))
);

CREATE INDEX rule_webhook_endpoints_failing_idx ON @extschema@.rule_webhook_endpoints (webhook_id)
    WHERE failing_since IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_endpoints', '');

-- Their arguments or results are others from here on.
DROP FUNCTION IF EXISTS @extschema@._rule_worker_attempts(jsonb);
DROP FUNCTION IF EXISTS @extschema@._rule_leased(text, jsonb);
DROP FUNCTION IF EXISTS @extschema@._rule_events_take(text, integer[], text[], text[], bigint[]);
DROP FUNCTION IF EXISTS @extschema@._rule_event_fail(bigint, text, integer, text, integer, integer, text, integer, integer, text, text);
DROP FUNCTION IF EXISTS @extschema@._rule_event_move(integer, text, integer, integer, text, text, integer, integer, text, text);
DROP FUNCTION IF EXISTS @extschema@._rule_event_store(integer, text, integer, integer, bytea, jsonb, boolean, integer, integer, text, text);

\endif
