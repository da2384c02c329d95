-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '001_initial_schema';
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

-- What every installation has: the ledger of migrations, the name of this database, the registry of webhooks.

-- Go and NATS speak UTF-8; a database that does not would send bytes that are no JSON.
DO $$
BEGIN
    IF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
        RAISE feature_not_supported USING
            MESSAGE = pg_catalog.format('rule_engine needs a database in UTF8, and this one is in %s',
                                        pg_catalog.current_setting('server_encoding')),
            HINT = 'Create the database with ENCODING ''UTF8''.';
    END IF;
END
$$;

CREATE TABLE @extschema@.rule_engine_migrations (
    migration  integer     NOT NULL CONSTRAINT rule_engine_migrations_pkey PRIMARY KEY,
    name       text        NOT NULL,
    version    text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- One row. It is not dumped: a restored copy is another database and must not be taken for its origin.
CREATE TABLE @extschema@.rule_engine_source (
    "only"             boolean     NOT NULL DEFAULT true
                       CONSTRAINT rule_engine_source_pkey PRIMARY KEY
                       CONSTRAINT rule_engine_source_only_check CHECK ("only"),
    source_id          uuid        NOT NULL DEFAULT gen_random_uuid(),
    database_oid       oid         NOT NULL,
    history_kept_since timestamptz NOT NULL DEFAULT now(),
    -- When the source id was taken over from another database, whose transactions this one does not know.
    adopted_at         timestamptz NOT NULL DEFAULT '-infinity'
);

-- A source id that was never used before has no message older than its history.
INSERT INTO @extschema@.rule_engine_source (database_oid, history_kept_since)
SELECT oid, '-infinity' FROM pg_catalog.pg_database WHERE datname = current_database();

-- The CHECKs below are the catalog's word for what a trigger refuses first: a violated CHECK prints the whole
-- row, and a URL or a header can be a secret.
CREATE TABLE @extschema@.rule_webhooks (
    webhook_id               serial      CONSTRAINT rule_webhooks_pkey PRIMARY KEY,
    webhook_name             text        NOT NULL CONSTRAINT rule_webhooks_webhook_name_key UNIQUE
                             CONSTRAINT rule_webhooks_webhook_name_check CHECK (webhook_name !~ '[[:cntrl:]]'),
    description              text,
    webhook_url              text        NOT NULL,
    http_method              text        NOT NULL DEFAULT 'POST'
                             CONSTRAINT rule_webhooks_http_method_check
                             CHECK (http_method IN ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
    headers                  jsonb       NOT NULL DEFAULT '{}',
    timeout_ms               integer     NOT NULL DEFAULT 5000
                             CONSTRAINT rule_webhooks_timeout_ms_check CHECK (timeout_ms BETWEEN 1 AND 300000),
    retry_enabled            boolean     NOT NULL DEFAULT true,
    max_retries              integer     NOT NULL DEFAULT 3
                             CONSTRAINT rule_webhooks_max_retries_check CHECK (max_retries BETWEEN 0 AND 1000),
    retry_delay_ms           integer     NOT NULL DEFAULT 1000
                             CONSTRAINT rule_webhooks_retry_delay_ms_check CHECK (retry_delay_ms BETWEEN 0 AND 3600000),
    retry_backoff_multiplier numeric     NOT NULL DEFAULT 2.0
                             CONSTRAINT rule_webhooks_retry_backoff_multiplier_check
                             CHECK (retry_backoff_multiplier >= 1 AND retry_backoff_multiplier <= 100),
    enabled                  boolean     NOT NULL DEFAULT true,
    publish_mode             text        NOT NULL DEFAULT 'queue'
                             CONSTRAINT rule_webhooks_publish_mode_check CHECK (publish_mode IN ('queue', 'nats', 'both')),
    nats_enabled             boolean     NOT NULL DEFAULT false,
    nats_subject             text,
    nats_config_id           integer,
    tags                     text[]      NOT NULL DEFAULT '{}',
    created_at               timestamptz NOT NULL DEFAULT now(),
    created_by               text        NOT NULL DEFAULT session_user,
    updated_at               timestamptz NOT NULL DEFAULT now(),
    nats_fallback            text        NOT NULL DEFAULT 'queue'
                             CONSTRAINT rule_webhooks_nats_fallback_check CHECK (nats_fallback IN ('queue', 'record', 'error')),
    store_payload            boolean     NOT NULL DEFAULT true,
    -- Workers ask "what changed since this snapshot", which no clock can answer: a late commit would be missed.
    changed_xid              xid8        NOT NULL DEFAULT pg_current_xact_id()
);

SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhooks', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_webhooks_webhook_id_seq', '');

\endif
