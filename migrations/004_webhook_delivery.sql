-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '004_webhook_delivery';
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

-- What delivery keeps: signing secrets, receipts of stream messages, a record of each try, what was left out.

CREATE TABLE @extschema@.rule_webhook_secrets (
    webhook_id  integer     NOT NULL,
    secret_name text        NOT NULL,
    secret      text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    CONSTRAINT rule_webhook_secrets_pkey PRIMARY KEY (webhook_id, secret_name)
);

CREATE INDEX rule_webhook_secrets_expires_at_idx ON @extschema@.rule_webhook_secrets (expires_at)
    WHERE expires_at IS NOT NULL;

-- Taken before a stream message is sent, so that no second copy is. An event with a queue row needs none.
CREATE TABLE @extschema@.rule_webhook_receipts (
    webhook_id  integer     NOT NULL,
    message_id  text        NOT NULL,
    redelivery  integer     NOT NULL DEFAULT 0,
    state       text        NOT NULL
                CONSTRAINT rule_webhook_receipts_state_check CHECK (state IN ('leased', 'waiting', 'done')),
    leased_by   text,
    lease_until timestamptz,
    retry_count integer     NOT NULL DEFAULT 0,
    stream      text,
    sequence    bigint,
    taken_at    timestamptz NOT NULL DEFAULT now(),
    done_at     timestamptz,
    CONSTRAINT rule_webhook_receipts_pkey PRIMARY KEY (webhook_id, message_id, redelivery),
    CONSTRAINT rule_webhook_receipts_lease_check
        CHECK ((state = 'leased') = (leased_by IS NOT NULL) AND (leased_by IS NULL) = (lease_until IS NULL))
);

-- A ring of ten days. The slot is a plain column, so that a writer needs no DDL and a day is emptied by TRUNCATE.
CREATE TABLE @extschema@.rule_webhook_attempts (
    attempt_id    bigserial   NOT NULL,
    slot          smallint    NOT NULL
                  DEFAULT ((extract(epoch FROM clock_timestamp())::bigint / 86400) % 10)::smallint,
    webhook_id    integer     NOT NULL,
    message_id    text        NOT NULL,
    redelivery    integer     NOT NULL DEFAULT 0,
    try           integer     NOT NULL,
    path          text        NOT NULL
                  CONSTRAINT rule_webhook_attempts_path_check CHECK (path IN ('stream', 'queue')),
    worker        text        NOT NULL,
    started_at    timestamptz NOT NULL,
    duration_ms   real,
    status        integer,
    outcome       text        NOT NULL
                  CONSTRAINT rule_webhook_attempts_outcome_check CHECK (outcome IN ('delivered', 'again', 'dead')),
    error_message text,
    answer        text,
    CONSTRAINT rule_webhook_attempts_pkey PRIMARY KEY (attempt_id, slot)
) PARTITION BY LIST (slot);

CREATE INDEX rule_webhook_attempts_event_idx ON @extschema@.rule_webhook_attempts (webhook_id, message_id);

CREATE TABLE @extschema@.rule_webhook_attempts_0 PARTITION OF @extschema@.rule_webhook_attempts FOR VALUES IN (0);
CREATE TABLE @extschema@.rule_webhook_attempts_1 PARTITION OF @extschema@.rule_webhook_attempts FOR VALUES IN (1);
CREATE TABLE @extschema@.rule_webhook_attempts_2 PARTITION OF @extschema@.rule_webhook_attempts FOR VALUES IN (2);
CREATE TABLE @extschema@.rule_webhook_attempts_3 PARTITION OF @extschema@.rule_webhook_attempts FOR VALUES IN (3);
CREATE TABLE @extschema@.rule_webhook_attempts_4 PARTITION OF @extschema@.rule_webhook_attempts FOR VALUES IN (4);
CREATE TABLE @extschema@.rule_webhook_attempts_5 PARTITION OF @extschema@.rule_webhook_attempts FOR VALUES IN (5);
CREATE TABLE @extschema@.rule_webhook_attempts_6 PARTITION OF @extschema@.rule_webhook_attempts FOR VALUES IN (6);
CREATE TABLE @extschema@.rule_webhook_attempts_7 PARTITION OF @extschema@.rule_webhook_attempts FOR VALUES IN (7);
CREATE TABLE @extschema@.rule_webhook_attempts_8 PARTITION OF @extschema@.rule_webhook_attempts FOR VALUES IN (8);
CREATE TABLE @extschema@.rule_webhook_attempts_9 PARTITION OF @extschema@.rule_webhook_attempts FOR VALUES IN (9);

-- What a worker left out of a stream, and why: the only place where SQL tells what rolled back.
CREATE TABLE @extschema@.rule_webhook_drops (
    drop_id     bigserial   CONSTRAINT rule_webhook_drops_pkey PRIMARY KEY,
    webhook_id  integer,
    message_id  text,
    transaction xid8,
    reason      text        NOT NULL,
    worker      text        NOT NULL,
    dropped_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX rule_webhook_drops_event_idx ON @extschema@.rule_webhook_drops (webhook_id, message_id);

SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_secrets', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_receipts', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_0', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_1', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_2', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_3', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_4', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_5', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_6', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_7', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_8', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_9', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_attempts_attempt_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_drops', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhook_drops_drop_id_seq', '');

\endif
