\echo Use "CREATE EXTENSION rule_engine" to load this file. \quit

-- migrations/001_initial_schema.sql

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

INSERT INTO @extschema@.rule_engine_migrations (migration, name, version) VALUES (1, '001_initial_schema', '0.1.0');

-- migrations/002_builtin_functions.sql

-- Functions for conditions and payloads. They keep no state: all of them are in sql/002_*.sql.

INSERT INTO @extschema@.rule_engine_migrations (migration, name, version) VALUES (2, '002_builtin_functions', '0.1.0');

-- migrations/003_webhook_queue.sql

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

INSERT INTO @extschema@.rule_engine_migrations (migration, name, version) VALUES (3, '003_webhook_queue', '0.1.0');

-- migrations/004_webhook_delivery.sql

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

INSERT INTO @extschema@.rule_engine_migrations (migration, name, version) VALUES (4, '004_webhook_delivery', '0.1.0');

-- migrations/005_event_rules.sql

-- The trigger function that publishes rows is in sql/005_trigger.sql; it keeps no state.

INSERT INTO @extschema@.rule_engine_migrations (migration, name, version) VALUES (5, '005_event_rules', '0.1.0');

-- migrations/006_monitoring.sql

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

INSERT INTO @extschema@.rule_engine_migrations (migration, name, version) VALUES (6, '006_monitoring', '0.1.0');

-- migrations/007_nats_integration.sql

-- NATS: where it is, which streams there should be, what was published to them, who consumes them.

-- As in rule_webhooks a trigger refuses first what the CHECKs say: the row holds secrets.
CREATE TABLE @extschema@.rule_nats_config (
    config_id              serial      CONSTRAINT rule_nats_config_pkey PRIMARY KEY,
    config_name            text        NOT NULL CONSTRAINT rule_nats_config_config_name_key UNIQUE,
    nats_url               text        NOT NULL DEFAULT 'nats://localhost:4222',
    nats_cluster_urls      text[],
    auth_type              text        NOT NULL DEFAULT 'none'
                           CONSTRAINT rule_nats_config_auth_type_check
                           CHECK (auth_type IN ('none', 'token', 'userpass', 'credentials', 'nkey')),
    auth_token             text,
    auth_user              text,
    auth_password          text,
    auth_credentials_file  text,
    auth_nkey_seed         text,
    tls_enabled            boolean     NOT NULL DEFAULT false,
    tls_cert_file          text,
    tls_key_file           text,
    tls_ca_file            text,
    max_connections        integer     NOT NULL DEFAULT 10
                           CONSTRAINT rule_nats_config_max_connections_check CHECK (max_connections BETWEEN 1 AND 1000),
    connection_timeout_ms  integer     NOT NULL DEFAULT 1000
                           CONSTRAINT rule_nats_config_connection_timeout_ms_check
                           CHECK (connection_timeout_ms BETWEEN 1 AND 600000),
    publish_timeout_ms     integer     NOT NULL DEFAULT 2000
                           CONSTRAINT rule_nats_config_publish_timeout_ms_check
                           CHECK (publish_timeout_ms BETWEEN 1 AND 600000),
    reconnect_delay_ms     integer     NOT NULL DEFAULT 2000
                           CONSTRAINT rule_nats_config_reconnect_delay_ms_check
                           CHECK (reconnect_delay_ms BETWEEN 0 AND 600000),
    max_reconnect_attempts integer     NOT NULL DEFAULT -1
                           CONSTRAINT rule_nats_config_max_reconnect_attempts_check CHECK (max_reconnect_attempts >= -1),
    jetstream_enabled      boolean     NOT NULL DEFAULT true,
    stream_name            text        NOT NULL DEFAULT 'WEBHOOKS',
    subject_prefix         text        NOT NULL DEFAULT 'webhooks',
    enabled                boolean     NOT NULL DEFAULT true,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    -- True while the row is as the extension made it: then a dump leaves it out and a restored row replaces it.
    pristine               boolean     NOT NULL DEFAULT false
);

CREATE TABLE @extschema@.rule_nats_streams (
    stream_id                serial      CONSTRAINT rule_nats_streams_pkey PRIMARY KEY,
    config_id                integer     NOT NULL
                             CONSTRAINT rule_nats_streams_config_id_fkey
                             REFERENCES @extschema@.rule_nats_config (config_id) DEFERRABLE,
    stream_name              text        NOT NULL,
    subjects                 text[]      NOT NULL,
    description              text,
    storage_type             text        NOT NULL DEFAULT 'file'
                             CONSTRAINT rule_nats_streams_storage_type_check CHECK (storage_type IN ('file', 'memory')),
    -- 0 in a limit is no limit.
    max_messages             bigint      NOT NULL DEFAULT 1000000
                             CONSTRAINT rule_nats_streams_max_messages_check CHECK (max_messages >= 0),
    max_bytes                bigint      NOT NULL DEFAULT 1073741824
                             CONSTRAINT rule_nats_streams_max_bytes_check CHECK (max_bytes >= 0),
    max_age_seconds          bigint      NOT NULL DEFAULT 604800
                             CONSTRAINT rule_nats_streams_max_age_seconds_check
                             CHECK (max_age_seconds BETWEEN 0 AND 3153600000),
    retention_policy         text        NOT NULL DEFAULT 'limits'
                             CONSTRAINT rule_nats_streams_retention_policy_check
                             CHECK (retention_policy IN ('limits', 'interest', 'workqueue')),
    discard_policy           text        NOT NULL DEFAULT 'old'
                             CONSTRAINT rule_nats_streams_discard_policy_check CHECK (discard_policy IN ('old', 'new')),
    replicas                 integer     NOT NULL DEFAULT 1
                             CONSTRAINT rule_nats_streams_replicas_check CHECK (replicas BETWEEN 1 AND 5),
    duplicate_window_seconds integer     NOT NULL DEFAULT 120
                             CONSTRAINT rule_nats_streams_duplicate_window_seconds_check
                             CHECK (duplicate_window_seconds BETWEEN 1 AND 31536000),
    enabled                  boolean     NOT NULL DEFAULT true,
    created_at               timestamptz NOT NULL DEFAULT now(),
    pristine                 boolean     NOT NULL DEFAULT false,
    CONSTRAINT rule_nats_streams_config_id_stream_name_key UNIQUE (config_id, stream_name)
);

INSERT INTO @extschema@.rule_nats_config (config_name, pristine) VALUES ('default', true);

-- A work queue that refuses what does not fit: nothing that was not delivered is ever dropped.
INSERT INTO @extschema@.rule_nats_streams (config_id, stream_name, subjects, description, max_messages,
                                           max_age_seconds, retention_policy, discard_policy, pristine)
SELECT config_id, 'WEBHOOKS', '{webhooks.>}', 'Webhook events until they are delivered', 0, 0, 'workqueue', 'new', true
FROM @extschema@.rule_nats_config WHERE config_name = 'default';

ALTER TABLE @extschema@.rule_webhooks
    ADD CONSTRAINT rule_webhooks_nats_config_id_fkey
    FOREIGN KEY (nats_config_id) REFERENCES @extschema@.rule_nats_config (config_id) DEFERRABLE;

-- A ring of ten days, as the attempts are.
CREATE TABLE @extschema@.rule_nats_publish_history (
    publish_id      bigserial   NOT NULL,
    webhook_id      integer     NOT NULL,
    subject         text        NOT NULL,
    payload         jsonb,
    headers         jsonb,
    published_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    message_id      text        NOT NULL,
    sequence_number bigint,
    success         boolean     NOT NULL,
    error_message   text,
    latency_ms      numeric,
    triggered_by    text,
    expires_at      timestamptz DEFAULT now() + interval '7 days',
    slot            smallint    NOT NULL
                    DEFAULT ((extract(epoch FROM clock_timestamp())::bigint / 86400) % 10)::smallint,
    -- The (sub)transaction that published: this row is visible exactly when that one committed.
    transaction     xid8,
    unknown         boolean     NOT NULL DEFAULT false,
    duplicate       boolean     NOT NULL DEFAULT false,
    CONSTRAINT rule_nats_publish_history_pkey PRIMARY KEY (publish_id, slot)
) PARTITION BY LIST (slot);

CREATE INDEX rule_nats_publish_history_event_idx ON @extschema@.rule_nats_publish_history (webhook_id, message_id);

CREATE TABLE @extschema@.rule_nats_publish_history_0 PARTITION OF @extschema@.rule_nats_publish_history FOR VALUES IN (0);
CREATE TABLE @extschema@.rule_nats_publish_history_1 PARTITION OF @extschema@.rule_nats_publish_history FOR VALUES IN (1);
CREATE TABLE @extschema@.rule_nats_publish_history_2 PARTITION OF @extschema@.rule_nats_publish_history FOR VALUES IN (2);
CREATE TABLE @extschema@.rule_nats_publish_history_3 PARTITION OF @extschema@.rule_nats_publish_history FOR VALUES IN (3);
CREATE TABLE @extschema@.rule_nats_publish_history_4 PARTITION OF @extschema@.rule_nats_publish_history FOR VALUES IN (4);
CREATE TABLE @extschema@.rule_nats_publish_history_5 PARTITION OF @extschema@.rule_nats_publish_history FOR VALUES IN (5);
CREATE TABLE @extschema@.rule_nats_publish_history_6 PARTITION OF @extschema@.rule_nats_publish_history FOR VALUES IN (6);
CREATE TABLE @extschema@.rule_nats_publish_history_7 PARTITION OF @extschema@.rule_nats_publish_history FOR VALUES IN (7);
CREATE TABLE @extschema@.rule_nats_publish_history_8 PARTITION OF @extschema@.rule_nats_publish_history FOR VALUES IN (8);
CREATE TABLE @extschema@.rule_nats_publish_history_9 PARTITION OF @extschema@.rule_nats_publish_history FOR VALUES IN (9);

CREATE TABLE @extschema@.rule_nats_consumer_stats (
    consumer_id            serial      CONSTRAINT rule_nats_consumer_stats_pkey PRIMARY KEY,
    stream_name            text        NOT NULL,
    consumer_name          text        NOT NULL,
    queue_group            text,
    ack_policy             text        NOT NULL DEFAULT 'explicit',
    max_deliver            integer     NOT NULL DEFAULT -1,
    messages_delivered     bigint      NOT NULL DEFAULT 0,
    messages_acknowledged  bigint      NOT NULL DEFAULT 0,
    messages_pending       bigint      NOT NULL DEFAULT 0,
    messages_redelivered   bigint      NOT NULL DEFAULT 0,
    avg_processing_time_ms numeric,
    last_active_at         timestamptz,
    active                 boolean     NOT NULL DEFAULT true,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    -- When the worker last said that it reaches the stream: while none does, the queue posts what NATS cannot take.
    reached_at             timestamptz,
    CONSTRAINT rule_nats_consumer_stats_stream_name_consumer_name_key UNIQUE (stream_name, consumer_name)
);

SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_config', 'WHERE NOT pristine');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_config_config_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_streams', 'WHERE NOT pristine');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_streams_stream_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_0', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_1', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_2', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_3', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_4', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_5', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_6', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_7', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_8', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_9', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_publish_history_publish_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_consumer_stats', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.rule_nats_consumer_stats_consumer_id_seq', '');

INSERT INTO @extschema@.rule_engine_migrations (migration, name, version) VALUES (7, '007_nats_integration', '0.1.0');

-- sql/001_check_http.sql
-- What a webhook may ask of HTTP. A URL is never repeated in an error: its path or query can be the secret.

CREATE OR REPLACE FUNCTION @extschema@._rule_check_url(p_url text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_authority text;
    v_host text[];
BEGIN
    IF p_url IS NULL THEN
        PERFORM @extschema@._rule_refuse('webhook_url must not be NULL',
            'Give a URL such as https://example.com/hook.', '22004');
    END IF;
    -- Blanks, backslashes and control characters are where two URL parsers see two hosts.
    IF octet_length(p_url) > 2048 OR p_url ~ '[[:cntrl:][:space:]\\]' OR p_url !~* '^https?://' THEN
        PERFORM @extschema@._rule_refuse('webhook_url is malformed',
            'A URL starts with http:// or https://, has at most 2048 bytes, no blanks, backslashes or control characters.');
    END IF;
    v_authority := regexp_replace(substring(p_url FROM '(?i)^https?://([^/?#]*)'), '^.*@', '');
    v_host := regexp_match(v_authority, '^(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?$');
    IF v_host IS NULL THEN
        PERFORM @extschema@._rule_refuse('webhook_url has no valid host',
            'Give a URL such as https://example.com/hook or https://example.com:8443/hook.');
    ELSIF v_host[2] IS NOT NULL AND v_host[2]::integer NOT BETWEEN 1 AND 65535 THEN
        PERFORM @extschema@._rule_refuse('webhook_url has no valid port', 'A port is a number from 1 to 65535.');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_url(text) IS
    'Internal: refuses a URL that no worker could call.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_headers(p_headers jsonb)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
    v_value jsonb;
BEGIN
    IF p_headers IS NULL OR jsonb_typeof(p_headers) <> 'object' THEN
        PERFORM @extschema@._rule_refuse('headers must be a JSON object',
            'Give names and texts, such as {"Authorization": "Bearer ..."}, or {}.');
    END IF;
    FOR v_name, v_value IN SELECT key, value FROM jsonb_each(p_headers) LOOP
        IF v_name !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,255}$' THEN
            PERFORM @extschema@._rule_refuse('a name in headers is malformed',
                'A header''s name has letters, digits and -, no blanks and no line breaks.');
        ELSIF lower(v_name) IN ('host', 'content-length', 'transfer-encoding', 'connection')
              OR lower(v_name) LIKE 'webhook-%' THEN
            PERFORM @extschema@._rule_refuse(format('header "%s" may not be set', v_name),
                'Host, Content-Length, Transfer-Encoding, Connection and webhook-* are set by the worker.');
        ELSIF jsonb_typeof(v_value) <> 'string' OR v_value #>> '{}' ~ '[\u0001-\u0008\u000a-\u001f\u007f]'
              OR octet_length(v_value #>> '{}') > 8192 THEN
            PERFORM @extschema@._rule_refuse(format('the value of header "%s" is malformed', v_name),
                'A header''s value is a JSON text of at most 8192 bytes without line breaks and control characters.');
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_headers(jsonb) IS
    'Internal: refuses headers that the worker sets itself or that would break a request.';

-- sql/001_check_subject.sql
-- A publish subject is stored by NATS as it comes, wildcards included, so it is refused here.

CREATE OR REPLACE FUNCTION @extschema@._rule_check_subject(p_subject text, p_what text, p_wildcards boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_subject IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what),
            'Give a subject such as webhooks.orders.', '22004');
    ELSIF octet_length(p_subject) > 255 OR p_subject ~ '[[:cntrl:][:space:]]' OR p_subject ~ '^\$'
          OR p_subject ~ '(^|\.)(\.|$)'
          OR (NOT p_wildcards AND p_subject ~ '[*>]')
          OR (p_wildcards AND (p_subject ~ '[^.][*>]' OR p_subject ~ '[*>][^.]' OR p_subject ~ '>.')) THEN
        PERFORM @extschema@._rule_refuse(format('%s "%s" is malformed', p_what, left(p_subject, 64)),
            CASE WHEN p_wildcards
                 THEN 'A subject has tokens joined by dots, at most 255 bytes, no blanks and no $ at its start; * is a whole token, > the last one.'
                 ELSE 'A subject has tokens joined by dots, at most 255 bytes, no wildcards, no blanks and no $ at its start.'
            END);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_subject(text, text, boolean) IS
    'Internal: refuses a NATS subject that is malformed or, unless wanted, has wildcards.';

-- sql/001_checks.sql
-- What is refused in a webhook's settings. Each check raises, and none repeats a value that can be a secret.

CREATE OR REPLACE FUNCTION @extschema@._rule_refuse(p_message text, p_hint text, p_code text DEFAULT '22023')
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = p_code, MESSAGE = p_message, HINT = p_hint;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_refuse(text, text, text) IS
    'Internal: raises an error with its SQLSTATE and HINT.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_name(p_name text, p_what text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_name IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what), 'Give it a name.', '22004');
    ELSIF p_name = '' OR octet_length(p_name) > 255 OR p_name ~ '[[:cntrl:]]' OR btrim(p_name) <> p_name THEN
        PERFORM @extschema@._rule_refuse(format('%s is malformed', p_what),
            'A name has 1 to 255 bytes, no control characters and no blanks around it.');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_name(text, text) IS
    'Internal: refuses a name that could not travel in a message header.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_range(p_value numeric, p_low numeric, p_high numeric, p_what text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_value IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what),
            format('Give a number from %s to %s.', p_low, p_high), '22004');
    ELSIF p_value NOT BETWEEN p_low AND p_high THEN
        PERFORM @extschema@._rule_refuse(format('%s cannot be %s', p_what, p_value),
            format('Give a number from %s to %s.', p_low, p_high));
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_range(numeric, numeric, numeric, text) IS
    'Internal: refuses a number outside its bounds.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_choice(p_value text, p_choices text[], p_what text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_value IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what),
            format('Give one of %s.', array_to_string(p_choices, ', ')), '22004');
    ELSIF p_value <> ALL (p_choices) THEN
        PERFORM @extschema@._rule_refuse(format('%s cannot be "%s"', p_what, left(p_value, 64)),
            format('Give one of %s.', array_to_string(p_choices, ', ')));
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_choice(text, text[], text) IS
    'Internal: refuses a word that is not among those accepted.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_present(p_present boolean, p_what text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_present IS NOT TRUE THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what), 'Leave it out to get its default.', '22004');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_present(boolean, text) IS
    'Internal: refuses a missing value before NOT NULL does, which would print the row.';

-- sql/001_comments.sql
COMMENT ON TABLE @extschema@.rule_engine_migrations IS 'Which migrations this schema has, since when, by which version of the extension.';
COMMENT ON COLUMN @extschema@.rule_engine_migrations.migration IS 'Number of the migration';
COMMENT ON COLUMN @extschema@.rule_engine_migrations.name IS 'Its file, without .sql';
COMMENT ON COLUMN @extschema@.rule_engine_migrations.version IS 'Version of the extension that applied it';
COMMENT ON COLUMN @extschema@.rule_engine_migrations.applied_at IS 'When it was applied to this database';

COMMENT ON TABLE @extschema@.rule_engine_source IS 'The name of this database in messages. Changed by rule_engine_source_renew(); not dumped.';
COMMENT ON COLUMN @extschema@.rule_engine_source."only" IS 'There is one row';
COMMENT ON COLUMN @extschema@.rule_engine_source.source_id IS 'Travels with each message: workers of this database deliver no other''s';
COMMENT ON COLUMN @extschema@.rule_engine_source.database_oid IS 'The database that the id was made in; a copy by CREATE DATABASE has another';
COMMENT ON COLUMN @extschema@.rule_engine_source.history_kept_since IS 'Messages older than this may have lost their row of history: they are delivered unless their transaction rolled back or is open';
COMMENT ON COLUMN @extschema@.rule_engine_source.adopted_at IS 'Messages older than this were published by the database that the source id was taken over from: they are delivered without asking for their transaction';

COMMENT ON TABLE @extschema@.rule_webhooks IS 'The endpoints that events go to.';
COMMENT ON COLUMN @extschema@.rule_webhooks.webhook_id IS 'What functions and messages call it';
COMMENT ON COLUMN @extschema@.rule_webhooks.webhook_name IS 'What people call it';
COMMENT ON COLUMN @extschema@.rule_webhooks.description IS 'What it is for';
COMMENT ON COLUMN @extschema@.rule_webhooks.webhook_url IS 'http or https; a secret, where path, query or user info hold one';
COMMENT ON COLUMN @extschema@.rule_webhooks.http_method IS 'GET, POST, PUT, PATCH or DELETE';
COMMENT ON COLUMN @extschema@.rule_webhooks.headers IS 'Headers of each request, names and texts; may hold secrets';
COMMENT ON COLUMN @extschema@.rule_webhooks.timeout_ms IS 'From the name look-up to the last byte of the answer';
COMMENT ON COLUMN @extschema@.rule_webhooks.retry_enabled IS 'Whether a failed try is followed by others';
COMMENT ON COLUMN @extschema@.rule_webhooks.max_retries IS 'How many tries may follow the first one';
COMMENT ON COLUMN @extschema@.rule_webhooks.retry_delay_ms IS 'Wait before the second try';
COMMENT ON COLUMN @extschema@.rule_webhooks.retry_backoff_multiplier IS 'Each further wait is this many times the one before, at most an hour';
COMMENT ON COLUMN @extschema@.rule_webhooks.enabled IS 'When false nothing new is accepted, and what was accepted waits';
COMMENT ON COLUMN @extschema@.rule_webhooks.publish_mode IS 'queue, nats or both';
COMMENT ON COLUMN @extschema@.rule_webhooks.nats_enabled IS 'Whether it may publish to NATS';
COMMENT ON COLUMN @extschema@.rule_webhooks.nats_subject IS 'Where in NATS its events go';
COMMENT ON COLUMN @extschema@.rule_webhooks.nats_config_id IS 'Its NATS configuration; NULL means default';
COMMENT ON COLUMN @extschema@.rule_webhooks.tags IS 'Words to find it by';
COMMENT ON COLUMN @extschema@.rule_webhooks.created_at IS 'When it was registered';
COMMENT ON COLUMN @extschema@.rule_webhooks.created_by IS 'The session''s user who registered it';
COMMENT ON COLUMN @extschema@.rule_webhooks.updated_at IS 'When it last changed, its secrets included';
COMMENT ON COLUMN @extschema@.rule_webhooks.nats_fallback IS 'What a publish does with an event that NATS cannot take: queue it, only record the failure, or raise an error';
COMMENT ON COLUMN @extschema@.rule_webhooks.store_payload IS 'Whether the publish history keeps payloads';
COMMENT ON COLUMN @extschema@.rule_webhooks.changed_xid IS 'The transaction that last changed it or its secrets; workers fetch it by this';

-- sql/001_source.sql
-- The name of this database in messages, so that two databases on one NATS never take each other's events.

CREATE OR REPLACE FUNCTION @extschema@.rule_engine_source_renew(p_source_id uuid DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source_id uuid;
BEGIN
    -- Messages under an adopted id were published by transactions that this database knows nothing of; a new id has none.
    UPDATE @extschema@.rule_engine_source s
    SET source_id = coalesce(p_source_id, gen_random_uuid()),
        database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()),
        history_kept_since = CASE WHEN p_source_id IS NULL THEN '-infinity' ELSE s.history_kept_since END,
        adopted_at = CASE WHEN p_source_id IS NULL THEN '-infinity'
                          WHEN p_source_id = s.source_id THEN s.adopted_at
                          ELSE clock_timestamp() END
    RETURNING s.source_id INTO v_source_id;
    RETURN v_source_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_engine_source_renew(uuid) IS
    'Gives this database a new source id, or the one given: for a physical clone that goes its own way, or a copy that takes its origin''s place. Messages under an adopted id that are older than the call are delivered without asking for their transaction.';

CREATE OR REPLACE FUNCTION @extschema@._rule_source()
RETURNS @extschema@.rule_engine_source LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source @extschema@.rule_engine_source;
    v_oid oid;
BEGIN
    SELECT d.oid INTO v_oid FROM pg_database d WHERE d.datname = current_database();
    SELECT * INTO v_source FROM @extschema@.rule_engine_source;
    IF v_source.database_oid IS DISTINCT FROM v_oid THEN
        -- Made from a template. The second of two sessions finds the row right and leaves it.
        UPDATE @extschema@.rule_engine_source s
        SET source_id = gen_random_uuid(), database_oid = v_oid, history_kept_since = '-infinity', adopted_at = '-infinity'
        WHERE s.database_oid <> v_oid;
        SELECT * INTO v_source FROM @extschema@.rule_engine_source;
    END IF;
    RETURN v_source;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_source() IS
    'Internal: the source id of this database; one made from a template gets its own here.';

-- sql/001_webhook_helpers.sql
-- Registering, changing and deleting webhooks. The rules are the trigger's; the helpers say what is missing.

CREATE OR REPLACE FUNCTION @extschema@._rule_no_such_webhook(p_webhook_id integer)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_webhook_id IS NULL THEN
        PERFORM @extschema@._rule_refuse('webhook id must not be NULL',
            'See rule_webhook_list() for the webhooks there are.', '22004');
    END IF;
    PERFORM @extschema@._rule_refuse(format('webhook %s does not exist', p_webhook_id),
        'See rule_webhook_list() for the webhooks there are.', '42704');
END
$$;
COMMENT ON FUNCTION @extschema@._rule_no_such_webhook(integer) IS
    'Internal: raises the error for a webhook that is not there.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_register(
    p_name text, p_url text, p_method text DEFAULT 'POST', p_headers jsonb DEFAULT '{}',
    p_description text DEFAULT NULL, p_timeout_ms integer DEFAULT 5000, p_max_retries integer DEFAULT 3)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer;
BEGIN
    INSERT INTO @extschema@.rule_webhooks (webhook_name, webhook_url, http_method, headers, description, timeout_ms, max_retries)
    VALUES (p_name, p_url, upper(p_method), p_headers, p_description, p_timeout_ms, p_max_retries)
    ON CONFLICT (webhook_name) DO NOTHING
    RETURNING webhook_id INTO v_id;
    IF v_id IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('webhook name "%s" is taken', p_name),
            'Choose another name, or change the webhook that has it with rule_webhook_update().', '23505');
    END IF;
    RETURN v_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_register(text, text, text, jsonb, text, integer, integer) IS
    'Registers a webhook, delivered from the queue until rule_webhook_enable_nats() is called. Returns its id.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_update(
    p_webhook_id integer, p_url text DEFAULT NULL, p_method text DEFAULT NULL, p_headers jsonb DEFAULT NULL,
    p_timeout_ms integer DEFAULT NULL, p_enabled boolean DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.rule_webhooks w
    SET webhook_url = coalesce(p_url, w.webhook_url), http_method = coalesce(upper(p_method), w.http_method),
        headers = coalesce(p_headers, w.headers), timeout_ms = coalesce(p_timeout_ms, w.timeout_ms),
        enabled = coalesce(p_enabled, w.enabled)
    WHERE w.webhook_id = p_webhook_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_update(integer, text, text, jsonb, integer, boolean) IS
    'Changes what is given and keeps what is NULL. With p_enabled => false nothing new is accepted and what was accepted waits.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_delete(p_webhook_id integer)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_delete(integer) IS
    'Deletes a webhook with its secrets, queue rows and receipts. Publishing to it raises an error from then on; to stop it without one use rule_webhook_update(p_enabled => false).';

-- sql/001_webhook_read.sql
-- Reading webhooks without their secrets: user info, header values and signing secrets never leave.

CREATE OR REPLACE FUNCTION @extschema@._rule_url_shown(p_url text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT regexp_replace(p_url, '^([^:/?#]+://)[^/?#]*@', '\1') $$;
COMMENT ON FUNCTION @extschema@._rule_url_shown(text) IS
    'Internal: a URL without its user info.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_get(p_identifier text)
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_webhook @extschema@.rule_webhooks;
BEGIN
    IF p_identifier IS NULL THEN
        PERFORM @extschema@._rule_refuse('webhook identifier must not be NULL', 'Give a webhook''s id or name.', '22004');
    END IF;
    -- A name that looks like a number stays reachable where no webhook has that id.
    SELECT w.* INTO v_webhook FROM @extschema@.rule_webhooks w
    WHERE w.webhook_name = p_identifier OR w.webhook_id::text = p_identifier
    ORDER BY (w.webhook_id::text = p_identifier) DESC LIMIT 1;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_refuse(format('webhook "%s" does not exist', left(p_identifier, 255)),
            'Give a webhook''s id or name; see rule_webhook_list().', '42704');
    END IF;
    RETURN json_build_object(
        'webhook_id', v_webhook.webhook_id, 'webhook_name', v_webhook.webhook_name,
        'description', v_webhook.description, 'url', @extschema@._rule_url_shown(v_webhook.webhook_url),
        'method', v_webhook.http_method,
        'headers', (SELECT coalesce(json_object_agg(h, '***' ORDER BY h), '{}') FROM jsonb_object_keys(v_webhook.headers) h),
        'timeout_ms', v_webhook.timeout_ms, 'retry_enabled', v_webhook.retry_enabled,
        'max_retries', v_webhook.max_retries, 'retry_delay_ms', v_webhook.retry_delay_ms,
        'retry_backoff_multiplier', v_webhook.retry_backoff_multiplier, 'enabled', v_webhook.enabled,
        'publish_mode', v_webhook.publish_mode, 'nats_enabled', v_webhook.nats_enabled,
        'nats_subject', v_webhook.nats_subject,
        'nats_config', (SELECT c.config_name FROM @extschema@.rule_nats_config c
                        WHERE c.config_id = v_webhook.nats_config_id),
        'nats_fallback', v_webhook.nats_fallback, 'store_payload', v_webhook.store_payload,
        'secret_names', (SELECT coalesce(json_agg(s.secret_name ORDER BY s.secret_name), '[]')
                         FROM @extschema@.rule_webhook_secrets s WHERE s.webhook_id = v_webhook.webhook_id),
        'tags', v_webhook.tags, 'created_at', v_webhook.created_at, 'created_by', v_webhook.created_by,
        'updated_at', v_webhook.updated_at);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_get(text) IS
    'A webhook by its id or name, with the names of its headers and secrets and none of their values.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_list(p_enabled_only boolean DEFAULT false)
RETURNS TABLE (webhook_id integer, webhook_name text, url text, method text, enabled boolean,
               total_calls bigint, success_rate numeric, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.webhook_id, w.webhook_name, @extschema@._rule_url_shown(w.webhook_url), w.http_method, w.enabled,
           s.total_calls, s.success_rate_pct, w.created_at
    FROM @extschema@.rule_webhooks w JOIN @extschema@.webhook_status_summary s ON s.webhook_id = w.webhook_id
    WHERE w.enabled OR p_enabled_only IS NOT TRUE
    ORDER BY w.webhook_id
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_list(boolean) IS
    'The webhooks with how many events each had and which share, in per cent, of those that ended was delivered.';

-- sql/001_webhook_trigger.sql
-- Every way to change a webhook passes here, the helpers and plain DML alike.

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_present(NEW.webhook_id IS NOT NULL, 'webhook_id');
    PERFORM @extschema@._rule_check_name(NEW.webhook_name, 'webhook_name');
    PERFORM @extschema@._rule_check_url(NEW.webhook_url);
    PERFORM @extschema@._rule_check_choice(NEW.http_method, '{GET,POST,PUT,PATCH,DELETE}', 'http_method');
    PERFORM @extschema@._rule_check_headers(NEW.headers);
    PERFORM @extschema@._rule_check_range(NEW.timeout_ms, 1, 300000, 'timeout_ms');
    PERFORM @extschema@._rule_check_range(NEW.max_retries, 0, 1000, 'max_retries');
    PERFORM @extschema@._rule_check_range(NEW.retry_delay_ms, 0, 3600000, 'retry_delay_ms');
    PERFORM @extschema@._rule_check_range(NEW.retry_backoff_multiplier, 1, 100, 'retry_backoff_multiplier');
    PERFORM @extschema@._rule_check_choice(NEW.publish_mode, '{queue,nats,both}', 'publish_mode');
    PERFORM @extschema@._rule_check_choice(NEW.nats_fallback, '{queue,record,error}', 'nats_fallback');
    IF NEW.nats_subject IS NOT NULL THEN
        PERFORM @extschema@._rule_check_subject(NEW.nats_subject, 'nats_subject');
    END IF;
    PERFORM @extschema@._rule_check_present(NEW.retry_enabled IS NOT NULL, 'retry_enabled');
    PERFORM @extschema@._rule_check_present(NEW.enabled IS NOT NULL, 'enabled');
    PERFORM @extschema@._rule_check_present(NEW.nats_enabled IS NOT NULL, 'nats_enabled');
    PERFORM @extschema@._rule_check_present(NEW.store_payload IS NOT NULL, 'store_payload');
    PERFORM @extschema@._rule_check_present(NEW.tags IS NOT NULL, 'tags');
    PERFORM @extschema@._rule_check_present(NEW.created_at IS NOT NULL, 'created_at');
    PERFORM @extschema@._rule_check_present(NEW.created_by IS NOT NULL, 'created_by');
    IF TG_OP = 'UPDATE' THEN
        IF NEW.webhook_id <> OLD.webhook_id THEN
            PERFORM @extschema@._rule_refuse('webhook_id cannot be changed',
                'Its events, receipts and secrets hang on it. Register another webhook.', '0A000');
        END IF;
        NEW.updated_at := now();
    END IF;
    PERFORM @extschema@._rule_check_present(NEW.updated_at IS NOT NULL, 'updated_at');
    NEW.changed_xid := pg_current_xact_id();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_check() IS
    'Internal trigger: validates a webhook, keeps updated_at and the mark by which workers see the change.';

-- BEFORE a CHECK or NOT NULL can print the row.
CREATE OR REPLACE TRIGGER rule_webhooks_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_check();

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_gone()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- In the order in which workers lock them.
    PERFORM FROM @extschema@.rule_webhook_queue q WHERE q.webhook_id = OLD.webhook_id
        ORDER BY q.message_id, q.redelivery FOR UPDATE;
    PERFORM FROM @extschema@.rule_webhook_receipts r WHERE r.webhook_id = OLD.webhook_id
        ORDER BY r.message_id, r.redelivery FOR UPDATE;
    DELETE FROM @extschema@.rule_webhook_secrets s WHERE s.webhook_id = OLD.webhook_id;
    DELETE FROM @extschema@.rule_webhook_queue q WHERE q.webhook_id = OLD.webhook_id;
    DELETE FROM @extschema@.rule_webhook_receipts r WHERE r.webhook_id = OLD.webhook_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_gone() IS
    'Internal trigger: a deleted webhook takes its secrets, queue rows and receipts with it.';

CREATE OR REPLACE TRIGGER rule_webhooks_gone
    AFTER DELETE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_gone();

-- sql/002_cloud_event.sql
-- An envelope as CloudEvents 1.0 has it, in its JSON form.

CREATE OR REPLACE FUNCTION @extschema@.rule_cloud_event(
    p_type text, p_source text, p_data jsonb, p_id text DEFAULT NULL, p_subject text DEFAULT NULL,
    p_time timestamptz DEFAULT now(), p_extensions jsonb DEFAULT '{}')
RETURNS jsonb LANGUAGE plpgsql VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
    v_value jsonb;
BEGIN
    IF p_type IS NULL OR p_type = '' OR p_type ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'the type of a CloudEvent must not be empty',
            HINT = 'Give a name such as com.example.order.created.';
    ELSIF p_source IS NULL OR p_source = '' OR p_source ~ '[[:cntrl:][:space:]]' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'the source of a CloudEvent must be a URI reference',
            HINT = 'Give one without blanks, such as /orders or https://example.com/shop.';
    ELSIF p_id = '' OR p_subject = '' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'id and subject of a CloudEvent must not be empty',
            HINT = 'Leave an id out to have one made, and a subject to have none.';
    ELSIF NOT isfinite(p_time) THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'the time of a CloudEvent must be finite',
            HINT = 'Give the time of the event, or NULL for none.';
    ELSIF jsonb_typeof(p_extensions) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'the extensions of a CloudEvent must be a JSON object',
            HINT = 'Give names and values, such as {"tenant": "acme"}.';
    END IF;
    FOR v_name, v_value IN SELECT e.key, e.value FROM jsonb_each(coalesce(p_extensions, '{}')) e LOOP
        IF v_name !~ '^[a-z0-9]{1,20}$' OR jsonb_typeof(v_value) NOT IN ('string', 'number', 'boolean')
           OR v_name IN ('specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema', 'data') THEN
            RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('"%s" cannot be an extension of a CloudEvent', left(v_name, 64)),
                HINT = 'A name has 1 to 20 small letters and digits and is none of the standard''s own; a value is a text, a number or a boolean.';
        END IF;
    END LOOP;
    RETURN jsonb_strip_nulls(jsonb_build_object(
            'specversion', '1.0', 'id', coalesce(p_id, gen_random_uuid()::text), 'source', p_source, 'type', p_type,
            'subject', p_subject, 'datacontenttype', 'application/json',
            'time', to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
        || coalesce(p_extensions, '{}') || jsonb_build_object('data', p_data);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_cloud_event(text, text, jsonb, text, text, timestamptz, jsonb) IS
    'An event in an envelope of CloudEvents 1.0. Give p_id the message id where the receiver shall see doubles.';

-- sql/002_event_id.sql
CREATE OR REPLACE FUNCTION @extschema@.rule_event_id(p_source text, p_row jsonb, p_key text[], p_version text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_column text;
BEGIN
    IF p_source IS NULL OR p_key IS NULL OR p_key = '{}' THEN
        RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = 'an event id needs a source and the columns of a key',
            HINT = 'Name the table and its key, such as rule_event_id(''orders'', to_jsonb(NEW), ''{order_id}'').';
    END IF;
    FOREACH v_column IN ARRAY p_key LOOP
        IF coalesce(p_row -> v_column, 'null') = 'null' THEN
            RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = format('the row has no value in key column "%s"', v_column),
                HINT = 'Name columns of the row that are never NULL, such as those of its primary key.';
        END IF;
    END LOOP;
    -- The same in every database, whatever its encoding.
    RETURN encode(substr(sha256(convert_to(jsonb_build_array(p_source,
        (SELECT jsonb_agg(p_row -> k.name ORDER BY k.n) FROM unnest(p_key) WITH ORDINALITY AS k (name, n)),
        p_version)::text, 'UTF8')), 1, 16), 'hex');
END
$$;
COMMENT ON FUNCTION @extschema@.rule_event_id(text, jsonb, text[], text) IS
    'A message id that is always the same for a row''s key, so that an event sent twice arrives once. Events of one row must differ in p_version: give a status or a row version there.';

-- sql/002_payload.sql
-- Shaping a payload.

CREATE OR REPLACE FUNCTION @extschema@.rule_payload_pick(p_payload jsonb, p_keys text[])
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(p_payload) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('cannot pick keys from a JSON %s', jsonb_typeof(p_payload)),
            HINT = 'Give a JSON object, such as to_jsonb(NEW).';
    END IF;
    RETURN CASE WHEN p_payload IS NOT NULL THEN
        (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(p_payload) e WHERE e.key = ANY (p_keys)) END;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_payload_pick(jsonb, text[]) IS
    'An object with the named keys only. A key that is not there is left out.';

CREATE OR REPLACE FUNCTION @extschema@.rule_payload_drop(p_payload jsonb, p_keys text[])
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(p_payload) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('cannot drop keys from a JSON %s', jsonb_typeof(p_payload)),
            HINT = 'Give a JSON object, such as to_jsonb(NEW).';
    END IF;
    RETURN p_payload - coalesce(p_keys, '{}');
END
$$;
COMMENT ON FUNCTION @extschema@.rule_payload_drop(jsonb, text[]) IS
    'An object without the named keys.';

CREATE OR REPLACE FUNCTION @extschema@.rule_payload_mask(p_payload jsonb, p_keys text[], p_mask text DEFAULT '***')
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE jsonb_typeof(p_payload)
        WHEN 'object' THEN
            RETURN (SELECT coalesce(jsonb_object_agg(e.key,
                        CASE WHEN e.key = ANY (p_keys) AND e.value <> 'null' THEN coalesce(to_jsonb(p_mask), 'null')
                             WHEN jsonb_typeof(e.value) IN ('object', 'array')
                             THEN @extschema@.rule_payload_mask(e.value, p_keys, p_mask)
                             ELSE e.value END), '{}')
                    FROM jsonb_each(p_payload) e);
        WHEN 'array' THEN
            RETURN (SELECT coalesce(jsonb_agg(@extschema@.rule_payload_mask(e.value, p_keys, p_mask) ORDER BY e.n), '[]')
                    FROM jsonb_array_elements(p_payload) WITH ORDINALITY AS e (value, n));
        ELSE
            RETURN p_payload;
    END CASE;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_payload_mask(jsonb, text[], text) IS
    'A payload in which the values of the named keys, at any depth, are replaced. A null stays null.';

-- sql/002_row_change.sql
-- Conditions over two versions of a row, as to_jsonb(OLD) and to_jsonb(NEW) give them. The functions of this migration
-- run with the caller's rights, also in a trigger's WHEN, and so call none that is internal.

CREATE OR REPLACE FUNCTION @extschema@.rule_row_changed(p_old jsonb, p_new jsonb, p_columns text[] DEFAULT NULL)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN p_columns IS NULL THEN p_old IS DISTINCT FROM p_new
           ELSE EXISTS (SELECT FROM unnest(p_columns) AS c (name) WHERE p_old -> c.name IS DISTINCT FROM p_new -> c.name) END
$$;
COMMENT ON FUNCTION @extschema@.rule_row_changed(jsonb, jsonb, text[]) IS
    'Whether one of the named columns, or any without names, differs between two versions of a row: WHEN (rule_row_changed(to_jsonb(OLD), to_jsonb(NEW), ''{status}'')).';

CREATE OR REPLACE FUNCTION @extschema@.rule_row_changes(p_old jsonb, p_new jsonb)
RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(c.name, jsonb_build_object('old', p_old -> c.name, 'new', p_new -> c.name)), '{}')
    FROM (SELECT jsonb_object_keys(p_old) UNION SELECT jsonb_object_keys(p_new)) AS c (name)
    WHERE p_old -> c.name IS DISTINCT FROM p_new -> c.name
$$;
COMMENT ON FUNCTION @extschema@.rule_row_changes(jsonb, jsonb) IS
    'The columns that differ between two versions of a row, each with its old and its new value.';

-- sql/003_comments.sql
COMMENT ON TABLE @extschema@.rule_webhook_queue IS 'Events that are delivered from here, or wait for NATS; each row is also the receipt of its event. status failed is a dead letter.';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.queue_id IS 'Number of the row; also called call id';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.webhook_id IS 'Where it goes; NULL for a message in the stream that belonged to no webhook';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.message_id IS 'The event''s id, the same over all tries';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.redelivery IS '0 for the event itself, counted up for each deliberate second delivery';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.payload IS 'What is sent';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.payload_bytes IS 'What came, where it is no JSON';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.status IS 'pending, processing (leased by a worker), success or failed (a dead letter)';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.route IS 'post: delivered from here. publish: NATS was away, it is published again. stream: the stream has a copy, and this row steps in when nothing came of it.';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.retry_count IS 'How many tries failed';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.next_retry_at IS 'Not tried before this';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.leased_by IS 'The worker that has it';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.lease_until IS 'When that worker counts as dead';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.rule_name IS 'The rule that made the event, as its caller named it';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.response_status IS 'HTTP status of the last try';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.error_message IS 'Why the last try failed, or why a dead letter is one';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.last_answer IS 'The first bytes of the last refusal, at most 1 kB';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.created_at IS 'When the event was accepted';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.started_at IS 'When a worker last took it';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.completed_at IS 'When it was delivered or became a dead letter';
COMMENT ON COLUMN @extschema@.rule_webhook_queue.created_by IS 'The session''s user who put it here';

-- sql/003_dead_letters.sql
CREATE OR REPLACE VIEW @extschema@.rule_webhook_dead_letters AS
SELECT q.queue_id, q.webhook_id, w.webhook_name, q.message_id, q.redelivery, q.payload, q.payload_bytes,
       q.retry_count, q.response_status, q.error_message, q.last_answer, q.created_at, q.completed_at
FROM @extschema@.rule_webhook_queue q LEFT JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
WHERE q.status = 'failed';
COMMENT ON VIEW @extschema@.rule_webhook_dead_letters IS
    'Events that are not tried again, with their last answer. webhook_id is NULL where a message in the stream belonged to no webhook.';

-- sql/003_enqueue.sql
-- Events that this database delivers itself.

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_enqueue(
    p_webhook_id integer, p_payload jsonb, p_rule_name text DEFAULT NULL, p_scheduled_at timestamptz DEFAULT now())
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_enabled boolean;
    v_queue_id bigint;
BEGIN
    SELECT w.enabled INTO v_enabled FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    ELSIF p_payload IS NULL THEN
        PERFORM @extschema@._rule_refuse('payload must not be NULL',
            'Give a JSON value; JSON''s own null is ''null''::jsonb.', '22004');
    ELSIF NOT v_enabled THEN
        RETURN NULL;
    ELSIF @extschema@._rule_payload_text(p_payload, @extschema@._rule_payload_accepted()) IS NULL THEN
        PERFORM @extschema@._rule_refuse(
            format('the payload has more than %s bytes as text', @extschema@._rule_payload_accepted()),
            'Send a reference to what is large, and let the receiver fetch it.', '54000');
    END IF;
    INSERT INTO @extschema@.rule_webhook_queue (webhook_id, message_id, payload, rule_name, next_retry_at)
    VALUES (p_webhook_id, gen_random_uuid()::text, p_payload, p_rule_name, coalesce(p_scheduled_at, now()))
    RETURNING queue_id INTO v_queue_id;
    RETURN v_queue_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_enqueue(integer, jsonb, text, timestamptz) IS
    'Puts an event into the queue, to be delivered at p_scheduled_at or soon after. Returns its queue id, NULL when the webhook is disabled.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_call_status(p_call_id bigint)
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_status json;
BEGIN
    SELECT json_build_object(
        'call_id', q.queue_id, 'webhook_id', q.webhook_id, 'webhook_name', w.webhook_name, 'message_id', q.message_id,
        'status', q.status, 'retry_count', q.retry_count,
        'next_retry_at', CASE WHEN q.status = 'pending' THEN q.next_retry_at END, 'rule_name', q.rule_name,
        'response_status', q.response_status, 'error_message', q.error_message,
        'created_at', q.created_at, 'started_at', q.started_at, 'completed_at', q.completed_at)
    INTO v_status
    FROM @extschema@.rule_webhook_queue q LEFT JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
    WHERE q.queue_id = p_call_id;
    IF v_status IS NULL THEN
        PERFORM @extschema@._rule_refuse(
            CASE WHEN p_call_id IS NULL THEN 'call id must not be NULL' ELSE format('call %s does not exist', p_call_id) END,
            'Give a queue_id that rule_webhook_enqueue() or rule_webhook_call_unified() returned.',
            CASE WHEN p_call_id IS NULL THEN '22004' ELSE '42704' END);
    END IF;
    RETURN v_status;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_call_status(bigint) IS
    'What became of a queued event.';

-- sql/003_payload_text.sql
-- A jsonb says little of how long its text is: a number of a few bytes can have 131,072 digits, and text beyond 1 GB raises.

-- What is taken into the queue, as NATS advises for its own messages; larger ones only come from a stream that carries them.
CREATE OR REPLACE FUNCTION @extschema@._rule_payload_accepted()
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 8 * 1024 * 1024 $$;
COMMENT ON FUNCTION @extschema@._rule_payload_accepted() IS
    'Internal: the most bytes of text that rule_webhook_enqueue() accepts.';

-- What is sent from the queue: no NATS server carries more, and a worker would not get it within one call.
CREATE OR REPLACE FUNCTION @extschema@._rule_payload_sent()
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 64 * 1024 * 1024 $$;
COMMENT ON FUNCTION @extschema@._rule_payload_sent() IS
    'Internal: the most bytes of text that a worker is given of one payload.';

CREATE OR REPLACE FUNCTION @extschema@._rule_payload_text(p_payload jsonb, p_most integer)
RETURNS text LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_text text;
BEGIN
    v_text := p_payload::text;
    RETURN CASE WHEN octet_length(v_text) <= p_most THEN v_text END;
EXCEPTION WHEN program_limit_exceeded OR out_of_memory THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_payload_text(jsonb, integer) IS
    'Internal: a payload as it is sent, NULL where that is longer than so many bytes.';

-- sql/003_retry.sql
CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_retry(p_call_id bigint)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_call record;
BEGIN
    SELECT q.webhook_id, q.status, q.payload IS NULL AS of_bytes INTO v_call
    FROM @extschema@.rule_webhook_queue q WHERE q.queue_id = p_call_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_refuse(
            CASE WHEN p_call_id IS NULL THEN 'call id must not be NULL' ELSE format('call %s does not exist', p_call_id) END,
            'Give a queue_id, such as call_id in webhook_recent_failures.',
            CASE WHEN p_call_id IS NULL THEN '22004' ELSE '42704' END);
    ELSIF v_call.webhook_id IS NULL OR v_call.of_bytes THEN
        PERFORM @extschema@._rule_refuse(format('call %s cannot be tried', p_call_id),
            'It came from the stream, belongs to no webhook or is no JSON, and was never sent.', '55000');
    ELSIF v_call.status = 'success' THEN
        PERFORM @extschema@._rule_refuse(format('call %s was delivered', p_call_id),
            'Send its payload again with rule_webhook_call(), as an event of its own.', '55000');
    ELSIF v_call.status = 'processing' THEN
        RETURN false;
    END IF;
    -- A dead letter gets all its tries again; one that waits only waits no longer.
    UPDATE @extschema@.rule_webhook_queue q
    SET status = 'pending', completed_at = NULL, next_retry_at = clock_timestamp(),
        retry_count = CASE q.status WHEN 'failed' THEN 0 ELSE q.retry_count END,
        route = CASE WHEN q.status = 'failed' OR q.route = 'stream' THEN 'post' ELSE q.route END
    WHERE q.queue_id = p_call_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_retry(bigint) IS
    'Tries a queued event again now: a dead letter from its first try on, one that waits without waiting longer. false where a worker has it at this moment.';

-- sql/004_claim_post.sql
-- Due rows for the endpoints. Each webhook that has some gets its turn, in an order drawn anew each time.

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_post(p_consumer text, p_limit integer)
RETURNS bigint[] LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_round integer := 0;
    v_some bigint[];
    v_ids bigint[] := '{}';
    v_seen bigint[] := '{}';
BEGIN
    -- Rounds with twice the share each time: what some webhooks leave others take.
    WHILE cardinality(v_ids) < p_limit AND v_round < 8 LOOP
        v_some := @extschema@._rule_due_rows(p_limit - cardinality(v_ids), v_round, v_now, v_seen);
        EXIT WHEN v_some = '{}';
        v_seen := v_seen || v_some;
        v_ids := v_ids || @extschema@._rule_due_rows_take(p_consumer, v_some, v_now);
        v_round := v_round + 1;
    END LOOP;
    RETURN v_ids;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_post(text, integer) IS
    'Internal: leases due rows for the endpoints.';

CREATE OR REPLACE FUNCTION @extschema@._rule_due_rows(p_limit integer, p_round integer, p_now timestamptz, p_seen bigint[])
RETURNS bigint[] LANGUAGE sql VOLATILE
AS $$
    WITH RECURSIVE pending AS (
        -- Steps from webhook to webhook through the index: a backlog of one costs the others nothing.
        (SELECT q.webhook_id FROM @extschema@.rule_webhook_queue q
         WHERE q.status = 'pending' ORDER BY q.webhook_id LIMIT 1)
        UNION ALL
        SELECT (SELECT q.webhook_id FROM @extschema@.rule_webhook_queue q
                WHERE q.status = 'pending' AND q.webhook_id > p.webhook_id ORDER BY q.webhook_id LIMIT 1)
        FROM pending p WHERE p.webhook_id IS NOT NULL),
    due AS MATERIALIZED (
        SELECT w.webhook_id,
               CASE WHEN NOT (w.nats_enabled AND w.nats_subject IS NOT NULL AND w.publish_mode <> 'queue')
                         OR NOT c.jetstream_enabled THEN 'infinity'
                    -- A worker that reaches NATS publishes them, in order.
                    WHEN c.enabled AND EXISTS (
                        SELECT FROM @extschema@.rule_nats_consumer_stats s
                        WHERE s.stream_name = c.stream_name AND s.reached_at > p_now - interval '60 seconds') THEN '-infinity'
                    ELSE p_now - interval '60 seconds' END AS accepted_until
        FROM pending p
        JOIN @extschema@.rule_webhooks w ON w.webhook_id = p.webhook_id
        LEFT JOIN @extschema@.rule_nats_config c ON c.config_id = @extschema@._rule_config_of(w.nats_config_id)
        WHERE w.enabled AND w.held_since IS NULL AND EXISTS (
            SELECT FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id = w.webhook_id AND q.status = 'pending' AND q.next_retry_at <= p_now)
        ORDER BY random())
    SELECT coalesce(array_agg(t.queue_id), '{}')
    FROM (SELECT picked.queue_id
          FROM due CROSS JOIN LATERAL (
              SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
              WHERE q.webhook_id = due.webhook_id AND q.status = 'pending' AND q.next_retry_at <= p_now
                AND (q.route <> 'publish' OR q.created_at <= due.accepted_until)
                AND q.queue_id <> ALL (p_seen)
              ORDER BY q.next_retry_at, q.queue_id
              LIMIT (SELECT greatest(1, ceil(p_limit::numeric / greatest(1, count(*))))::bigint << p_round FROM due)
              FOR UPDATE OF q SKIP LOCKED) picked
          LIMIT p_limit) t
$$;
COMMENT ON FUNCTION @extschema@._rule_due_rows(integer, integer, timestamptz, bigint[]) IS
    'Internal: locks rows that are due for an endpoint, a fair share of each webhook''s.';

CREATE OR REPLACE FUNCTION @extschema@._rule_due_rows_take(p_consumer text, p_rows bigint[], p_now timestamptz)
RETURNS bigint[] LANGUAGE plpgsql
AS $$
DECLARE
    v_ids bigint[];
BEGIN
    SELECT array_agg(q.queue_id ORDER BY q.webhook_id, q.message_id, q.redelivery) INTO v_ids
    FROM @extschema@.rule_webhook_queue q
    WHERE q.queue_id = ANY (p_rows) AND @extschema@._rule_event_lock(q.webhook_id, q.message_id, q.redelivery);

    -- A copy of the event in the stream can have been taken before this row was there.
    UPDATE @extschema@.rule_webhook_queue q
    SET status = CASE r.state WHEN 'done' THEN 'success' ELSE q.status END,
        completed_at = CASE r.state WHEN 'done' THEN r.done_at END,
        next_retry_at = CASE r.state WHEN 'done' THEN q.next_retry_at ELSE r.lease_until END
    FROM @extschema@.rule_webhook_receipts r
    WHERE q.queue_id = ANY (v_ids)
      AND r.webhook_id = q.webhook_id AND r.message_id = q.message_id AND r.redelivery = q.redelivery
      AND (r.state = 'done' OR r.lease_until > p_now);
    -- A receipt that a transaction has locked, one that deletes the webhook perhaps, stays: the row comes first anyway.
    WITH old AS (
        SELECT q.queue_id, r.webhook_id, r.message_id, r.redelivery
        FROM @extschema@.rule_webhook_receipts r JOIN @extschema@.rule_webhook_queue q
            ON r.webhook_id = q.webhook_id AND r.message_id = q.message_id AND r.redelivery = q.redelivery
        WHERE q.queue_id = ANY (v_ids) AND (r.state = 'waiting' OR (r.state = 'leased' AND r.lease_until <= p_now))
        FOR UPDATE OF r SKIP LOCKED),
    before AS (
        DELETE FROM @extschema@.rule_webhook_receipts r USING old
        WHERE r.webhook_id = old.webhook_id AND r.message_id = old.message_id AND r.redelivery = old.redelivery
        RETURNING old.queue_id, r.retry_count)
    UPDATE @extschema@.rule_webhook_queue q SET retry_count = greatest(q.retry_count, before.retry_count)
    FROM before WHERE q.queue_id = before.queue_id;

    WITH taken AS (
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'processing', leased_by = p_consumer, lease_until = p_now + @extschema@._rule_lease(w.timeout_ms),
            started_at = p_now, route = 'post'
        FROM @extschema@.rule_webhooks w
        WHERE q.queue_id = ANY (v_ids) AND q.status = 'pending' AND q.next_retry_at <= p_now AND w.webhook_id = q.webhook_id
        RETURNING q.queue_id)
    SELECT coalesce(array_agg(t.queue_id), '{}') INTO v_ids FROM taken t;
    RETURN v_ids;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_due_rows_take(text, bigint[], timestamptz) IS
    'Internal: leases locked rows whose event nobody else has.';

-- sql/004_claim_publish.sql
-- What NATS could not take goes back to it in the order in which it was accepted: per configuration to one worker at a
-- time, and to no second one while the first still has rows.

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_publish(p_consumer text, p_limit integer, p_streams text[])
RETURNS bigint[] LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_config_id integer;
    v_due bigint[];
    v_ids bigint[] := '{}';
BEGIN
    -- The row lock makes the next worker see the leases that this one takes.
    FOR v_config_id IN
        SELECT c.config_id FROM @extschema@.rule_nats_config c
        WHERE c.enabled AND c.jetstream_enabled AND c.stream_name = ANY (p_streams)
          AND EXISTS (SELECT FROM @extschema@.rule_webhook_queue q WHERE q.route = 'publish' AND q.status = 'pending')
        ORDER BY c.config_id FOR NO KEY UPDATE OF c SKIP LOCKED
    LOOP
        EXIT WHEN cardinality(v_ids) >= p_limit;
        -- Whoever has them, a worker of this name that was killed included. What is still leased after its time is locked by
        -- a transaction that changes it, which nobody else waits for.
        CONTINUE WHEN EXISTS (
            SELECT FROM @extschema@.rule_webhook_queue q
            JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
            WHERE q.route = 'publish' AND q.status = 'processing' AND q.lease_until > v_now
              AND @extschema@._rule_config_of(w.nats_config_id) = v_config_id);
        WITH oldest AS (
            SELECT q.queue_id, q.next_retry_at
            FROM @extschema@.rule_webhook_queue q
            JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
            WHERE q.route = 'publish' AND q.status = 'pending' AND w.enabled
              AND w.nats_enabled AND w.nats_subject IS NOT NULL AND w.publish_mode <> 'queue'
              AND @extschema@._rule_config_of(w.nats_config_id) = v_config_id
            ORDER BY q.queue_id LIMIT p_limit - cardinality(v_ids)
            FOR UPDATE OF q SKIP LOCKED),
        prefix AS (
            -- A row that must wait holds up those behind it.
            SELECT o.queue_id, bool_and(o.next_retry_at <= v_now) OVER (ORDER BY o.queue_id) AS due FROM oldest o)
        SELECT coalesce(array_agg(p.queue_id ORDER BY p.queue_id), '{}') INTO v_due FROM prefix p WHERE p.due;
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'processing', leased_by = p_consumer, lease_until = v_now + interval '60 seconds', started_at = v_now
        WHERE q.queue_id = ANY (v_due);
        v_ids := v_ids || v_due;
    END LOOP;
    RETURN v_ids;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_publish(text, integer, text[]) IS
    'Internal: leases the oldest rows that are to be published to NATS again.';

-- sql/004_claim_texts.sql
-- The payloads of one claim, as many as a worker should get at once.

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_texts(p_rows bigint[])
RETURNS TABLE (id bigint, payload text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    -- claim asks twice, for NATS and for the endpoints; together 16 MB, or one row each.
    v_left integer := 8 * 1024 * 1024;
    v_row record;
    v_given bigint[] := '{}';
BEGIN
    FOR v_row IN
        SELECT q.queue_id, q.payload AS json FROM @extschema@.rule_webhook_queue q
        WHERE q.queue_id = ANY (p_rows) ORDER BY q.queue_id
    LOOP
        payload := @extschema@._rule_payload_text(v_row.json, @extschema@._rule_payload_sent());
        IF payload IS NULL AND v_row.json IS NOT NULL THEN
            UPDATE @extschema@.rule_webhook_queue q
            SET status = 'failed', leased_by = NULL, lease_until = NULL, completed_at = clock_timestamp(),
                error_message = format('the payload has more than %s bytes as text', @extschema@._rule_payload_sent())
            WHERE q.queue_id = v_row.queue_id;
            -- It took long to find out. The next one of its kind has a call of its own.
            v_given := v_given || v_row.queue_id;
            EXIT;
        END IF;
        v_left := v_left - coalesce(octet_length(payload), 0);
        EXIT WHEN v_left < 0 AND v_given <> '{}';
        v_given := v_given || v_row.queue_id;
        id := v_row.queue_id;
        RETURN NEXT;
    END LOOP;
    IF cardinality(v_given) < cardinality(p_rows) THEN
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'pending', leased_by = NULL, lease_until = NULL
        WHERE q.queue_id = ANY (p_rows) AND q.queue_id <> ALL (v_given);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_texts(bigint[]) IS
    'Internal: leased rows with their payload as text. Gives back those that are too much at once; what is too long to send becomes a dead letter.';

-- sql/004_comments.sql
COMMENT ON TABLE @extschema@.rule_webhook_secrets IS 'Signing secrets of webhooks. Each request carries a signature per secret that has not expired.';
COMMENT ON COLUMN @extschema@.rule_webhook_secrets.webhook_id IS 'Whose secret it is';
COMMENT ON COLUMN @extschema@.rule_webhook_secrets.secret_name IS 'What people call it';
COMMENT ON COLUMN @extschema@.rule_webhook_secrets.secret IS 'whsec_ and base64; shown once, by rule_webhook_secret_set()';
COMMENT ON COLUMN @extschema@.rule_webhook_secrets.created_at IS 'When it was set';
COMMENT ON COLUMN @extschema@.rule_webhook_secrets.expires_at IS 'When it stops signing and is deleted; NULL is never';

COMMENT ON TABLE @extschema@.rule_webhook_receipts IS 'Who delivers, or delivered, an event of the stream that has no queue row.';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.webhook_id IS 'Where it goes';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.message_id IS 'The event''s id';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.redelivery IS 'As in the queue';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.state IS 'leased: a worker has it. waiting: between two tries. done: delivered.';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.leased_by IS 'The worker that has it';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.lease_until IS 'When that worker counts as dead';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.retry_count IS 'How many tries failed';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.stream IS 'The stream it came from';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.sequence IS 'Its number there';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.taken_at IS 'When a worker last took it';
COMMENT ON COLUMN @extschema@.rule_webhook_receipts.done_at IS 'When it was delivered';

COMMENT ON TABLE @extschema@.rule_webhook_attempts IS 'One row per request that was sent, kept in a ring of ten days.';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.attempt_id IS 'Number of the row';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.slot IS 'The day''s place in the ring';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.webhook_id IS 'Where it was sent';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.message_id IS 'The event''s id';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.redelivery IS 'As in the queue';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.try IS 'Number of the try, from 1';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.path IS 'How the worker got it: stream or queue';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.worker IS 'The consumer name of the worker';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.started_at IS 'When the request was begun';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.duration_ms IS 'How long it took';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.status IS 'HTTP status; NULL when there was no answer';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.outcome IS 'delivered, again (another try follows) or dead';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.error_message IS 'Why it failed';
COMMENT ON COLUMN @extschema@.rule_webhook_attempts.answer IS 'The first bytes of a refusal, at most 1 kB';

COMMENT ON TABLE @extschema@.rule_webhook_drops IS 'Messages in the stream that workers left out, and why: what rolled back, and second copies.';
COMMENT ON COLUMN @extschema@.rule_webhook_drops.drop_id IS 'Number of the row';
COMMENT ON COLUMN @extschema@.rule_webhook_drops.webhook_id IS 'The webhook in the message';
COMMENT ON COLUMN @extschema@.rule_webhook_drops.message_id IS 'The event''s id';
COMMENT ON COLUMN @extschema@.rule_webhook_drops.transaction IS 'The (sub)transaction that published it';
COMMENT ON COLUMN @extschema@.rule_webhook_drops.reason IS 'rolled back, delivered already, dead letter already, moved to the queue, or dead letter and why';
COMMENT ON COLUMN @extschema@.rule_webhook_drops.worker IS 'The consumer name of the worker';
COMMENT ON COLUMN @extschema@.rule_webhook_drops.dropped_at IS 'When it was left out';

-- sql/004_event_ends.sql
-- The ways out of a lease, other than a delivery.

CREATE OR REPLACE FUNCTION @extschema@._rule_event_fail(
    p_queue_id bigint, p_path text, p_webhook_id integer, p_message_id text, p_redelivery integer,
    p_tries integer, p_verdict text, p_delay_ms integer, p_status integer, p_error text, p_answer text)
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_delay interval := make_interval(secs => p_delay_ms / 1000.0);
BEGIN
    IF p_queue_id IS NULL THEN
        UPDATE @extschema@.rule_webhook_receipts r
        SET state = 'waiting', leased_by = NULL, lease_until = NULL, retry_count = p_tries
        WHERE r.webhook_id = p_webhook_id AND r.message_id = p_message_id AND r.redelivery = p_redelivery;
    ELSE
        UPDATE @extschema@.rule_webhook_queue q
        SET status = CASE p_verdict WHEN 'dead' THEN 'failed' ELSE 'pending' END,
            leased_by = NULL, lease_until = NULL, retry_count = p_tries,
            response_status = p_status, error_message = p_error, last_answer = p_answer,
            completed_at = CASE p_verdict WHEN 'dead' THEN v_now END,
            -- On the stream's way the stream tries again, and the queue only when nothing came of that.
            route = CASE p_verdict WHEN 'queued' THEN 'post' ELSE q.route END,
            next_retry_at = CASE WHEN p_verdict = 'dead' THEN q.next_retry_at
                                 WHEN p_verdict = 'again' AND p_path = 'stream' AND q.route = 'stream'
                                 THEN v_now + v_delay + interval '30 seconds'
                                 ELSE v_now + v_delay END
        WHERE q.queue_id = p_queue_id;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_fail(bigint, text, integer, text, integer, integer, text, integer, integer, text, text) IS
    'Internal: ends a lease with a try that failed.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_release(
    p_queue_id bigint, p_path text, p_webhook_id integer, p_message_id text, p_redelivery integer, p_error text)
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    IF p_queue_id IS NULL THEN
        UPDATE @extschema@.rule_webhook_receipts r SET state = 'waiting', leased_by = NULL, lease_until = NULL
        WHERE r.webhook_id = p_webhook_id AND r.message_id = p_message_id AND r.redelivery = p_redelivery;
    ELSE
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'pending', leased_by = NULL, lease_until = NULL,
            -- NATS answers and refuses this one, so it would hold up those behind it for ever.
            route = CASE WHEN q.route = 'publish' AND p_error IS NOT NULL AND q.created_at <= v_now - interval '60 seconds'
                         THEN 'post' ELSE q.route END,
            error_message = coalesce(p_error, q.error_message),
            next_retry_at = CASE WHEN p_path = 'stream' AND q.route = 'stream' THEN v_now + interval '30 seconds'
                                 WHEN q.route = 'publish' AND p_error IS NOT NULL AND q.created_at > v_now - interval '60 seconds'
                                 THEN v_now + interval '1 second'
                                 ELSE q.next_retry_at END
        WHERE q.queue_id = p_queue_id;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_release(bigint, text, integer, text, integer, text) IS
    'Internal: gives back an event that was not tried.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_row_published(p_queue_id bigint)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    -- The row stays as the receipt. The stream may have taken it for a double of a publish that rolled back: then the
    -- queue steps in.
    UPDATE @extschema@.rule_webhook_queue q
    SET status = 'pending', route = 'stream', leased_by = NULL, lease_until = NULL, error_message = NULL,
        next_retry_at = clock_timestamp() + interval '30 seconds'
    WHERE q.queue_id = p_queue_id;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_row_published(bigint) IS
    'Internal: leaves an event to the stream, which has it now.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_row_post(p_queue_id bigint, p_error text)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE @extschema@.rule_webhook_queue q
    SET status = 'pending', route = 'post', leased_by = NULL, lease_until = NULL, error_message = p_error,
        next_retry_at = clock_timestamp()
    WHERE q.queue_id = p_queue_id;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_row_post(bigint, text) IS
    'Internal: leaves to its endpoint an event that NATS can never take.';

-- sql/004_event_fate.sql
-- A message can reach the stream before its transaction ends. The history row of that very (sub)transaction decides;
-- a transaction's id alone proves nothing, since a crash can give it to another one.

CREATE OR REPLACE FUNCTION @extschema@._rule_transaction_status(p_transaction xid8)
RETURNS text LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    -- Not compared with a snapshot's xmax: the newest running transactions lie beyond it.
    RETURN pg_xact_status(p_transaction);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN 'in the future';
END
$$;
COMMENT ON FUNCTION @extschema@._rule_transaction_status(xid8) IS
    'Internal: pg_xact_status() that answers for an id of the future, too.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_recorded(p_webhook_id integer, p_message_id text, p_transaction xid8)
RETURNS boolean LANGUAGE sql VOLATILE
AS $$
    SELECT EXISTS (SELECT FROM @extschema@.rule_nats_publish_history h
                   WHERE h.webhook_id = p_webhook_id AND h.message_id = p_message_id AND h.transaction = p_transaction)
$$;
COMMENT ON FUNCTION @extschema@._rule_event_recorded(integer, text, xid8) IS
    'Internal: whether a committed (sub)transaction published this event, also one that saw its publish fail.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_fates(
    p_webhook_ids integer[], p_message_ids text[], p_transactions xid8[], p_ages_ms bigint[])
RETURNS text[] LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_fates text[];
    v_kept_since timestamptz;
    v_adopted_at timestamptz;
    v_at timestamptz;
    v_status text;
BEGIN
    SELECT array_agg(CASE WHEN e.transaction IS NULL OR EXISTS (
                              SELECT FROM @extschema@.rule_nats_publish_history h
                              WHERE h.webhook_id = e.webhook_id AND h.message_id = e.message_id
                                AND h.transaction = e.transaction)
                          THEN 'committed' END ORDER BY e.n)
    INTO v_fates
    FROM unnest(p_webhook_ids, p_message_ids, p_transactions) WITH ORDINALITY AS e (webhook_id, message_id, transaction, n);
    SELECT s.history_kept_since, s.adopted_at INTO v_kept_since, v_adopted_at FROM @extschema@.rule_engine_source s;
    FOR i IN 1 .. coalesce(cardinality(v_fates), 0) LOOP
        CONTINUE WHEN v_fates[i] IS NOT NULL OR p_webhook_ids[i] IS NULL;
        v_at := clock_timestamp() - make_interval(secs => coalesce(p_ages_ms[i], 0) / 1000.0);
        IF v_at < v_adopted_at THEN
            v_fates[i] := 'committed';
            CONTINUE;
        END IF;
        v_status := @extschema@._rule_transaction_status(p_transactions[i]);
        v_fates[i] := CASE
            WHEN v_status = 'in progress' THEN 'in progress'
            -- It may have committed since the first look.
            WHEN v_status = 'committed'
                 AND @extschema@._rule_event_recorded(p_webhook_ids[i], p_message_ids[i], p_transactions[i]) THEN 'committed'
            -- Its row may have been cleaned away; what did not commit never had one.
            WHEN v_at < v_kept_since AND coalesce(v_status, 'committed') = 'committed' THEN 'committed'
            ELSE 'rolled back' END;
    END LOOP;
    RETURN v_fates;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_fates(integer[], text[], xid8[], bigint[]) IS
    'Internal: ''committed'', ''in progress'' or ''rolled back'' for each stream message. Needs READ COMMITTED.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_event_status(p_webhook_id integer, p_message_id text, p_transaction xid8)
RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_status text;
BEGIN
    IF p_webhook_id IS NULL OR p_message_id IS NULL OR p_transaction IS NULL THEN
        RETURN 'unknown';
    ELSIF @extschema@._rule_event_recorded(p_webhook_id, p_message_id, p_transaction) THEN
        RETURN 'committed';
    END IF;
    v_status := @extschema@._rule_transaction_status(p_transaction);
    IF v_status = 'in progress' THEN
        RETURN 'in progress';
    ELSIF v_status = 'committed'
          AND @extschema@._rule_event_recorded(p_webhook_id, p_message_id, p_transaction) THEN
        RETURN 'committed';
    ELSIF (SELECT s.adopted_at = '-infinity' AND (v_status IN ('aborted', 'in the future') OR s.history_kept_since = '-infinity')
           FROM @extschema@.rule_engine_source s) THEN
        RETURN 'rolled back';
    END IF;
    -- Its history may have been cleaned.
    RETURN 'unknown';
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_event_status(integer, text, xid8) IS
    'For consumers of a stream that are not our workers: whether the transaction in a message''s header committed. Call it in READ COMMITTED.';

-- sql/004_event_leased.sql
-- Which of the reported events are still the reporter's, and where their lease stands.

-- Waits for nobody: one open transaction, such as one that deletes a webhook, would hold up the reports of all.
CREATE OR REPLACE FUNCTION @extschema@._rule_leased_lock(
    p_consumer text, p_attempts jsonb, OUT locked_rows bigint[], OUT locked_receipts integer[])
LANGUAGE plpgsql
AS $$
BEGIN
    SELECT coalesce(array_agg(l.queue_id), '{}') INTO locked_rows
    FROM (
        SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
        WHERE q.leased_by = p_consumer
          AND q.queue_id IN (SELECT coalesce(a.queue_id, k.queue_id)
                             FROM @extschema@._rule_worker_attempts(p_attempts) a
                             LEFT JOIN @extschema@.rule_webhook_queue k
                                 ON a.path = 'stream' AND k.webhook_id = a.webhook_id AND k.message_id = a.message_id
                                    AND k.redelivery = a.redelivery)
        ORDER BY q.webhook_id, q.message_id, q.redelivery FOR UPDATE SKIP LOCKED) l;
    SELECT coalesce(array_agg(l.n), '{}') INTO locked_receipts
    FROM (
        SELECT a.n FROM @extschema@._rule_worker_attempts(p_attempts) a
        JOIN @extschema@.rule_webhook_receipts r
            ON r.webhook_id = a.webhook_id AND r.message_id = a.message_id AND r.redelivery = a.redelivery
        WHERE a.path = 'stream' AND r.leased_by = p_consumer
        ORDER BY r.webhook_id, r.message_id, r.redelivery FOR UPDATE OF r SKIP LOCKED) l;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_leased_lock(text, jsonb) IS
    'Internal: locks the receipts of reported events, and says which of them it got: queue ids, and numbers of attempts.';

CREATE OR REPLACE FUNCTION @extschema@._rule_leased(p_consumer text, p_attempts jsonb)
RETURNS TABLE (n integer, path text, webhook_id integer, message_id text, redelivery integer, result text, status integer,
               started_ms_ago double precision, duration_ms double precision, error text, answer text, payload text,
               problem text, held_in text, held_queue_id bigint, route text, retry_count integer,
               retry_enabled boolean, max_retries integer, retry_delay_ms integer, retry_backoff_multiplier numeric)
LANGUAGE sql STABLE ROWS 64
AS $$
    SELECT h.n, h.path, h.webhook_id, h.message_id, h.redelivery, h.result, h.status, h.started_ms_ago, h.duration_ms,
           h.error, h.answer, h.payload, h.problem,
           CASE WHEN h.problem IS NOT NULL OR w.webhook_id IS NULL OR h.try <> h.retry_count + 1
                     -- An event has one lease, so a batch has one report of it.
                     OR pg_catalog.row_number() OVER (PARTITION BY h.webhook_id, h.message_id, h.redelivery ORDER BY h.n) > 1
                     OR (h.result = 'published' AND h.route <> 'publish') THEN NULL
                ELSE h.held_in END,
           h.queue_id, h.route, h.retry_count, w.retry_enabled, w.max_retries, w.retry_delay_ms, w.retry_backoff_multiplier
    FROM (
        SELECT a.n, a.path, coalesce(i.webhook_id, a.webhook_id) AS webhook_id, coalesce(i.message_id, a.message_id) AS message_id,
               coalesce(i.redelivery, a.redelivery) AS redelivery, a.try, a.result, a.status, a.started_ms_ago, a.duration_ms,
               a.error, a.answer, a.payload, a.problem, coalesce(i.queue_id, k.queue_id) AS queue_id,
               coalesce(i.route, k.route) AS route, coalesce(i.retry_count, k.retry_count, r.retry_count) AS retry_count,
               CASE WHEN i.queue_id IS NOT NULL OR k.queue_id IS NOT NULL THEN 'queue row'
                    WHEN r.webhook_id IS NOT NULL THEN 'receipt' END AS held_in
        FROM @extschema@._rule_worker_attempts(p_attempts) a
        LEFT JOIN @extschema@.rule_webhook_queue i
            ON a.path = 'queue' AND i.queue_id = a.queue_id AND i.status = 'processing' AND i.leased_by = p_consumer
        LEFT JOIN @extschema@.rule_webhook_queue k
            ON a.path = 'stream' AND k.webhook_id = a.webhook_id AND k.message_id = a.message_id
               AND k.redelivery = a.redelivery AND k.status = 'processing' AND k.leased_by = p_consumer
        LEFT JOIN @extschema@.rule_webhook_receipts r
            ON a.path = 'stream' AND r.webhook_id = a.webhook_id AND r.message_id = a.message_id
               AND r.redelivery = a.redelivery AND r.state = 'leased' AND r.leased_by = p_consumer
    ) h
    LEFT JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
    ORDER BY h.n
$$;
COMMENT ON FUNCTION @extschema@._rule_leased(text, jsonb) IS
    'Internal: reported events with their lease, where it is still the reporter''s, and their webhook''s retry policy.';

-- sql/004_event_move.sql
-- From the stream into the queue, to wait longer than a stream should hold it or for good: row, attempt and the end of
-- the receipt in one transaction, before the worker acks.

CREATE OR REPLACE FUNCTION @extschema@._rule_event_store(
    p_webhook_id integer, p_message_id text, p_redelivery integer, p_tries integer, p_bytes bytea, p_json jsonb,
    p_dead boolean, p_delay_ms integer, p_status integer, p_error text, p_answer text)
RETURNS boolean LANGUAGE plpgsql
-- An application that publishes the same message id again, and has not ended, is not waited for.
SET lock_timeout = '200ms'
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    INSERT INTO @extschema@.rule_webhook_queue AS q
        (webhook_id, message_id, redelivery, payload, payload_bytes, status, retry_count, next_retry_at,
         response_status, error_message, last_answer, started_at, completed_at, created_at)
    SELECT p_webhook_id, p_message_id, p_redelivery, p_json, CASE WHEN p_json IS NULL THEN p_bytes END,
           CASE WHEN p_dead THEN 'failed' ELSE 'pending' END, p_tries, v_now + make_interval(secs => p_delay_ms / 1000.0),
           p_status, p_error, p_answer, v_now, CASE WHEN p_dead THEN v_now END, r.taken_at
    FROM @extschema@.rule_webhook_receipts r
    WHERE r.webhook_id = p_webhook_id AND r.message_id = p_message_id AND r.redelivery = p_redelivery
    -- The same event was published again and has a row of its own by now, which goes on from here.
    ON CONFLICT (webhook_id, message_id, redelivery) DO UPDATE
    SET status = excluded.status, retry_count = excluded.retry_count, route = 'post',
        next_retry_at = excluded.next_retry_at, response_status = excluded.response_status,
        error_message = excluded.error_message, last_answer = excluded.last_answer, completed_at = excluded.completed_at
    WHERE q.status = 'pending';
    DELETE FROM @extschema@.rule_webhook_receipts r
    WHERE r.webhook_id = p_webhook_id AND r.message_id = p_message_id AND r.redelivery = p_redelivery;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_store(integer, text, integer, integer, bytea, jsonb, boolean, integer, integer, text, text) IS
    'Internal: turns a receipt into a queue row, or says that it cannot be done now.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_move(
    p_webhook_id integer, p_message_id text, p_redelivery integer, p_tries integer, p_base64 text,
    p_verdict text, p_delay_ms integer, p_status integer, p_error text, p_answer text,
    OUT verdict text, OUT wait_ms integer, OUT reason text)
LANGUAGE plpgsql
AS $$
DECLARE
    v_bytes bytea := @extschema@._rule_payload_bytes(p_base64);
    v_json jsonb := @extschema@._rule_payload_json(v_bytes);
BEGIN
    verdict := p_verdict;
    IF v_json IS NULL AND verdict = 'queued' THEN
        -- The queue sends JSON. What is none did not come from SQL.
        verdict := 'dead';
        reason := 'the payload is not JSON';
    END IF;
    IF NOT @extschema@._rule_event_store(p_webhook_id, p_message_id, p_redelivery, p_tries, v_bytes, v_json,
                                         verdict = 'dead', p_delay_ms, p_status, coalesce(reason, p_error), p_answer) THEN
        verdict := 'again';
        wait_ms := 5000;
        reason := 'its message id is in use by an open transaction';
        PERFORM @extschema@._rule_event_fail(NULL, 'stream', p_webhook_id, p_message_id, p_redelivery, p_tries,
                                               verdict, wait_ms, p_status, p_error, p_answer);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_move(integer, text, integer, integer, text, text, integer, integer, text, text) IS
    'Internal: moves an event from the stream into the queue.';

-- sql/004_events_delivered.sql
CREATE OR REPLACE FUNCTION @extschema@._rule_events_delivered(
    p_consumer text, p_attempts jsonb, p_delivered integer[], p_rows bigint[], p_receipts integer[])
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    -- The attempts first: they number themselves by the tries that failed before.
    INSERT INTO @extschema@.rule_webhook_attempts
        (webhook_id, message_id, redelivery, try, path, worker, started_at, duration_ms, status, outcome)
    SELECT l.webhook_id, l.message_id, l.redelivery, l.retry_count + 1, l.path, p_consumer,
           v_now - make_interval(secs => l.started_ms_ago / 1000), l.duration_ms, l.status, 'delivered'
    FROM @extschema@._rule_leased(p_consumer, p_attempts) l
    WHERE l.n = ANY (p_delivered) ORDER BY l.n;
    UPDATE @extschema@.rule_webhook_queue q
    SET status = 'success', leased_by = NULL, lease_until = NULL, response_status = l.status, error_message = NULL,
        last_answer = NULL, completed_at = v_now
    FROM @extschema@._rule_leased(p_consumer, p_attempts) l
    WHERE q.queue_id = ANY (p_rows) AND q.queue_id = l.held_queue_id AND l.n = ANY (p_delivered);
    UPDATE @extschema@.rule_webhook_receipts r
    SET state = 'done', leased_by = NULL, lease_until = NULL, done_at = v_now
    FROM @extschema@._rule_worker_attempts(p_attempts) a
    WHERE a.n = ANY (p_receipts)
      AND r.webhook_id = a.webhook_id AND r.message_id = a.message_id AND r.redelivery = a.redelivery;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_events_delivered(text, jsonb, integer[], bigint[], integer[]) IS
    'Internal: records deliveries, whose receipts are locked.';

-- sql/004_events_take.sql
-- The receipt of an event is its queue row where there is one, else a row of receipts. Whoever takes it sends.
-- claim and admit both hold the event's lock until they commit, so neither acts on what the other is about to change.

CREATE OR REPLACE FUNCTION @extschema@._rule_events_take(
    p_consumer text, p_webhook_ids integer[], p_message_ids text[], p_streams text[], p_sequences bigint[])
RETURNS TABLE (n integer, verdict text, reason text, wait_ms integer, try integer)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_locked boolean[];
    v_event record;
    v_now timestamptz;
    v_verdicts text[] := array_fill(NULL::text, ARRAY[cardinality(p_webhook_ids)]);
    v_reasons text[] := v_verdicts;
    v_waits integer[] := array_fill(NULL::integer, ARRAY[cardinality(p_webhook_ids)]);
    v_tries integer[] := v_waits;
    v_queue_rows integer[] := '{}';
    v_receipts integer[] := '{}';
    v_new integer[] := '{}';
BEGIN
    -- The second of two copies in one batch waits for what becomes of the first.
    SELECT array_agg(e.first = e.n AND @extschema@._rule_event_lock(e.webhook_id, e.message_id, 0) ORDER BY e.n)
    INTO v_locked
    FROM (SELECT u.*, min(u.n) OVER (PARTITION BY u.webhook_id, u.message_id) AS first
          FROM unnest(p_webhook_ids, p_message_ids) WITH ORDINALITY AS u (webhook_id, message_id, n)) e;

    v_now := clock_timestamp();
    -- One statement, so that an event on its way from the receipts into the queue is seen in one of them.
    FOR v_event IN
        SELECT u.n::integer AS n, w.enabled, w.held_reason,
               q.queue_id, q.status, q.route, q.lease_until AS q_lease_until, q.next_retry_at,
               r.state, r.lease_until AS r_lease_until
        FROM unnest(p_webhook_ids, p_message_ids) WITH ORDINALITY AS u (webhook_id, message_id, n)
        LEFT JOIN @extschema@.rule_webhooks w ON w.webhook_id = u.webhook_id
        LEFT JOIN @extschema@.rule_webhook_queue q
            ON q.webhook_id = u.webhook_id AND q.message_id = u.message_id AND q.redelivery = 0
        LEFT JOIN @extschema@.rule_webhook_receipts r
            ON r.webhook_id = u.webhook_id AND r.message_id = u.message_id AND r.redelivery = 0
    LOOP
        IF v_event.status = 'success' OR v_event.state = 'done' THEN
            v_verdicts[v_event.n] := 'drop';
            v_reasons[v_event.n] := 'delivered already';
        ELSIF v_event.status = 'failed' THEN
            v_verdicts[v_event.n] := 'drop';
            v_reasons[v_event.n] := 'dead letter already';
        ELSIF NOT v_locked[v_event.n] THEN
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'another worker is taking it';
            v_waits[v_event.n] := 50;
        ELSIF greatest(v_event.q_lease_until, v_event.r_lease_until) > v_now THEN
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'a worker is delivering it';
            v_waits[v_event.n] := @extschema@._rule_wait_ms(greatest(v_event.q_lease_until, v_event.r_lease_until));
        ELSIF v_event.status = 'pending' AND v_event.route = 'post' AND v_event.next_retry_at > v_now THEN
            v_verdicts[v_event.n] := 'drop';
            v_reasons[v_event.n] := 'moved to the queue';
        ELSIF v_event.enabled IS NOT TRUE THEN
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'the webhook is disabled';
            v_waits[v_event.n] := 5000;
        ELSIF v_event.held_reason IS NOT NULL THEN
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'the webhook is held: ' || v_event.held_reason;
            v_waits[v_event.n] := 5000;
        ELSE
            -- What is not taken below changed hands in this moment.
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'another worker is taking it';
            v_waits[v_event.n] := 50;
            IF v_event.queue_id IS NOT NULL THEN
                v_queue_rows := v_queue_rows || v_event.n;
            ELSIF v_event.state IS NOT NULL THEN
                v_receipts := v_receipts || v_event.n;
            ELSE
                v_new := v_new || v_event.n;
            END IF;
        END IF;
    END LOOP;

    FOR v_event IN
        WITH mine AS (
            SELECT i AS n, q.queue_id, @extschema@._rule_lease(w.timeout_ms) AS lease
            FROM unnest(v_queue_rows) i
            JOIN @extschema@.rule_webhooks w ON w.webhook_id = p_webhook_ids[i]
            JOIN @extschema@.rule_webhook_queue q
                ON q.webhook_id = p_webhook_ids[i] AND q.message_id = p_message_ids[i] AND q.redelivery = 0
            WHERE q.status = 'pending' OR (q.status = 'processing' AND q.lease_until <= v_now)
            ORDER BY q.webhook_id, q.message_id, q.redelivery FOR UPDATE OF q SKIP LOCKED),
        -- A receipt that a transaction has locked, one that deletes the webhook perhaps, stays: the row comes first anyway.
        old AS (
            SELECT mine.n, r.webhook_id, r.message_id FROM mine JOIN @extschema@.rule_webhook_receipts r
                ON r.webhook_id = p_webhook_ids[mine.n] AND r.message_id = p_message_ids[mine.n] AND r.redelivery = 0
            FOR UPDATE OF r SKIP LOCKED),
        before AS (
            DELETE FROM @extschema@.rule_webhook_receipts r USING old
            WHERE r.webhook_id = old.webhook_id AND r.message_id = old.message_id AND r.redelivery = 0
            RETURNING old.n, r.retry_count)
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'processing', leased_by = p_consumer, lease_until = v_now + mine.lease, started_at = v_now,
            retry_count = greatest(q.retry_count, before.retry_count),
            -- The stream has a copy, so it need not be published again.
            route = CASE q.route WHEN 'publish' THEN 'stream' ELSE q.route END
        FROM mine LEFT JOIN before ON before.n = mine.n
        WHERE q.queue_id = mine.queue_id
        RETURNING mine.n, q.retry_count
    LOOP
        v_verdicts[v_event.n] := 'deliver';
        v_tries[v_event.n] := v_event.retry_count + 1;
    END LOOP;

    FOR v_event IN
        WITH mine AS (
            SELECT i AS n, @extschema@._rule_lease(w.timeout_ms) AS lease
            FROM unnest(v_receipts) i
            JOIN @extschema@.rule_webhooks w ON w.webhook_id = p_webhook_ids[i]
            JOIN @extschema@.rule_webhook_receipts r
                ON r.webhook_id = p_webhook_ids[i] AND r.message_id = p_message_ids[i] AND r.redelivery = 0
            WHERE r.state = 'waiting' OR (r.state = 'leased' AND r.lease_until <= v_now)
            ORDER BY r.webhook_id, r.message_id, r.redelivery FOR UPDATE OF r SKIP LOCKED)
        UPDATE @extschema@.rule_webhook_receipts r
        SET state = 'leased', leased_by = p_consumer, lease_until = v_now + mine.lease,
            stream = p_streams[mine.n], sequence = p_sequences[mine.n], taken_at = v_now
        FROM mine
        WHERE r.webhook_id = p_webhook_ids[mine.n] AND r.message_id = p_message_ids[mine.n] AND r.redelivery = 0
        RETURNING mine.n, r.retry_count
    LOOP
        v_verdicts[v_event.n] := 'deliver';
        v_tries[v_event.n] := v_event.retry_count + 1;
    END LOOP;

    FOR v_event IN
        WITH made AS (
            INSERT INTO @extschema@.rule_webhook_receipts
                (webhook_id, message_id, state, leased_by, lease_until, stream, sequence, taken_at)
            SELECT w.webhook_id, p_message_ids[i], 'leased', p_consumer, v_now + @extschema@._rule_lease(w.timeout_ms),
                   p_streams[i], p_sequences[i], v_now
            FROM unnest(v_new) i JOIN @extschema@.rule_webhooks w ON w.webhook_id = p_webhook_ids[i]
            ORDER BY w.webhook_id, p_message_ids[i]
            ON CONFLICT DO NOTHING
            RETURNING webhook_id, message_id)
        SELECT i AS n FROM made, unnest(v_new) i
        WHERE made.webhook_id = p_webhook_ids[i] AND made.message_id = p_message_ids[i]
    LOOP
        v_verdicts[v_event.n] := 'deliver';
        v_tries[v_event.n] := 1;
    END LOOP;

    RETURN QUERY
    SELECT k.n, v_verdicts[k.n], CASE WHEN v_verdicts[k.n] <> 'deliver' THEN v_reasons[k.n] END,
           CASE WHEN v_verdicts[k.n] = 'wait' THEN v_waits[k.n] END, v_tries[k.n]
    FROM generate_subscripts(v_verdicts, 1) AS k (n);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_events_take(text, integer[], text[], text[], bigint[]) IS
    'Internal: takes the receipts of stream messages whose transaction committed.';

-- sql/004_secrets.sql
-- Signing secrets as Standard Webhooks writes them: whsec_ and base64 of 24 to 64 random bytes.

CREATE OR REPLACE FUNCTION @extschema@._rule_webhook_secrets_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_present(NEW.webhook_id IS NOT NULL, 'webhook_id');
    PERFORM @extschema@._rule_check_name(NEW.secret_name, 'secret name');
    PERFORM @extschema@._rule_check_present(NEW.created_at IS NOT NULL, 'created_at');
    IF NEW.secret IS NULL
       OR NEW.secret !~ '^whsec_(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
       OR length(decode(substr(NEW.secret, 7), 'base64')) NOT BETWEEN 24 AND 64 THEN
        PERFORM @extschema@._rule_refuse('the secret is malformed',
            'A secret is whsec_ and the base64 form of 24 to 64 random bytes. Leave it out to have one made.');
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhook_secrets_check() IS
    'Internal trigger: validates a secret without ever repeating it.';

CREATE OR REPLACE TRIGGER rule_webhook_secrets_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhook_secrets
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhook_secrets_check();

CREATE OR REPLACE FUNCTION @extschema@._rule_webhook_secrets_mark()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The webhook's own trigger sets the mark, so that workers fetch it again.
    UPDATE @extschema@.rule_webhooks w SET updated_at = now()
    WHERE w.webhook_id IN (CASE WHEN TG_OP <> 'INSERT' THEN OLD.webhook_id END,
                           CASE WHEN TG_OP <> 'DELETE' THEN NEW.webhook_id END);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhook_secrets_mark() IS
    'Internal trigger: a changed secret is a change of its webhook.';

CREATE OR REPLACE TRIGGER rule_webhook_secrets_mark
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.rule_webhook_secrets
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhook_secrets_mark();

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_secret_set(
    p_webhook_id integer, p_secret_name text, p_secret_value text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_secret text;
BEGIN
    PERFORM FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    -- A uuid of version 4 holds 122 bits of the server's strong randomness; three of them are hashed into 256.
    v_secret := coalesce(p_secret_value, 'whsec_' || encode(sha256(
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'));
    INSERT INTO @extschema@.rule_webhook_secrets AS s (webhook_id, secret_name, secret)
    VALUES (p_webhook_id, p_secret_name, v_secret)
    ON CONFLICT (webhook_id, secret_name)
    DO UPDATE SET secret = excluded.secret, created_at = now(), expires_at = NULL;
    RETURN v_secret;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_secret_set(integer, text, text) IS
    'Sets a signing secret of a webhook and returns it: the one given, or a new one. It is shown only now.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_secret_delete(p_webhook_id integer, p_secret_name text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    DELETE FROM @extschema@.rule_webhook_secrets s WHERE s.webhook_id = p_webhook_id AND s.secret_name = p_secret_name;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_secret_delete(integer, text) IS
    'Deletes a signing secret; false when there was none of that name.';

-- sql/004_worker_admit.sql
-- Stream messages: whose each is, what became of its transaction, and who may send it.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_admit(p_consumer text, p_messages jsonb)
RETURNS TABLE (ordinal integer, verdict text, reason text, wait_ms integer, try integer)
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET jit = off SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_source_id text;
    v_fates text[];
    -- Parallel arrays, one member per message.
    v_webhook_ids integer[]; v_message_ids text[]; v_sources text[]; v_transactions xid8[]; v_streams text[];
    v_sequences bigint[]; v_ages bigint[]; v_payloads text[]; v_problems text[];
    v_verdicts text[]; v_reasons text[]; v_waits integer[]; v_tries integer[];
    v_candidates integer[] := '{}';
    v_known boolean[];
    v_taken record;
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, true);
    IF jsonb_typeof(p_messages) IS DISTINCT FROM 'array' THEN
        PERFORM @extschema@._rule_refuse('the messages must be a JSON array', 'Give one object per stream message.');
    END IF;
    SELECT array_agg(m.webhook_id ORDER BY m.n), array_agg(m.message_id ORDER BY m.n), array_agg(m.source_id ORDER BY m.n),
           array_agg(m.transaction ORDER BY m.n), array_agg(m.stream ORDER BY m.n), array_agg(m.sequence ORDER BY m.n),
           array_agg(m.age_ms ORDER BY m.n), array_agg(m.payload ORDER BY m.n), array_agg(m.problem ORDER BY m.n)
    INTO v_webhook_ids, v_message_ids, v_sources, v_transactions, v_streams, v_sequences, v_ages, v_payloads, v_problems
    FROM @extschema@._rule_worker_messages(p_messages) m;
    IF v_problems IS NULL THEN
        RETURN;
    END IF;
    v_verdicts := array_fill(NULL::text, ARRAY[cardinality(v_problems)]);
    v_reasons := v_verdicts;
    v_waits := array_fill(NULL::integer, ARRAY[cardinality(v_problems)]);
    v_tries := v_waits;
    v_source_id := (@extschema@._rule_source()).source_id::text;

    -- Another database's event is none of our business, whatever else is wrong with it.
    FOR i IN 1 .. cardinality(v_problems) LOOP
        IF v_sources[i] ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND v_sources[i] <> v_source_id THEN
            v_verdicts[i] := 'not ours';
            v_reasons[i] := format('the message is from source %s, this database is %s', v_sources[i], v_source_id);
            v_waits[i] := 60000;
        END IF;
    END LOOP;

    -- The transaction comes before the webhook: it may be the one that registers it.
    SELECT @extschema@._rule_event_fates(
        array_agg(CASE WHEN v_verdicts[i] IS NULL AND v_problems[i] IS NULL THEN v_webhook_ids[i] END ORDER BY i),
        v_message_ids, v_transactions, v_ages)
    INTO v_fates FROM generate_subscripts(v_problems, 1) i;
    SELECT array_agg(EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = e.webhook_id) ORDER BY e.n)
    INTO v_known FROM unnest(v_webhook_ids) WITH ORDINALITY AS e (webhook_id, n);

    FOR i IN 1 .. cardinality(v_problems) LOOP
        CONTINUE WHEN v_verdicts[i] IS NOT NULL;
        IF v_problems[i] IS NULL AND v_fates[i] = 'rolled back' THEN
            v_verdicts[i] := 'drop';
            v_reasons[i] := 'rolled back';
        ELSIF v_problems[i] IS NULL AND v_fates[i] = 'in progress' THEN
            v_verdicts[i] := 'wait';
            v_reasons[i] := 'its transaction is in progress';
            v_waits[i] := least(5000, greatest(50, v_ages[i] / 4));
        ELSIF v_problems[i] IS NOT NULL OR NOT v_known[i] THEN
            v_problems[i] := coalesce(v_problems[i], 'no such webhook');
            IF v_payloads[i] IS NULL THEN
                v_verdicts[i] := 'payload';
                v_reasons[i] := v_problems[i];
            ELSE
                PERFORM @extschema@._rule_stranger_keep(v_message_ids[i], v_streams[i], v_sequences[i],
                                                        v_payloads[i], v_problems[i]);
                v_verdicts[i] := 'drop';
                v_reasons[i] := 'dead letter: ' || v_problems[i];
            END IF;
        ELSIF cardinality(v_candidates) >= 500 THEN
            -- Each event taken holds a lock until the commit, of which the server has few.
            v_verdicts[i] := 'wait';
            v_reasons[i] := 'too many at once';
            v_waits[i] := 50;
        ELSE
            v_candidates := v_candidates || i;
        END IF;
    END LOOP;

    IF v_candidates <> '{}' THEN
        FOR v_taken IN
            SELECT * FROM @extschema@._rule_events_take(p_consumer,
                (SELECT array_agg(v_webhook_ids[i] ORDER BY k) FROM unnest(v_candidates) WITH ORDINALITY c (i, k)),
                (SELECT array_agg(v_message_ids[i] ORDER BY k) FROM unnest(v_candidates) WITH ORDINALITY c (i, k)),
                (SELECT array_agg(v_streams[i] ORDER BY k) FROM unnest(v_candidates) WITH ORDINALITY c (i, k)),
                (SELECT array_agg(v_sequences[i] ORDER BY k) FROM unnest(v_candidates) WITH ORDINALITY c (i, k)))
        LOOP
            v_verdicts[v_candidates[v_taken.n]] := v_taken.verdict;
            v_reasons[v_candidates[v_taken.n]] := v_taken.reason;
            v_waits[v_candidates[v_taken.n]] := v_taken.wait_ms;
            v_tries[v_candidates[v_taken.n]] := v_taken.try;
        END LOOP;
    END IF;

    INSERT INTO @extschema@.rule_webhook_drops (webhook_id, message_id, transaction, reason, worker)
    SELECT v_webhook_ids[i], v_message_ids[i], v_transactions[i], v_reasons[i], p_consumer
    FROM generate_subscripts(v_verdicts, 1) i WHERE v_verdicts[i] = 'drop' ORDER BY i;

    RETURN QUERY SELECT * FROM unnest(array(SELECT generate_subscripts(v_verdicts, 1)), v_verdicts, v_reasons, v_waits, v_tries);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_admit(text, jsonb) IS
    'For workers: one verdict per stream message, and the lease of those to deliver. Verdicts: deliver, wait, drop, payload, not ours.';

-- sql/004_worker_attempts.sql
-- What a worker reports, read so that no member can fail its batch.

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_attempts(p_attempts jsonb)
RETURNS TABLE (n integer, path text, queue_id bigint, webhook_id integer, message_id text, redelivery integer, try integer,
               result text, status integer, started_ms_ago double precision, duration_ms double precision,
               error text, answer text, stream text, sequence bigint, payload text, problem text)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT e.n::integer, v.path, v.queue_id, v.webhook_id, m ->> 'message_id', v.redelivery, v.try,
           -- An endpoint may answer with any number, and one that is no status must not keep its event for ever.
           CASE WHEN v.result = 'answered' AND v.status IS NULL THEN 'failed' ELSE v.result END,
           v.status, v.started_ms_ago, v.duration_ms,
           CASE WHEN v.result = 'answered' AND v.status IS NULL THEN coalesce(left(m ->> 'error', 1000), 'an answer without a valid status')
                ELSE left(m ->> 'error', 1000) END,
           -- Bytes of an answer are bounded, whatever its letters weigh.
           CASE WHEN octet_length(m ->> 'answer') <= 1024 THEN m ->> 'answer' ELSE left(m ->> 'answer', 256) END,
           m ->> 'stream', @extschema@._rule_json_count(m -> 'sequence'), m ->> 'payload',
           CASE WHEN v.path IS NULL THEN 'path is neither stream nor queue'
                WHEN v.result IS NULL THEN 'result is none of answered, failed, published, released'
                WHEN v.path = 'queue' AND v.queue_id IS NULL THEN 'no queue id'
                WHEN v.path = 'stream' AND (v.webhook_id IS NULL OR m ->> 'message_id' IS NULL) THEN 'no webhook id or message id'
                WHEN v.path = 'stream' AND v.result = 'published' THEN 'a stream message cannot be published'
           END
    FROM jsonb_array_elements(p_attempts) WITH ORDINALITY AS e (m, n)
    CROSS JOIN LATERAL (SELECT
        CASE WHEN m ->> 'path' IN ('stream', 'queue') THEN m ->> 'path' END AS path,
        CASE WHEN m ->> 'result' IN ('answered', 'failed', 'published', 'released') THEN m ->> 'result' END AS result,
        @extschema@._rule_json_count(m -> 'queue_id') AS queue_id,
        CASE WHEN @extschema@._rule_json_count(m -> 'webhook_id') <= 2147483647
             THEN @extschema@._rule_json_count(m -> 'webhook_id')::integer END AS webhook_id,
        least(coalesce(@extschema@._rule_json_count(m -> 'redelivery'), 0), 2147483647)::integer AS redelivery,
        CASE WHEN @extschema@._rule_json_count(m -> 'try') <= 2147483647
             THEN @extschema@._rule_json_count(m -> 'try')::integer END AS try,
        CASE WHEN @extschema@._rule_json_count(m -> 'status') BETWEEN 100 AND 999
             THEN @extschema@._rule_json_count(m -> 'status')::integer END AS status,
        CASE WHEN m ->> 'started_ms_ago' ~ '^[0-9]{1,12}(\.[0-9]+)?$'
             THEN (m ->> 'started_ms_ago')::double precision ELSE 0 END AS started_ms_ago,
        CASE WHEN m ->> 'duration_ms' ~ '^[0-9]{1,12}(\.[0-9]+)?$'
             THEN (m ->> 'duration_ms')::double precision END AS duration_ms) v
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_attempts(jsonb) IS
    'Internal: the members of a batch of attempts, each with what is wrong with it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_retry_delay_ms(p_delay_ms integer, p_multiplier numeric, p_tries integer)
RETURNS integer LANGUAGE sql VOLATILE
AS $$
    -- The exponent is bounded before it is used: 100 to the power of 1000 is no number here.
    SELECT least(3600000, p_delay_ms * pg_catalog.exp(least(50, pg_catalog.ln(p_multiplier::double precision) * (p_tries - 1)))
                          * (0.8 + 0.4 * pg_catalog.random()))::integer
$$;
COMMENT ON FUNCTION @extschema@._rule_retry_delay_ms(integer, numeric, integer) IS
    'Internal: how long to wait after so many tries, with 20 per cent of jitter either way, at most an hour.';

-- sql/004_worker_begin.sql
-- What the functions of workers share. Internal ones run under the settings of those that workers call, and set none
-- themselves: that would cost more than they do. Those that touch events run without sequential scans: a plan made while the
-- queue was empty must not be kept when it is long.

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_begin(p_consumer text, p_durable boolean)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_name(p_consumer, 'consumer name');
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM @extschema@._rule_refuse(
            format('workers cannot be served in a %s transaction', upper(current_setting('transaction_isolation'))),
            'Call it in READ COMMITTED: each look at the database must see what has committed until then.', '25001');
    END IF;
    -- What was seen as committed must be on disk before anything is sent, also where applications commit asynchronously.
    IF p_durable AND current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_begin(text, boolean) IS
    'Internal: refuses what no worker may do and makes the transaction durable.';

-- A longer HTTP time-out needs a longer lease, or a slow endpoint would be called twice.
CREATE OR REPLACE FUNCTION @extschema@._rule_lease(p_timeout_ms integer)
RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT pg_catalog.make_interval(secs => 60 + greatest(0, p_timeout_ms - 30000) / 1000.0) $$;
COMMENT ON FUNCTION @extschema@._rule_lease(integer) IS
    'Internal: how long an event is leased, by its webhook''s time-out.';

-- Every login may take advisory locks, and one that can be no worker must not keep an event back. While it holds the lock no
-- worker does, and what is left to exclude are two workers that meet in this moment over the queue's and the stream's copy:
-- a second delivery at worst.
CREATE OR REPLACE FUNCTION @extschema@._rule_event_lock_is_strange(p_key integer)
RETURNS boolean LANGUAGE sql VOLATILE
AS $$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
          AND l.classid = 1919247717 AND l.objid = (p_key::bigint & 4294967295)::oid
          -- NULL: a prepared transaction, which no worker makes.
          AND pg_catalog.has_function_privilege(a.usesysid, '@extschema@.rule_worker_claim(text, integer, text[])', 'EXECUTE')
              IS NOT TRUE)
$$;
COMMENT ON FUNCTION @extschema@._rule_event_lock_is_strange(integer) IS
    'Internal: whether the lock of an event is held by a session that has no right to take events.';

-- One taker of an event at a time, over the queue and the receipts. Never waited for: whoever fails comes again.
CREATE OR REPLACE FUNCTION @extschema@._rule_event_lock(p_webhook_id integer, p_message_id text, p_redelivery integer)
RETURNS boolean LANGUAGE sql VOLATILE
AS $$ SELECT pg_catalog.pg_try_advisory_xact_lock(1919247717,
                 pg_catalog.hashtext(pg_catalog.concat_ws(':', p_webhook_id, p_redelivery, p_message_id)))
             OR @extschema@._rule_event_lock_is_strange(
                 pg_catalog.hashtext(pg_catalog.concat_ws(':', p_webhook_id, p_redelivery, p_message_id))) $$;
COMMENT ON FUNCTION @extschema@._rule_event_lock(integer, text, integer) IS
    'Internal: makes the transaction the only one that takes this event, or says that another is.';

CREATE OR REPLACE FUNCTION @extschema@._rule_wait_ms(p_until timestamptz)
RETURNS integer LANGUAGE sql VOLATILE
AS $$ SELECT least(5000, greatest(50, pg_catalog.ceil(1000 * extract(epoch FROM p_until - pg_catalog.clock_timestamp()))))::integer $$;
COMMENT ON FUNCTION @extschema@._rule_wait_ms(timestamptz) IS
    'Internal: when to look again, by when a lease ends.';

CREATE OR REPLACE FUNCTION @extschema@._rule_json_count(p_value jsonb)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE pg_catalog.jsonb_typeof(p_value)
        WHEN 'number' THEN CASE WHEN p_value::numeric BETWEEN 0 AND 999999999999999 THEN p_value::numeric::bigint END
        WHEN 'string' THEN CASE WHEN p_value #>> '{}' ~ '^[0-9]{1,15}$' THEN (p_value #>> '{}')::bigint END
        END
$$;
COMMENT ON FUNCTION @extschema@._rule_json_count(jsonb) IS
    'Internal: a number from zero up, or NULL for whatever else a worker sent.';

-- sql/004_worker_claim.sql
-- Queue rows: to NATS again where it can take them, else to the endpoint, round over the webhooks.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_claim(p_consumer text, p_limit integer, p_streams text[])
RETURNS TABLE (queue_id bigint, action text, webhook_id integer, message_id text, redelivery integer, try integer,
               payload text, stream text, subject text, headers jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET jit = off SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_left integer := least(p_limit, 500);
    v_publish bigint[];
    v_post bigint[];
    v_source_id uuid;
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, true);
    PERFORM @extschema@._rule_check_range(p_limit, 1, 1000000, 'the number of rows to claim');
    v_source_id := (@extschema@._rule_source()).source_id;
    PERFORM @extschema@._rule_streams_reached(p_consumer, p_streams);
    PERFORM @extschema@._rule_leases_end();
    -- Half is left for the endpoints: a backlog for NATS must not hold them up.
    v_publish := @extschema@._rule_claim_publish(p_consumer, (v_left + 1) / 2, p_streams);
    v_post := @extschema@._rule_claim_post(p_consumer, v_left - cardinality(v_publish));
    RETURN QUERY
    SELECT q.queue_id, CASE WHEN a.publish THEN 'publish' ELSE 'post' END, q.webhook_id, q.message_id, q.redelivery,
           q.retry_count + 1, a.payload,
           CASE WHEN a.publish THEN c.stream_name END, CASE WHEN a.publish THEN w.nats_subject END,
           CASE WHEN a.publish THEN jsonb_build_object(
               'Nats-Msg-Id', format('%s:%s:%s', v_source_id, q.webhook_id, q.message_id),
               'Rule-Engine-Source', v_source_id,
               'Rule-Engine-Webhook-Id', q.webhook_id::text,
               'Rule-Engine-Webhook-Name', w.webhook_name,
               'Rule-Engine-Message-Id', q.message_id) END
    FROM (SELECT p.id, p.payload, true AS publish FROM @extschema@._rule_claim_texts(v_publish) p
          UNION ALL SELECT p.id, p.payload, false FROM @extschema@._rule_claim_texts(v_post) p) a
    JOIN @extschema@.rule_webhook_queue q ON q.queue_id = a.id
    JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
    LEFT JOIN @extschema@.rule_nats_config c ON c.config_id = @extschema@._rule_config_of(w.nats_config_id)
    ORDER BY a.publish DESC, q.queue_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_claim(text, integer, text[]) IS
    'For workers: leases due queue rows, each with what to do: post to the endpoint, or publish to NATS with the headers given.';

CREATE OR REPLACE FUNCTION @extschema@._rule_config_of(p_config_id integer)
RETURNS integer LANGUAGE sql STABLE
AS $$ SELECT coalesce(p_config_id,
          (SELECT c.config_id FROM @extschema@.rule_nats_config c WHERE c.config_name = 'default')) $$;
COMMENT ON FUNCTION @extschema@._rule_config_of(integer) IS
    'Internal: a webhook''s configuration, where NULL means default.';

CREATE OR REPLACE FUNCTION @extschema@._rule_streams_reached(p_consumer text, p_streams text[])
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    -- Once in 5 s is enough to tell an outage of 60 s.
    INSERT INTO @extschema@.rule_nats_consumer_stats AS s (stream_name, consumer_name, last_active_at, reached_at)
    SELECT t.name, p_consumer, clock_timestamp(), clock_timestamp()
    FROM (SELECT DISTINCT u.name FROM unnest(p_streams) AS u (name) WHERE u.name <> '') t
    WHERE NOT EXISTS (
        SELECT FROM @extschema@.rule_nats_consumer_stats s
        WHERE s.stream_name = t.name AND s.consumer_name = p_consumer
          AND s.reached_at > clock_timestamp() - interval '5 seconds')
    ORDER BY t.name
    ON CONFLICT (stream_name, consumer_name) DO UPDATE SET reached_at = excluded.reached_at;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_streams_reached(text, text[]) IS
    'Internal: keeps when a worker last reached a stream.';

CREATE OR REPLACE FUNCTION @extschema@._rule_leases_end()
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    WITH gone AS (
        SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
        WHERE q.status = 'processing' AND q.lease_until <= v_now
        -- What goes to NATS first: left leased for longer, it would be overtaken.
        ORDER BY q.route <> 'publish', q.lease_until LIMIT 1000 FOR UPDATE SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_queue q
    SET status = 'pending', leased_by = NULL, lease_until = NULL,
        -- The stream still has it and comes first.
        next_retry_at = CASE q.route WHEN 'stream' THEN v_now + interval '30 seconds' ELSE q.next_retry_at END
    FROM gone WHERE q.queue_id = gone.queue_id;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_leases_end() IS
    'Internal: gives back what a dead worker held.';

-- sql/004_worker_heartbeat.sql
-- A worker lives: its totals, and the leases of what it still holds.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_heartbeat(p_consumer text, p_totals jsonb, p_holds jsonb)
RETURNS TABLE (verdict text, lost jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET jit = off SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock_timestamp();
    v_ids bigint[];
    v_webhook_ids integer[];
    v_message_ids text[];
    v_redeliveries integer[];
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, false);
    PERFORM @extschema@._rule_worker_totals(p_consumer, p_totals);

    SELECT coalesce(array_agg(DISTINCT @extschema@._rule_json_count(h)), '{}') INTO v_ids
    FROM jsonb_array_elements(CASE jsonb_typeof(p_holds -> 'queue') WHEN 'array' THEN p_holds -> 'queue' ELSE '[]' END) h
    WHERE @extschema@._rule_json_count(h) IS NOT NULL;
    SELECT coalesce(array_agg(@extschema@._rule_json_count(h -> 0)::integer), '{}'),
           coalesce(array_agg(h ->> 1), '{}'), coalesce(array_agg(@extschema@._rule_json_count(h -> 2)::integer), '{}')
    INTO v_webhook_ids, v_message_ids, v_redeliveries
    FROM jsonb_array_elements(CASE jsonb_typeof(p_holds -> 'receipts') WHEN 'array' THEN p_holds -> 'receipts' ELSE '[]' END) h
    WHERE @extschema@._rule_json_count(h -> 0) <= 2147483647 AND @extschema@._rule_json_count(h -> 2) <= 2147483647
      AND h ->> 1 IS NOT NULL;

    -- A row that is locked is being reported or taken in this moment, and needs no renewal.
    WITH mine AS (
        SELECT q.queue_id, @extschema@._rule_lease(w.timeout_ms) AS lease
        FROM @extschema@.rule_webhook_queue q JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
        WHERE q.status = 'processing' AND q.leased_by = p_consumer
          AND q.queue_id IN (
              SELECT unnest(v_ids) UNION
              SELECT k.queue_id FROM unnest(v_webhook_ids, v_message_ids, v_redeliveries) AS h (webhook_id, message_id, redelivery)
              JOIN @extschema@.rule_webhook_queue k USING (webhook_id, message_id, redelivery))
        ORDER BY q.webhook_id, q.message_id, q.redelivery FOR UPDATE OF q SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_queue q SET lease_until = v_now + mine.lease FROM mine WHERE q.queue_id = mine.queue_id;
    WITH mine AS (
        SELECT r.webhook_id, r.message_id, r.redelivery, @extschema@._rule_lease(w.timeout_ms) AS lease
        FROM unnest(v_webhook_ids, v_message_ids, v_redeliveries) AS h (webhook_id, message_id, redelivery)
        JOIN @extschema@.rule_webhook_receipts r USING (webhook_id, message_id, redelivery)
        JOIN @extschema@.rule_webhooks w ON w.webhook_id = r.webhook_id
        WHERE r.state = 'leased' AND r.leased_by = p_consumer
        ORDER BY r.webhook_id, r.message_id, r.redelivery FOR UPDATE OF r SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_receipts r SET lease_until = v_now + mine.lease FROM mine
    WHERE r.webhook_id = mine.webhook_id AND r.message_id = mine.message_id AND r.redelivery = mine.redelivery;

    RETURN QUERY SELECT 'go on', jsonb_build_object(
        'queue', (
            SELECT coalesce(jsonb_agg(u.id ORDER BY u.id), '[]') FROM unnest(v_ids) AS u (id)
            WHERE NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                              WHERE q.queue_id = u.id AND q.status = 'processing' AND q.leased_by = p_consumer)),
        'receipts', (
            SELECT coalesce(jsonb_agg(jsonb_build_array(h.webhook_id, h.message_id, h.redelivery)
                                      ORDER BY h.webhook_id, h.message_id, h.redelivery), '[]')
            FROM unnest(v_webhook_ids, v_message_ids, v_redeliveries) AS h (webhook_id, message_id, redelivery)
            WHERE NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                              WHERE q.webhook_id = h.webhook_id AND q.message_id = h.message_id
                                AND q.redelivery = h.redelivery AND q.status = 'processing' AND q.leased_by = p_consumer)
              AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_receipts r
                              WHERE r.webhook_id = h.webhook_id AND r.message_id = h.message_id
                                AND r.redelivery = h.redelivery AND r.state = 'leased' AND r.leased_by = p_consumer)));
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_heartbeat(text, jsonb, jsonb) IS
    'For workers: writes totals, renews the leases of what is held, and says which of it is not the worker''s any more.';

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_totals(p_consumer text, p_totals jsonb)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO @extschema@.rule_nats_consumer_stats AS s
        (stream_name, consumer_name, queue_group, messages_delivered, messages_acknowledged, messages_pending,
         messages_redelivered, avg_processing_time_ms, last_active_at, active)
    SELECT DISTINCT ON (t ->> 'stream') t ->> 'stream', p_consumer, t ->> 'group',
           coalesce(@extschema@._rule_json_count(t -> 'delivered'), 0), coalesce(@extschema@._rule_json_count(t -> 'acknowledged'), 0),
           coalesce(@extschema@._rule_json_count(t -> 'pending'), 0), coalesce(@extschema@._rule_json_count(t -> 'redelivered'), 0),
           CASE WHEN t ->> 'avg_ms' ~ '^[0-9]{1,12}(\.[0-9]+)?$' THEN round((t ->> 'avg_ms')::numeric, 3) END,
           clock_timestamp(), t -> 'active' IS DISTINCT FROM 'false'::jsonb
    FROM jsonb_array_elements(CASE jsonb_typeof(p_totals) WHEN 'array' THEN p_totals ELSE '[]' END) t
    WHERE t ->> 'stream' <> ''
    ORDER BY t ->> 'stream'
    ON CONFLICT (stream_name, consumer_name) DO UPDATE
    SET queue_group = coalesce(excluded.queue_group, s.queue_group), messages_delivered = excluded.messages_delivered,
        messages_acknowledged = excluded.messages_acknowledged, messages_pending = excluded.messages_pending,
        messages_redelivered = excluded.messages_redelivered,
        avg_processing_time_ms = coalesce(excluded.avg_processing_time_ms, s.avg_processing_time_ms),
        last_active_at = excluded.last_active_at, active = excluded.active, updated_at = now();
END
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_totals(text, jsonb) IS
    'Internal: writes what a worker counted, per stream.';

-- sql/004_worker_hello.sql
-- A worker says who it is, and learns what it must know of webhooks to send.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_hello(
    p_consumer text, p_group text, p_version text, p_capabilities text[], p_streams text[])
RETURNS TABLE (source_id uuid, lease_ms integer, settings jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, false);
    PERFORM @extschema@._rule_check_name(p_group, 'queue group');
    INSERT INTO @extschema@.rule_nats_consumer_stats AS s (stream_name, consumer_name, queue_group, last_active_at)
    SELECT t.name, p_consumer, p_group, clock_timestamp()
    FROM (SELECT DISTINCT u.name FROM unnest(p_streams) AS u (name) WHERE u.name <> '') t ORDER BY t.name
    ON CONFLICT (stream_name, consumer_name)
    DO UPDATE SET queue_group = excluded.queue_group, last_active_at = excluded.last_active_at, active = true, updated_at = now();
    RETURN QUERY SELECT (@extschema@._rule_source()).source_id, 60000,
        '{"heartbeat_ms": 5000, "poll_ms": 250, "endpoints_ms": 1000, "stranger_ms": 60000}'::jsonb;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_hello(text, text, text, text[], text[]) IS
    'For workers: registers a process and says whose events it may deliver, how long it may hold one, and how often to ask.';

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_endpoints(p_mark pg_snapshot DEFAULT NULL)
RETURNS TABLE (mark pg_snapshot, webhook_id integer, webhook_name text, url text, method text, headers jsonb,
               timeout_ms integer, secrets text[], enabled boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- An expiry changes nothing by itself, so no mark would show it: what expired is deleted, which does.
    IF EXISTS (SELECT FROM @extschema@.rule_webhook_secrets s WHERE s.expires_at <= clock_timestamp()) THEN
        WITH w AS (
            SELECT w.webhook_id FROM @extschema@.rule_webhooks w
            WHERE w.webhook_id IN (SELECT s.webhook_id FROM @extschema@.rule_webhook_secrets s
                                   WHERE s.expires_at <= clock_timestamp())
            ORDER BY w.webhook_id FOR UPDATE SKIP LOCKED)
        DELETE FROM @extschema@.rule_webhook_secrets s USING w
        WHERE s.webhook_id = w.webhook_id AND s.expires_at <= clock_timestamp();
    END IF;
    RETURN QUERY
    SELECT m.mark, e.webhook_id, e.webhook_name, e.webhook_url, e.http_method, e.headers, e.timeout_ms, e.secrets, e.enabled
    FROM (SELECT pg_current_snapshot() AS mark) m
    LEFT JOIN LATERAL (
        SELECT w.*, ARRAY(SELECT s.secret FROM @extschema@.rule_webhook_secrets s
                          WHERE s.webhook_id = w.webhook_id
                            AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())
                          ORDER BY s.created_at DESC, s.secret_name) AS secrets
        FROM @extschema@.rule_webhooks w
        -- A mark from beyond our own time was given before the database went back to an earlier point.
        WHERE p_mark IS NULL OR pg_snapshot_xmax(p_mark) > pg_snapshot_xmax(m.mark)
           OR NOT pg_visible_in_snapshot(w.changed_xid, p_mark)
    ) e ON true
    ORDER BY e.webhook_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_endpoints(pg_snapshot) IS
    'For workers: webhooks that changed since the mark of the last call, all of them without one, and a new mark. One row with webhook_id NULL when nothing did.';

-- sql/004_worker_messages.sql
-- What a worker says of a stream message, read so that no member can fail its batch.

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_messages(p_messages jsonb)
RETURNS TABLE (n integer, webhook_id integer, message_id text, source_id text, transaction xid8,
               stream text, sequence bigint, age_ms bigint, payload text, problem text)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT e.n::integer, v.webhook_id, v.message_id, lower(m ->> 'source_id'), v.transaction,
           m ->> 'stream', v.sequence, coalesce(@extschema@._rule_json_count(m -> 'age_ms'), 0), m ->> 'payload',
           CASE WHEN m ->> 'webhook_id' IS NULL THEN 'no webhook id'
                WHEN v.webhook_id IS NULL THEN 'webhook id is malformed'
                WHEN m ->> 'source_id' IS NULL THEN 'no source id'
                WHEN lower(m ->> 'source_id') !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN 'source id is malformed'
                WHEN m ->> 'message_id' IS NULL THEN 'no message id'
                WHEN v.message_id IS NULL THEN 'message id is malformed'
                WHEN m ->> 'transaction' IS NOT NULL AND v.transaction IS NULL THEN 'transaction is malformed'
           END
    FROM jsonb_array_elements(p_messages) WITH ORDINALITY AS e (m, n)
    CROSS JOIN LATERAL (SELECT
        CASE WHEN @extschema@._rule_json_count(m -> 'webhook_id') BETWEEN 1 AND 2147483647
             THEN @extschema@._rule_json_count(m -> 'webhook_id')::integer END AS webhook_id,
        CASE WHEN octet_length(m ->> 'message_id') BETWEEN 1 AND 255 AND m ->> 'message_id' !~ '[\u0001-\u001f\u007f]'
             THEN m ->> 'message_id' END AS message_id,
        -- xid8 reads any text as some number.
        CASE WHEN m ->> 'transaction' ~ '^[0-9]{1,20}$' THEN
             CASE WHEN (m ->> 'transaction')::numeric <= 18446744073709551615 THEN (m ->> 'transaction')::xid8 END
             END AS transaction,
        @extschema@._rule_json_count(m -> 'sequence') AS sequence) v
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_messages(jsonb) IS
    'Internal: the members of a batch of stream messages, each with what is wrong with it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_payload_bytes(p_base64 text)
RETURNS bytea LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN decode(p_base64, 'base64');
EXCEPTION WHEN data_exception THEN
    -- Better kept as it came than lost.
    RETURN convert_to(p_base64, 'UTF8');
END
$$;
COMMENT ON FUNCTION @extschema@._rule_payload_bytes(text) IS
    'Internal: the bytes of a message.';

CREATE OR REPLACE FUNCTION @extschema@._rule_payload_json(p_bytes bytea)
RETURNS jsonb LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN convert_from(p_bytes, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_payload_json(bytea) IS
    'Internal: the same as jsonb, NULL where jsonb refuses it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_stranger_keep(
    p_message_id text, p_stream text, p_sequence bigint, p_base64 text, p_problem text)
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_bytes bytea := @extschema@._rule_payload_bytes(p_base64);
    v_json jsonb := @extschema@._rule_payload_json(v_bytes);
    v_message_id text := coalesce(p_message_id, format('%s:%s', coalesce(p_stream, 'unknown'), coalesce(p_sequence, 0)));
BEGIN
    -- An ack that was lost brings the same message again.
    IF NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                   WHERE q.webhook_id IS NULL AND q.message_id = v_message_id AND q.error_message = p_problem
                     AND (q.payload = v_json OR q.payload_bytes = CASE WHEN v_json IS NULL THEN v_bytes END)) THEN
        INSERT INTO @extschema@.rule_webhook_queue (message_id, payload, payload_bytes, status, error_message, completed_at)
        VALUES (v_message_id, v_json, CASE WHEN v_json IS NULL THEN v_bytes END, 'failed', p_problem, clock_timestamp());
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_stranger_keep(text, text, bigint, text, text) IS
    'Internal: keeps a message that belongs to no webhook as a dead letter.';

-- sql/004_worker_report.sql
-- What became of each try. Nothing is recorded for a lease that has passed to another worker.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_report(p_consumer text, p_attempts jsonb)
RETURNS TABLE (ordinal integer, verdict text, wait_ms integer, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET jit = off SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v record;
    v_locked record;
    v_again boolean;
    v_delay integer;
    -- What was delivered is most of it, and is recorded at once.
    v_rows bigint[] := '{}';
    v_receipts integer[] := '{}';
    v_delivered integer[] := '{}';
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, true);
    IF jsonb_typeof(p_attempts) IS DISTINCT FROM 'array' THEN
        PERFORM @extschema@._rule_refuse('the attempts must be a JSON array', 'Give one object per attempt.');
    END IF;
    SELECT * INTO v_locked FROM @extschema@._rule_leased_lock(p_consumer, p_attempts);
    FOR v IN SELECT * FROM @extschema@._rule_leased(p_consumer, p_attempts) LOOP
        ordinal := v.n;
        wait_ms := NULL;
        reason := NULL;
        IF v.held_in IS NULL THEN
            verdict := 'lost';
            wait_ms := 1000;
            reason := coalesce(v.problem, 'the lease is not this worker''s any more');
        ELSIF NOT coalesce(CASE v.held_in WHEN 'receipt' THEN v.n = ANY (v_locked.locked_receipts)
                                          ELSE v.held_queue_id = ANY (v_locked.locked_rows) END, false) THEN
            -- Asked again at longer and longer intervals, as the try becomes a thing of the past.
            verdict := 'busy';
            wait_ms := least(2000, greatest(100, (v.started_ms_ago - coalesce(v.duration_ms, 0)) / 4));
            reason := 'a transaction that has not ended holds it';
        ELSIF v.result = 'answered' AND v.status BETWEEN 200 AND 299 THEN
            verdict := 'done';
            v_delivered := v_delivered || v.n;
            IF v.held_in = 'receipt' THEN
                v_receipts := v_receipts || v.n;
            ELSE
                v_rows := v_rows || v.held_queue_id;
            END IF;
        ELSIF v.result = 'published' THEN
            PERFORM @extschema@._rule_queue_row_published(v.held_queue_id);
            verdict := 'done';
        ELSIF v.result = 'released' THEN
            PERFORM @extschema@._rule_event_release(v.held_queue_id, v.path, v.webhook_id, v.message_id, v.redelivery, v.error);
            verdict := 'again';
            wait_ms := 0;
        ELSIF v.held_in = 'queue row' AND v.route = 'publish' THEN
            -- NATS can never take it, and its endpoint has not been tried.
            PERFORM @extschema@._rule_queue_row_post(v.held_queue_id, v.error);
            verdict := 'queued';
            reason := 'it goes to the endpoint without NATS';
        ELSE
            v_again := v.retry_enabled AND v.retry_count < v.max_retries;
            v_delay := @extschema@._rule_retry_delay_ms(v.retry_delay_ms, v.retry_backoff_multiplier, v.retry_count + 1);
            verdict := CASE WHEN NOT v_again THEN 'dead' WHEN v.path = 'stream' AND v_delay > 60000 THEN 'queued' ELSE 'again' END;
            IF v.held_in = 'receipt' AND verdict <> 'again' AND v.payload IS NULL THEN
                reason := CASE verdict WHEN 'dead' THEN 'it becomes a dead letter' ELSE 'it moves to the queue' END;
                verdict := 'payload';
            ELSE
                IF v.held_in = 'receipt' AND verdict <> 'again' THEN
                    SELECT m.verdict, m.wait_ms, m.reason INTO verdict, wait_ms, reason
                    FROM @extschema@._rule_event_move(v.webhook_id, v.message_id, v.redelivery, v.retry_count + 1, v.payload,
                        verdict, v_delay, v.status, v.error, v.answer) m;
                ELSE
                    PERFORM @extschema@._rule_event_fail(v.held_queue_id, v.path, v.webhook_id, v.message_id, v.redelivery,
                        v.retry_count + 1, verdict, v_delay, v.status, v.error, v.answer);
                    wait_ms := CASE verdict WHEN 'again' THEN v_delay END;
                END IF;
                INSERT INTO @extschema@.rule_webhook_attempts
                    (webhook_id, message_id, redelivery, try, path, worker, started_at, duration_ms, status, outcome,
                     error_message, answer)
                VALUES (v.webhook_id, v.message_id, v.redelivery, v.retry_count + 1, v.path, p_consumer,
                        clock_timestamp() - make_interval(secs => v.started_ms_ago / 1000), v.duration_ms, v.status,
                        CASE verdict WHEN 'dead' THEN 'dead' ELSE 'again' END, v.error, v.answer);
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF v_delivered <> '{}' THEN
        PERFORM @extschema@._rule_events_delivered(p_consumer, p_attempts, v_delivered, v_rows, v_receipts);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_report(text, jsonb) IS
    'For workers: records what became of each try and says what follows. Verdicts: done, again, queued, dead, payload, lost, and busy: report it again after wait_ms, and hold on to the lease.';

-- sql/005_trigger.sql
CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_trigger()
RETURNS trigger LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_webhook_trigger';
COMMENT ON FUNCTION @extschema@.rule_webhook_trigger() IS
    'Trigger function that sends the rows of a table by the webhook''s publish_mode: AFTER INSERT OR UPDATE OR DELETE ... EXECUTE FUNCTION rule_webhook_trigger(''webhook name''), FOR EACH ROW, or FOR EACH STATEMENT with transition tables, which waits once for a batch. Further arguments name the columns to send; an UPDATE that changes none of them sends nothing.';

-- sql/006_cleanup.sql
-- Cleaning by hand. A call removes at most 100000 rows, so that no transaction grows without bound.

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_cleanup_old_history(
    p_older_than interval DEFAULT '30 days', p_keep_failed boolean DEFAULT true)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v record;
BEGIN
    PERFORM @extschema@._rule_check_older_than(p_older_than);
    SELECT * INTO v FROM @extschema@._rule_rows_delete('rule_nats_publish_history', 'r.published_at',
        format('r.published_at < %L::timestamptz AND (r.success OR %L)', clock_timestamp() - p_older_than, p_keep_failed IS FALSE), 100000);
    PERFORM @extschema@._rule_history_left(v.newest);
    RETURN v.removed;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_cleanup_old_history(interval, boolean) IS
    'Deletes publishes older than this from the history, failures only with p_keep_failed => false; at most 100000 rows a call. A message in a stream that is older than what is left is delivered unless its transaction rolled back or is open.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_cleanup_expired()
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v record;
BEGIN
    SELECT * INTO v FROM @extschema@._rule_rows_delete('rule_nats_publish_history', 'r.published_at',
        format('r.expires_at <= %L::timestamptz', clock_timestamp()), 100000);
    PERFORM @extschema@._rule_history_left(v.newest);
    RETURN v.removed;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_cleanup_expired() IS
    'Deletes publishes whose expires_at has passed from the history, failures as well; at most 100000 rows a call.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_cleanup_old_calls(
    p_older_than interval DEFAULT '30 days', p_keep_failed boolean DEFAULT true)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_older_than(p_older_than);
    RETURN (SELECT d.removed FROM @extschema@._rule_rows_delete('rule_webhook_queue', 'coalesce(r.completed_at, r.created_at)',
        format('(r.status = ''success'' OR (r.status = ''failed'' AND %L)) AND coalesce(r.completed_at, r.created_at) < %L::timestamptz
                AND NOT @extschema@._rule_queue_row_needed(r.webhook_id, coalesce(r.completed_at, r.created_at))',
               p_keep_failed IS FALSE, clock_timestamp() - p_older_than), 100000) d);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_cleanup_old_calls(interval, boolean) IS
    'Deletes delivered events that ended longer ago than this from the queue, dead letters only with p_keep_failed => false, and never one that is still to be delivered, nor, of a webhook with NATS, one younger than rule_engine_retention keeps receipts: it keeps a copy in the stream from being delivered again; at most 100000 rows a call.';

-- sql/006_comments.sql
COMMENT ON COLUMN @extschema@.rule_webhooks.held_reason IS 'Why its events wait; NULL when they do not';
COMMENT ON COLUMN @extschema@.rule_webhooks.held_since IS 'Since when they are held';

COMMENT ON TABLE @extschema@.rule_engine_retention IS 'How long the rows of each table stay before rule_engine_maintain() removes them.';
COMMENT ON COLUMN @extschema@.rule_engine_retention.table_name IS 'The table';
COMMENT ON COLUMN @extschema@.rule_engine_retention.keep IS 'How long a row stays after it ended, at least; rows of the publish history also until their expires_at';
COMMENT ON COLUMN @extschema@.rule_engine_retention.keep_failed IS 'The same for failures; NULL is for ever';
COMMENT ON COLUMN @extschema@.rule_engine_retention.pristine IS 'True until the row is changed; a dump leaves it out';

-- sql/006_delete.sql
-- Deleting rows, so many at a time. The conditions below come from this schema's own code alone.

CREATE OR REPLACE FUNCTION @extschema@._rule_check_older_than(p_older_than interval)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_older_than IS NULL THEN
        PERFORM @extschema@._rule_refuse('p_older_than must not be NULL', 'Give an interval such as 30 days.', '22004');
    ELSIF p_older_than < interval '0' THEN
        PERFORM @extschema@._rule_refuse(format('p_older_than cannot be %s', p_older_than), 'Give an interval of zero or more, such as 30 days.');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_older_than(interval) IS
    'Internal: refuses an age that no row can have.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_row_needed(p_webhook_id integer, p_ended_at timestamptz)
RETURNS boolean LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id AND w.nats_enabled)
       AND p_ended_at >= clock_timestamp() - (SELECT k.keep FROM @extschema@.rule_engine_retention k
                                              WHERE k.table_name = 'rule_webhook_receipts')
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_row_needed(integer, timestamptz) IS
    'Internal: whether an ended event''s queue row is the receipt of a copy that a stream may still hold.';

CREATE OR REPLACE FUNCTION @extschema@._rule_rows_delete(
    p_table text, p_time text, p_condition text, p_limit bigint, OUT removed bigint, OUT newest timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_leaf regclass;
    v_removed bigint;
    v_newest timestamptz;
BEGIN
    removed := 0;
    FOR v_leaf IN
        SELECT l.relid
        FROM (SELECT t.relid FROM pg_partition_tree(format('@extschema@.%I', p_table)::regclass) t WHERE t.isleaf
              UNION ALL
              SELECT c.oid FROM pg_class c WHERE c.oid = format('@extschema@.%I', p_table)::regclass AND c.relkind = 'r') l
        ORDER BY l.relid
    LOOP
        EXIT WHEN removed >= p_limit;
        EXECUTE format('WITH gone AS (
                            DELETE FROM ONLY %1$s r WHERE r.ctid = ANY (ARRAY(
                                SELECT r.ctid FROM ONLY %1$s r WHERE %2$s LIMIT %3$s FOR UPDATE SKIP LOCKED))
                            RETURNING %4$s AS at)
                        SELECT count(*), max(g.at) FROM gone g', v_leaf, p_condition, p_limit - removed, p_time)
        INTO v_removed, v_newest;
        removed := removed + v_removed;
        newest := greatest(newest, v_newest);
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_rows_delete(text, text, text, bigint) IS
    'Internal: deletes rows that meet a condition, at most so many, and tells the time of the newest.';

CREATE OR REPLACE FUNCTION @extschema@._rule_history_left(p_newest timestamptz)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    -- A message is as old as NATS' clock says, a row as ours does: a minute lies between them at most.
    UPDATE @extschema@.rule_engine_source s
    SET history_kept_since = least(p_newest + interval '1 minute', clock_timestamp())
    WHERE p_newest IS NOT NULL AND s.history_kept_since < least(p_newest + interval '1 minute', clock_timestamp())
$$;
COMMENT ON FUNCTION @extschema@._rule_history_left(timestamptz) IS
    'Internal: moves the mark before which history cannot decide, since rows up to this time have gone. NULL is none.';

-- sql/006_hold.sql
-- An endpoint that is to be left alone for a while. Events are accepted, to the queue and to NATS, and wait.

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_held_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (NEW.held_reason IS NULL) <> (NEW.held_since IS NULL) THEN
        PERFORM @extschema@._rule_refuse('held_reason and held_since belong together',
            'Use rule_webhook_hold() and rule_webhook_resume().');
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_held_check() IS
    'Internal trigger: refuses half a hold before a CHECK can print the row.';

CREATE OR REPLACE TRIGGER rule_webhooks_held_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_held_check();

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_hold(p_webhook_id integer, p_reason text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_reason IS NULL OR btrim(p_reason) = '' OR octet_length(p_reason) > 1000 THEN
        PERFORM @extschema@._rule_refuse('a hold needs a reason',
            'Say in at most 1000 bytes why, such as ''maintenance at the receiver''; webhook_status_summary shows it.',
            CASE WHEN p_reason IS NULL THEN '22004' ELSE '22023' END);
    END IF;
    UPDATE @extschema@.rule_webhooks w SET held_reason = p_reason, held_since = coalesce(w.held_since, clock_timestamp())
    WHERE w.webhook_id = p_webhook_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_hold(integer, text) IS
    'Delivers nothing to a webhook until rule_webhook_resume(). Events are accepted and wait; what a worker is sending ends as it does.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_resume(p_webhook_id integer, p_per_second integer DEFAULT NULL)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_events integer;
BEGIN
    IF p_per_second IS NOT NULL THEN
        PERFORM @extschema@._rule_check_range(p_per_second, 1, 1000000, 'p_per_second');
    END IF;
    -- No worker claims while this is open, so none of the rows below is locked for long.
    UPDATE @extschema@.rule_webhooks w SET held_reason = NULL, held_since = NULL
    WHERE w.webhook_id = p_webhook_id AND w.held_since IS NOT NULL;
    IF NOT FOUND THEN
        IF NOT EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id) THEN
            PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
        END IF;
        RETURN 0;
    END IF;
    IF p_per_second IS NULL THEN
        SELECT count(*) INTO v_events FROM @extschema@.rule_webhook_queue q
        WHERE q.webhook_id = p_webhook_id AND q.status = 'pending' AND q.next_retry_at <= v_now;
    ELSE
        UPDATE @extschema@.rule_webhook_queue q
        SET next_retry_at = v_now + make_interval(secs => (d.place / p_per_second)::double precision)
        FROM (SELECT p.queue_id, row_number() OVER (ORDER BY p.next_retry_at, p.queue_id) - 1.0 AS place
              FROM @extschema@.rule_webhook_queue p
              -- What goes to NATS goes in order: one that waits would hold up other webhooks' events behind it.
              WHERE p.webhook_id = p_webhook_id AND p.status = 'pending' AND p.next_retry_at <= v_now
                AND p.route <> 'publish') d
        WHERE q.queue_id = d.queue_id AND q.status = 'pending';
        GET DIAGNOSTICS v_events = ROW_COUNT;
    END IF;
    RETURN v_events;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_resume(integer, integer) IS
    'Delivers to a held webhook again, what has queued up at so many a second where p_per_second says it (but for what goes to NATS again). Returns how many queued events that sets going, 0 when it was not held.';

-- sql/006_maintain.sql
CREATE OR REPLACE FUNCTION @extschema@.rule_engine_maintain(p_max_rows bigint DEFAULT 100000)
RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ring record;
    v_rows record;
    v_report jsonb := '{"success": true}';
BEGIN
    PERFORM @extschema@._rule_check_range(p_max_rows, 1, 10000000, 'p_max_rows');
    -- TRUNCATE knows no snapshot: what an old one does not show would go uncounted, or be lost instead of kept.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM @extschema@._rule_refuse(
            format('maintenance cannot run in a %s transaction', upper(current_setting('transaction_isolation'))),
            'Call it in READ COMMITTED.', '25001');
    END IF;
    -- Two at a time would copy the rows that stay twice.
    IF NOT pg_try_advisory_xact_lock('@extschema@.rule_engine_retention'::regclass::oid::bigint::bit(32)::integer, 1) THEN
        RETURN jsonb_build_object('success', false, 'reason', 'another session maintains this database');
    END IF;

    -- Deletes come before TRUNCATE, whose lock lasts until the end.
    FOR v_rows IN
        SELECT d.name, d.time, d.condition FROM (VALUES
            ('rule_webhook_queue', 'coalesce(r.completed_at, r.created_at)',
             '((r.status = ''success'' AND coalesce(r.completed_at, r.created_at) < %1$L::timestamptz)
               OR (r.status = ''failed'' AND coalesce(r.completed_at, r.created_at) < %2$L::timestamptz))
              AND NOT @extschema@._rule_queue_row_needed(r.webhook_id, coalesce(r.completed_at, r.created_at))'),
            ('rule_webhook_receipts', 'r.done_at', 'r.state = ''done'' AND r.done_at < %1$L::timestamptz'),
            ('rule_webhook_drops', 'r.dropped_at', 'r.dropped_at < %1$L::timestamptz')) AS d (name, time, condition)
    LOOP
        SELECT v_report || jsonb_build_object(v_rows.name, jsonb_build_object('rows_removed', d.removed, 'more', d.removed >= p_max_rows))
        INTO v_report
        FROM @extschema@.rule_engine_retention k
        CROSS JOIN LATERAL @extschema@._rule_rows_delete(v_rows.name, v_rows.time,
            format(v_rows.condition, clock_timestamp() - k.keep, coalesce(clock_timestamp() - k.keep_failed, '-infinity')), p_max_rows) d
        WHERE k.table_name = v_rows.name;
    END LOOP;
    SELECT * INTO v_ring FROM @extschema@._rule_ring_maintain('rule_webhook_attempts', 'started_at',
        'r.outcome <> ''delivered''', 'false', p_max_rows);
    v_report := v_report || jsonb_build_object('rule_webhook_attempts', v_ring.report);
    SELECT * INTO v_ring FROM @extschema@._rule_ring_maintain('rule_nats_publish_history', 'published_at',
        'NOT r.success', format('r.expires_at IS NULL OR r.expires_at > %L::timestamptz', clock_timestamp()), p_max_rows);
    PERFORM @extschema@._rule_history_left(v_ring.newest);
    RETURN v_report || jsonb_build_object('rule_nats_publish_history', v_ring.report);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_engine_maintain(bigint) IS
    'Removes what rule_engine_retention does not keep and empties the day of the rings that is written to next. Call it every hour, by any scheduler; says what it did, and with "more" where p_max_rows left something for the next call.';

-- sql/006_retention.sql
CREATE OR REPLACE FUNCTION @extschema@._rule_retention_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- Deeper than one is the row giving way to a restored one.
        IF pg_trigger_depth() > 1 THEN
            RETURN OLD;
        END IF;
        PERFORM @extschema@._rule_refuse(format('the retention of %s cannot be deleted', OLD.table_name),
            'Change it: UPDATE rule_engine_retention SET keep = interval ''90 days'' ...', '0A000');
    END IF;
    PERFORM @extschema@._rule_check_choice(NEW.table_name,
        '{rule_nats_publish_history,rule_webhook_attempts,rule_webhook_queue,rule_webhook_receipts,rule_webhook_drops}', 'table_name');
    IF NEW.keep IS NULL OR NEW.keep < interval '1 hour' THEN
        PERFORM @extschema@._rule_refuse('keep must be an hour or more', 'Give an interval such as 7 days.');
    ELSIF NEW.keep_failed < NEW.keep THEN
        PERFORM @extschema@._rule_refuse('keep_failed must not be less than keep',
            'Give an interval at least as long as keep, or NULL to keep failures for ever.');
    END IF;
    IF TG_OP = 'INSERT' THEN
        DELETE FROM @extschema@.rule_engine_retention r WHERE r.table_name = NEW.table_name AND r.pristine;
    ELSIF NEW.table_name <> OLD.table_name THEN
        PERFORM @extschema@._rule_refuse('table_name cannot be changed', 'Each table has a row; change its keep.', '0A000');
    END IF;
    NEW.pristine := false;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_retention_check() IS
    'Internal trigger: validates how long a table''s rows are kept, and lets a restored row replace the extension''s own.';

CREATE OR REPLACE TRIGGER rule_engine_retention_check
    BEFORE INSERT OR UPDATE OR DELETE ON @extschema@.rule_engine_retention
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_retention_check();

-- sql/006_ring.sql
-- The rings of ten days. A day's slot is written to again ten days later, so it has to be empty by then. It is emptied
-- by TRUNCATE, which costs the same for ten rows and ten million, and the few rows that stay move into today's slot.

CREATE OR REPLACE FUNCTION @extschema@._rule_slot_lock(p_leaf regclass)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A lock that waits would make every reader and writer queue behind it.
    FOR v_try IN 1 .. 50 LOOP
        BEGIN
            EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE NOWAIT', p_leaf);
            RETURN true;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.01);
        END;
    END LOOP;
    RETURN false;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_slot_lock(regclass) IS
    'Internal: locks a slot of a ring without ever waiting in the queue for the lock.';

CREATE OR REPLACE FUNCTION @extschema@._rule_slot_empty(
    p_table text, p_slot integer, p_time text, p_stays text,
    OUT emptied boolean, OUT removed bigint, OUT kept bigint, OUT newest timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_leaf regclass := format('@extschema@.%I', p_table || '_' || p_slot)::regclass;
    v_columns text;
BEGIN
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM ONLY %s)', v_leaf) INTO emptied;
    removed := 0;
    kept := 0;
    IF emptied THEN
        emptied := false;
        RETURN;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO v_columns
    FROM pg_attribute a
    WHERE a.attrelid = format('@extschema@.%I', p_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'slot';
    -- Readers go on while the rows that stay are copied; writers, if there are any left, are not to add some meanwhile.
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE NOWAIT', v_leaf);
    EXECUTE format('SELECT count(*) FILTER (WHERE NOT s.stays), count(*) FILTER (WHERE s.stays), max(s.at) FILTER (WHERE NOT s.stays)
                    FROM (SELECT coalesce(%s, false) AS stays, r.%I AS at FROM ONLY %s r) s', p_stays, p_time, v_leaf)
    INTO removed, kept, newest;
    EXECUTE format('INSERT INTO @extschema@.%1$I (%2$s) SELECT %2$s FROM ONLY %3$s r WHERE %4$s', p_table, v_columns, v_leaf, p_stays);
    IF NOT @extschema@._rule_slot_lock(v_leaf) THEN
        RAISE EXCEPTION USING ERRCODE = '55P03', MESSAGE = format('slot %s is in use', v_leaf),
            HINT = 'rule_engine_maintain() tries again when it is called again.';
    END IF;
    EXECUTE format('TRUNCATE ONLY %s', v_leaf);
    emptied := true;
EXCEPTION WHEN lock_not_available OR object_in_use THEN
    -- What was copied is undone with it.
    emptied := NULL;
    removed := 0;
    kept := 0;
    newest := NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_slot_empty(text, integer, text, text) IS
    'Internal: empties a slot of a ring but for the rows that stay, which move to today''s. emptied is false where it was empty, NULL where it is in use.';

CREATE OR REPLACE FUNCTION @extschema@._rule_ring_maintain(
    p_table text, p_time text, p_failed text, p_stays text, p_limit bigint, OUT report jsonb, OUT newest timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_today bigint := extract(epoch FROM v_now)::bigint / 86400;
    v_keep @extschema@.rule_engine_retention;
    v_stays text;
    v_due integer[];
    v_age integer;
    v_slot record;
    v_strays record;
    v_emptied integer := 0;
    v_in_use integer := 0;
    v_removed bigint := 0;
    v_kept bigint := 0;
BEGIN
    SELECT * INTO v_keep FROM @extschema@.rule_engine_retention r WHERE r.table_name = p_table;
    -- What a deleted webhook left behind goes with its slot.
    v_stays := format('(r.%1$I > %2$L::timestamptz OR (%3$s AND r.%1$I > %4$L::timestamptz) OR %5$s)
                       AND EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = r.webhook_id)',
                      p_time, v_now - v_keep.keep, p_failed, coalesce(v_now - v_keep.keep_failed, '-infinity'), p_stays);
    -- The oldest is tomorrow's; others go as soon as a whole day is older than what is kept.
    v_due := ARRAY(SELECT a FROM generate_series(2, 9) a WHERE a = 9 OR make_interval(days => a - 1) >= v_keep.keep ORDER BY a DESC);
    -- Rows that are old in a day that is not: kept longer before, restored, or left there while nobody maintained.
    SELECT * INTO v_strays FROM @extschema@._rule_rows_delete(p_table, format('r.%I', p_time),
        format('r.slot <> ALL (%L::integer[]) AND r.%I < %L::timestamptz AND NOT (%s)',
               ARRAY(SELECT (v_today - a) % 10 FROM unnest(v_due) a), p_time, v_now - v_keep.keep, v_stays), p_limit);
    newest := v_strays.newest;
    -- The locks of what follows last until the end.
    FOREACH v_age IN ARRAY v_due LOOP
        SELECT * INTO v_slot FROM @extschema@._rule_slot_empty(p_table, ((v_today - v_age) % 10)::integer, p_time, v_stays);
        v_emptied := v_emptied + coalesce(v_slot.emptied, false)::integer;
        v_in_use := v_in_use + (v_slot.emptied IS NULL)::integer;
        v_removed := v_removed + v_slot.removed;
        v_kept := v_kept + v_slot.kept;
        newest := greatest(newest, v_slot.newest);
    END LOOP;
    report := jsonb_build_object('slots_emptied', v_emptied, 'slots_in_use', v_in_use,
                                 'rows_removed', v_removed + v_strays.removed, 'rows_kept_longer', v_kept,
                                 'more', v_strays.removed >= p_limit);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_ring_maintain(text, text, text, text, bigint) IS
    'Internal: empties the slots of a ring that are due and deletes what is old elsewhere.';

-- sql/006_status_summary.sql
-- An event is a queue row, or the receipt of a stream message that has none.
CREATE OR REPLACE VIEW @extschema@.webhook_status_summary AS
SELECT w.webhook_id, w.webhook_name,
       lower(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://'))
           || pg_catalog.regexp_replace(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://([^/?#]*)'), '^.*@', '') AS url,
       w.enabled,
       e.total_calls, e.successful_calls, e.failed_calls, e.pending_calls, e.retrying_calls,
       pg_catalog.round(a.avg_execution_time_ms::numeric, 2) AS avg_execution_time_ms, a.last_call_at,
       pg_catalog.round(100.0 * e.successful_calls / nullif(e.successful_calls + e.failed_calls, 0), 2) AS success_rate_pct,
       CASE WHEN w.enabled AND w.held_since IS NULL THEN 'active' ELSE 'held' END AS delivery_state,
       coalesce(w.held_reason, CASE WHEN NOT w.enabled THEN 'the webhook is disabled' END) AS held_reason, w.held_since
FROM @extschema@.rule_webhooks w
CROSS JOIN LATERAL (
    SELECT pg_catalog.count(*) AS total_calls,
           pg_catalog.count(*) FILTER (WHERE v.state = 'success') AS successful_calls,
           pg_catalog.count(*) FILTER (WHERE v.state = 'failed') AS failed_calls,
           pg_catalog.count(*) FILTER (WHERE v.state = 'open' AND v.retry_count = 0) AS pending_calls,
           pg_catalog.count(*) FILTER (WHERE v.state = 'open' AND v.retry_count > 0) AS retrying_calls
    FROM (
        SELECT CASE WHEN q.status IN ('success', 'failed') THEN q.status ELSE 'open' END AS state, q.retry_count
        FROM @extschema@.rule_webhook_queue q
        WHERE q.webhook_id = w.webhook_id
        UNION ALL
        SELECT CASE r.state WHEN 'done' THEN 'success' ELSE 'open' END, r.retry_count
        FROM @extschema@.rule_webhook_receipts r
        WHERE r.webhook_id = w.webhook_id AND NOT EXISTS (
            SELECT FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id = r.webhook_id AND q.message_id = r.message_id AND q.redelivery = r.redelivery)
    ) v
) e
CROSS JOIN LATERAL (
    SELECT pg_catalog.avg(t.duration_ms) AS avg_execution_time_ms, pg_catalog.max(t.started_at) AS last_call_at
    FROM @extschema@.rule_webhook_attempts t WHERE t.webhook_id = w.webhook_id
) a;
COMMENT ON VIEW @extschema@.webhook_status_summary IS
    'Per webhook: events by what became of them, the time of a try, and which share, in per cent, of the events that ended was delivered; then whether its events are delivered now or held, and why. A URL shows scheme and host.';

-- sql/006_views.sql
-- How delivery goes, for people.

CREATE OR REPLACE VIEW @extschema@.webhook_performance_stats AS
SELECT w.webhook_id, w.webhook_name, pg_catalog.count(a.attempt_id) AS total_calls,
       pg_catalog.round(pg_catalog.avg(a.duration_ms)::numeric, 2) AS avg_time_ms,
       pg_catalog.min(a.duration_ms) AS min_time_ms, pg_catalog.max(a.duration_ms) AS max_time_ms,
       pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY a.duration_ms) AS p50_time_ms,
       pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY a.duration_ms) AS p95_time_ms,
       pg_catalog.percentile_cont(0.99) WITHIN GROUP (ORDER BY a.duration_ms) AS p99_time_ms
FROM @extschema@.rule_webhooks w
LEFT JOIN @extschema@.rule_webhook_attempts a ON a.webhook_id = w.webhook_id
GROUP BY w.webhook_id;
COMMENT ON VIEW @extschema@.webhook_performance_stats IS
    'Per webhook, how many requests were sent and how long they took, in milliseconds, over the attempts that are kept.';

CREATE OR REPLACE VIEW @extschema@.webhook_recent_failures AS
SELECT q.queue_id AS call_id, w.webhook_name,
       lower(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://'))
           || pg_catalog.regexp_replace(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://([^/?#]*)'), '^.*@', '') AS url,
       q.status, q.retry_count, q.error_message, q.response_status, q.payload, q.created_at, q.completed_at
FROM @extschema@.rule_webhook_queue q
JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
WHERE (q.status = 'failed' OR (q.status <> 'success' AND q.retry_count > 0))
  AND coalesce(q.completed_at, q.started_at, q.created_at) > pg_catalog.now() - interval '24 hours'
ORDER BY coalesce(q.completed_at, q.started_at, q.created_at) DESC, q.queue_id DESC;
COMMENT ON VIEW @extschema@.webhook_recent_failures IS
    'Queued events whose last try of the last 24 hours failed, newest first: dead letters, and those that are tried again. A URL shows scheme and host.';

-- sql/007_call.sql
CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_call(p_webhook_id integer, p_payload jsonb)
RETURNS json LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.rule_webhook_call_unified(p_webhook_id, p_payload)::json $$;
COMMENT ON FUNCTION @extschema@.rule_webhook_call(integer, jsonb) IS
    'Sends an event by the webhook''s publish_mode, as rule_webhook_call_unified() does; the caller needs the right to call both.';

-- sql/007_checks.sql
-- What is refused in a configuration. A URL is never repeated: its user info can be a password.

CREATE OR REPLACE FUNCTION @extschema@._rule_check_nats_url(p_urls text, p_what text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_url text;
BEGIN
    IF p_urls IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what), 'Give a URL such as nats://localhost:4222.', '22004');
    END IF;
    FOREACH v_url IN ARRAY string_to_array(p_urls, ',') || CASE WHEN p_urls = '' THEN '{""}'::text[] END LOOP
        v_url := btrim(v_url);
        IF v_url ~ '[[:cntrl:][:space:]]' OR v_url ~ '%(?![0-9A-Fa-f]{2})' OR octet_length(v_url) > 2048
           OR v_url !~* '^((nats|tls|ws|wss)://)?([^/?#@]*@)?(\[[0-9a-f:.]+\]|[^]:/?#@[]+)(:[0-9]{1,5})?/?$' THEN
            PERFORM @extschema@._rule_refuse(format('%s is malformed', p_what),
                'A server is nats://host:4222, or tls, ws or wss instead of nats; several are separated by commas.');
        ELSIF coalesce(substring(v_url FROM ':([0-9]{1,5})/?$')::integer, 4222) NOT BETWEEN 1 AND 65535 THEN
            PERFORM @extschema@._rule_refuse(format('%s has no valid port', p_what), 'A port is a number from 1 to 65535.');
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_nats_url(text, text) IS
    'Internal: refuses addresses that are none of a NATS server.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_stream_name(p_name text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_name IS NULL THEN
        PERFORM @extschema@._rule_refuse('stream_name must not be NULL', 'Give a name such as WEBHOOKS.', '22004');
    ELSIF p_name = '' OR octet_length(p_name) > 255 OR p_name ~ '[[:cntrl:][:space:].*>/\\]' THEN
        PERFORM @extschema@._rule_refuse(format('stream_name "%s" is malformed', left(p_name, 64)),
            'A stream''s name has 1 to 255 bytes and no dots, blanks, slashes, wildcards or control characters.');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_stream_name(text) IS
    'Internal: refuses a stream''s name that NATS would refuse.';

-- sql/007_comments.sql
COMMENT ON TABLE @extschema@.rule_nats_config IS 'Where NATS is and how to get in. Holds secrets.';
COMMENT ON COLUMN @extschema@.rule_nats_config.config_id IS 'Number of the configuration';
COMMENT ON COLUMN @extschema@.rule_nats_config.config_name IS 'What functions call it; default is the one of webhooks that name none';
COMMENT ON COLUMN @extschema@.rule_nats_config.nats_url IS 'One server, or several separated by commas; with tls:// the connection is encrypted, from its first byte where the server allows';
COMMENT ON COLUMN @extschema@.rule_nats_config.nats_cluster_urls IS 'Further servers of the same cluster';
COMMENT ON COLUMN @extschema@.rule_nats_config.auth_type IS 'none, token, userpass, credentials or nkey';
COMMENT ON COLUMN @extschema@.rule_nats_config.auth_token IS 'For auth_type token';
COMMENT ON COLUMN @extschema@.rule_nats_config.auth_user IS 'For auth_type userpass';
COMMENT ON COLUMN @extschema@.rule_nats_config.auth_password IS 'For auth_type userpass';
COMMENT ON COLUMN @extschema@.rule_nats_config.auth_credentials_file IS 'For auth_type credentials: a file on the server';
COMMENT ON COLUMN @extschema@.rule_nats_config.auth_nkey_seed IS 'For auth_type nkey';
COMMENT ON COLUMN @extschema@.rule_nats_config.tls_enabled IS 'Whether the connection must be encrypted';
COMMENT ON COLUMN @extschema@.rule_nats_config.tls_cert_file IS 'Client certificate, a file on the server';
COMMENT ON COLUMN @extschema@.rule_nats_config.tls_key_file IS 'Its key, a file on the server';
COMMENT ON COLUMN @extschema@.rule_nats_config.tls_ca_file IS 'Who may have signed the server''s certificate, a file on the server';
COMMENT ON COLUMN @extschema@.rule_nats_config.max_connections IS 'Connections of one backend at most';
COMMENT ON COLUMN @extschema@.rule_nats_config.connection_timeout_ms IS 'How long connecting may take; of several servers each has its share at first';
COMMENT ON COLUMN @extschema@.rule_nats_config.publish_timeout_ms IS 'How long a publish waits for its acknowledgement';
COMMENT ON COLUMN @extschema@.rule_nats_config.reconnect_delay_ms IS 'Wait between two tries to connect again';
COMMENT ON COLUMN @extschema@.rule_nats_config.max_reconnect_attempts IS 'How often a server is tried again by itself after a connection was lost; -1 is without end. Afterwards a publish tries';
COMMENT ON COLUMN @extschema@.rule_nats_config.jetstream_enabled IS 'When false events are core NATS messages: no stream, no acknowledgement of storage';
COMMENT ON COLUMN @extschema@.rule_nats_config.stream_name IS 'The stream that workers consume';
COMMENT ON COLUMN @extschema@.rule_nats_config.subject_prefix IS 'What rule_webhook_enable_nats() puts before a webhook''s name';
COMMENT ON COLUMN @extschema@.rule_nats_config.enabled IS 'When false every publish under it is an outage: events wait in the queue';
COMMENT ON COLUMN @extschema@.rule_nats_config.created_at IS 'When it was made';
COMMENT ON COLUMN @extschema@.rule_nats_config.updated_at IS 'When it last changed';
COMMENT ON COLUMN @extschema@.rule_nats_config.pristine IS 'True while it is as the extension made it; such a row is not dumped';

COMMENT ON TABLE @extschema@.rule_nats_streams IS 'The JetStream streams that there should be. rule_nats_init() brings them to NATS.';
COMMENT ON COLUMN @extschema@.rule_nats_streams.stream_id IS 'Number of the row';
COMMENT ON COLUMN @extschema@.rule_nats_streams.config_id IS 'Where the stream is';
COMMENT ON COLUMN @extschema@.rule_nats_streams.stream_name IS 'Its name in NATS';
COMMENT ON COLUMN @extschema@.rule_nats_streams.subjects IS 'What it takes; wildcards allowed';
COMMENT ON COLUMN @extschema@.rule_nats_streams.description IS 'What it is for';
COMMENT ON COLUMN @extschema@.rule_nats_streams.storage_type IS 'file or memory';
COMMENT ON COLUMN @extschema@.rule_nats_streams.max_messages IS 'Most messages it keeps; 0 is no limit';
COMMENT ON COLUMN @extschema@.rule_nats_streams.max_bytes IS 'Most bytes it keeps; 0 is no limit';
COMMENT ON COLUMN @extschema@.rule_nats_streams.max_age_seconds IS 'How long it keeps a message; 0 is no limit';
COMMENT ON COLUMN @extschema@.rule_nats_streams.retention_policy IS 'limits, interest or workqueue (kept until delivered)';
COMMENT ON COLUMN @extschema@.rule_nats_streams.discard_policy IS 'At a limit: old drops the oldest, new refuses the newest';
COMMENT ON COLUMN @extschema@.rule_nats_streams.replicas IS 'On how many servers it is kept';
COMMENT ON COLUMN @extschema@.rule_nats_streams.duplicate_window_seconds IS 'How long NATS knows a message id';
COMMENT ON COLUMN @extschema@.rule_nats_streams.enabled IS 'When false it is neither made nor changed';
COMMENT ON COLUMN @extschema@.rule_nats_streams.created_at IS 'When the row was made';
COMMENT ON COLUMN @extschema@.rule_nats_streams.pristine IS 'True while it is as the extension made it; such a row is not dumped';

COMMENT ON TABLE @extschema@.rule_nats_publish_history IS 'One row per publish whose transaction committed, kept in a ring of ten days.';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.publish_id IS 'Number of the row';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.webhook_id IS 'The webhook';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.subject IS 'Where it was published';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.payload IS 'What was published; NULL where the webhook stores none';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.headers IS 'The message''s headers';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.published_at IS 'When it was published';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.message_id IS 'The event''s id';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.sequence_number IS 'Its number in the stream';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.success IS 'Whether NATS acknowledged it';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.error_message IS 'Why not';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.latency_ms IS 'How long the publish took';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.triggered_by IS 'The role that called, and whether from a trigger';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.expires_at IS 'When the row may go';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.slot IS 'The day''s place in the ring';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.transaction IS 'The (sub)transaction that published: workers deliver its message because this row is visible';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.unknown IS 'Not answered: the message may be in the stream';
COMMENT ON COLUMN @extschema@.rule_nats_publish_history.duplicate IS 'NATS knew the message id: stored once';

COMMENT ON TABLE @extschema@.rule_nats_consumer_stats IS 'What consumers of streams, our workers among them, said of themselves.';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.consumer_id IS 'Number of the row';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.stream_name IS 'The stream';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.consumer_name IS 'The process';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.queue_group IS 'The processes that share the work with it';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.ack_policy IS 'How it acknowledges';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.max_deliver IS 'How often NATS brings a message at most; -1 is without limit';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.messages_delivered IS 'Messages it got since it started';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.messages_acknowledged IS 'Messages it acknowledged since it started';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.messages_pending IS 'Messages that waited in the stream for its group';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.messages_redelivered IS 'Messages it got again since it started';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.avg_processing_time_ms IS 'Mean time of a delivery';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.last_active_at IS 'When it last said so';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.active IS 'False once it has stopped in good order';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.created_at IS 'When it was first seen';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.updated_at IS 'When the row last changed';
COMMENT ON COLUMN @extschema@.rule_nats_consumer_stats.reached_at IS 'When it last said that it reaches the stream';

-- sql/007_config_helpers.sql
CREATE OR REPLACE FUNCTION @extschema@._rule_config_id(p_config_name text)
RETURNS integer LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_config_id integer;
BEGIN
    SELECT c.config_id INTO v_config_id FROM @extschema@.rule_nats_config c WHERE c.config_name = p_config_name;
    IF p_config_name IS NULL THEN
        PERFORM @extschema@._rule_refuse('configuration name must not be NULL',
            'Give the name of a row of rule_nats_config, such as default.', '22004');
    ELSIF v_config_id IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('configuration "%s" does not exist', left(p_config_name, 255)),
            'Make it with rule_nats_configure(), or give the name of a row of rule_nats_config.', '42704');
    END IF;
    RETURN v_config_id;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_config_id(text) IS
    'Internal: a configuration by its name.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_configure(
    p_config_name text DEFAULT 'default', p_nats_url text DEFAULT 'nats://localhost:4222', p_auth_type text DEFAULT 'none',
    p_jetstream_enabled boolean DEFAULT true, p_stream_name text DEFAULT 'WEBHOOKS', p_subject_prefix text DEFAULT 'webhooks')
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Not an upsert: a row that is to be inserted pushes a pristine one aside, which webhooks may refer to.
    UPDATE @extschema@.rule_nats_config c
    SET nats_url = p_nats_url, auth_type = p_auth_type, jetstream_enabled = p_jetstream_enabled,
        stream_name = p_stream_name, subject_prefix = p_subject_prefix
    WHERE c.config_name = p_config_name;
    IF NOT FOUND THEN
        INSERT INTO @extschema@.rule_nats_config (config_name, nats_url, auth_type, jetstream_enabled, stream_name, subject_prefix)
        VALUES (p_config_name, p_nats_url, p_auth_type, p_jetstream_enabled, p_stream_name, p_subject_prefix);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_configure(text, text, text, boolean, text, text) IS
    'Makes or changes a NATS configuration. Every backend uses it from its next publish on.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_enable_nats(
    p_webhook_id integer, p_nats_subject text DEFAULT NULL, p_publish_mode text DEFAULT 'both', p_config_name text DEFAULT 'default')
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_config_id integer := @extschema@._rule_config_id(p_config_name);
    v_subject text;
BEGIN
    SELECT coalesce(p_nats_subject, c.subject_prefix || '.' || lower(regexp_replace(w.webhook_name, '[.*>$[:space:]]+', '_', 'g')))
    INTO v_subject
    FROM @extschema@.rule_webhooks w, @extschema@.rule_nats_config c
    WHERE w.webhook_id = p_webhook_id AND c.config_id = v_config_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    UPDATE @extschema@.rule_webhooks w
    SET nats_enabled = true, nats_subject = v_subject, publish_mode = p_publish_mode, nats_config_id = v_config_id
    WHERE w.webhook_id = p_webhook_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_enable_nats(integer, text, text, text) IS
    'Lets a webhook publish to NATS. Without a subject it is the configuration''s prefix and the webhook''s name.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_disable_nats(p_webhook_id integer)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.rule_webhooks w SET nats_enabled = false, publish_mode = 'queue' WHERE w.webhook_id = p_webhook_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_disable_nats(integer) IS
    'Takes a webhook off NATS: its events go into the queue, and rule_webhook_publish_nats() raises an error for it.';

-- sql/007_config_read.sql
-- Reading a configuration without its secrets.

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_url_shown(p_urls text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT regexp_replace(p_urls, '[^/,@[:space:]]*@', '***@', 'g') $$;
COMMENT ON FUNCTION @extschema@._rule_nats_url_shown(text) IS
    'Internal: addresses of NATS servers without user names and passwords.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_config_info(p_config_name text DEFAULT 'default')
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_config_id integer := @extschema@._rule_config_id(p_config_name);
BEGIN
    RETURN (
        SELECT json_build_object(
            'config_id', c.config_id, 'config_name', c.config_name, 'enabled', c.enabled,
            'nats_url', @extschema@._rule_nats_url_shown(c.nats_url),
            'nats_cluster_urls', (SELECT json_agg(@extschema@._rule_nats_url_shown(u.url) ORDER BY u.n)
                                  FROM unnest(c.nats_cluster_urls) WITH ORDINALITY AS u (url, n)),
            'auth_type', c.auth_type, 'auth_user', c.auth_user,
            'auth_token', CASE WHEN c.auth_token IS NOT NULL THEN '***' END,
            'auth_password', CASE WHEN c.auth_password IS NOT NULL THEN '***' END,
            'auth_nkey_seed', CASE WHEN c.auth_nkey_seed IS NOT NULL THEN '***' END,
            'auth_credentials_file', c.auth_credentials_file,
            'tls_enabled', c.tls_enabled, 'tls_cert_file', c.tls_cert_file, 'tls_key_file', c.tls_key_file, 'tls_ca_file', c.tls_ca_file,
            'max_connections', c.max_connections, 'connection_timeout_ms', c.connection_timeout_ms,
            'publish_timeout_ms', c.publish_timeout_ms, 'reconnect_delay_ms', c.reconnect_delay_ms,
            'max_reconnect_attempts', c.max_reconnect_attempts, 'jetstream_enabled', c.jetstream_enabled,
            'stream_name', c.stream_name, 'subject_prefix', c.subject_prefix,
            'streams', (SELECT coalesce(json_agg(json_build_object(
                                   'stream_name', s.stream_name, 'subjects', s.subjects, 'retention_policy', s.retention_policy,
                                   'discard_policy', s.discard_policy, 'max_age_seconds', s.max_age_seconds,
                                   'max_bytes', s.max_bytes, 'enabled', s.enabled) ORDER BY s.stream_id), '[]')
                        FROM @extschema@.rule_nats_streams s WHERE s.config_id = c.config_id),
            'webhooks', (SELECT count(*) FROM @extschema@.rule_webhooks w
                         WHERE w.nats_enabled AND @extschema@._rule_config_of(w.nats_config_id) = c.config_id),
            'created_at', c.created_at, 'updated_at', c.updated_at)
        FROM @extschema@.rule_nats_config c WHERE c.config_id = v_config_id);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_config_info(text) IS
    'A NATS configuration with its streams; secrets show as ***.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_test_connection(p_config_name text DEFAULT 'default')
RETURNS json LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_health jsonb := @extschema@.rule_nats_health_check(p_config_name);
BEGIN
    RETURN v_health || jsonb_build_object('success', v_health -> 'connected',
        'message', CASE WHEN (v_health -> 'connected')::boolean THEN 'connected' ELSE v_health ->> 'error' END);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_test_connection(text) IS
    'Connects to NATS and says how that went; success = false, with the reason, where it is not reached.';

-- sql/007_config_trigger.sql
-- Every way to change a NATS configuration passes here.

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_config_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_present(NEW.config_id IS NOT NULL, 'config_id');
    PERFORM @extschema@._rule_check_name(NEW.config_name, 'config_name');
    PERFORM @extschema@._rule_check_nats_url(NEW.nats_url, 'nats_url');
    PERFORM @extschema@._rule_check_nats_url(u.url, 'nats_cluster_urls') FROM unnest(NEW.nats_cluster_urls) AS u (url);
    PERFORM @extschema@._rule_check_choice(NEW.auth_type, '{none,token,userpass,credentials,nkey}', 'auth_type');
    PERFORM @extschema@._rule_check_range(NEW.max_connections, 1, 1000, 'max_connections');
    PERFORM @extschema@._rule_check_range(NEW.connection_timeout_ms, 1, 600000, 'connection_timeout_ms');
    PERFORM @extschema@._rule_check_range(NEW.publish_timeout_ms, 1, 600000, 'publish_timeout_ms');
    PERFORM @extschema@._rule_check_range(NEW.reconnect_delay_ms, 0, 600000, 'reconnect_delay_ms');
    PERFORM @extschema@._rule_check_range(NEW.max_reconnect_attempts, -1, 2147483647, 'max_reconnect_attempts');
    PERFORM @extschema@._rule_check_stream_name(NEW.stream_name);
    PERFORM @extschema@._rule_check_subject(NEW.subject_prefix, 'subject_prefix');
    PERFORM @extschema@._rule_check_present(NEW.tls_enabled IS NOT NULL, 'tls_enabled');
    PERFORM @extschema@._rule_check_present(NEW.jetstream_enabled IS NOT NULL, 'jetstream_enabled');
    PERFORM @extschema@._rule_check_present(NEW.enabled IS NOT NULL, 'enabled');
    PERFORM @extschema@._rule_check_present(NEW.created_at IS NOT NULL, 'created_at');
    IF TG_OP = 'INSERT' THEN
        -- A dump holds an edited default; the one that the extension made gives way to it, and what refers to it stays.
        IF EXISTS (SELECT FROM @extschema@.rule_nats_config c
                   WHERE c.pristine AND (c.config_name = NEW.config_name OR c.config_id = NEW.config_id)) THEN
            SET CONSTRAINTS @extschema@.rule_nats_streams_config_id_fkey, @extschema@.rule_webhooks_nats_config_id_fkey DEFERRED;
            WITH gone AS (
                DELETE FROM @extschema@.rule_nats_config c
                WHERE c.pristine AND (c.config_name = NEW.config_name OR c.config_id = NEW.config_id)
                RETURNING c.config_id),
            streams AS (
                UPDATE @extschema@.rule_nats_streams s SET config_id = NEW.config_id
                FROM gone WHERE s.config_id = gone.config_id AND s.config_id <> NEW.config_id)
            UPDATE @extschema@.rule_webhooks w SET nats_config_id = NEW.config_id
            FROM gone WHERE w.nats_config_id = gone.config_id AND w.nats_config_id <> NEW.config_id;
        END IF;
    ELSE
        IF OLD.config_name = 'default' AND NEW.config_name <> 'default' THEN
            PERFORM @extschema@._rule_refuse('configuration "default" cannot be renamed',
                'Webhooks without a configuration of their own use it. Make another one beside it.', '0A000');
        END IF;
        NEW.updated_at := now();
    END IF;
    PERFORM @extschema@._rule_check_present(NEW.updated_at IS NOT NULL, 'updated_at');
    -- The only pristine rows are those that the install script made, before this trigger.
    NEW.pristine := false;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_nats_config_check() IS
    'Internal trigger: validates a configuration before an error can print its secrets.';

CREATE OR REPLACE TRIGGER rule_nats_config_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_nats_config
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_nats_config_check();

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_config_files()
RETURNS trigger LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old text[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        v_old := ARRAY[OLD.auth_credentials_file, OLD.tls_cert_file, OLD.tls_key_file, OLD.tls_ca_file];
    ELSE
        v_old := array_fill(NULL::text, ARRAY[4]);
    END IF;
    IF v_old <> ARRAY[NEW.auth_credentials_file, NEW.tls_cert_file, NEW.tls_key_file, NEW.tls_ca_file]
       AND NOT pg_has_role(current_user, 'pg_read_server_files', 'USAGE') THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = 'permission denied to name files of the server',
            HINT = 'auth_credentials_file and tls_*_file may be set by members of pg_read_server_files.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_nats_config_files() IS
    'Internal trigger: the server reads the files that a configuration names. It runs with the caller''s rights.';

CREATE OR REPLACE TRIGGER rule_nats_config_files
    BEFORE INSERT OR UPDATE ON @extschema@.rule_nats_config
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_nats_config_files();

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_config_keep()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Deeper than one is the row giving way to a restored one.
    IF pg_trigger_depth() > 1 THEN
        RETURN OLD;
    ELSIF OLD.config_name = 'default' THEN
        PERFORM @extschema@._rule_refuse('configuration "default" cannot be deleted',
            'Disable it: UPDATE rule_nats_config SET enabled = false WHERE config_name = ''default''.', '0A000');
    END IF;
    DELETE FROM @extschema@.rule_nats_streams s WHERE s.config_id = OLD.config_id;
    RETURN OLD;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_nats_config_keep() IS
    'Internal trigger: keeps the configuration that webhooks without one use; another one takes its streams with it.';

CREATE OR REPLACE TRIGGER rule_nats_config_keep
    BEFORE DELETE ON @extschema@.rule_nats_config
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_nats_config_keep();

-- sql/007_consumer_stats.sql
CREATE OR REPLACE FUNCTION @extschema@.rule_nats_consumer_update_stats(
    p_stream_name text, p_consumer_name text, p_messages_delivered bigint, p_messages_acknowledged bigint,
    p_messages_pending bigint, p_avg_processing_time_ms numeric DEFAULT NULL, p_queue_group text DEFAULT NULL,
    p_messages_redelivered bigint DEFAULT NULL, p_active boolean DEFAULT true)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_stream_name(p_stream_name);
    PERFORM @extschema@._rule_check_name(p_consumer_name, 'consumer name');
    PERFORM @extschema@._rule_check_range(p_messages_delivered, 0, 9223372036854775807, 'messages_delivered');
    PERFORM @extschema@._rule_check_range(p_messages_acknowledged, 0, 9223372036854775807, 'messages_acknowledged');
    PERFORM @extschema@._rule_check_range(p_messages_pending, 0, 9223372036854775807, 'messages_pending');
    PERFORM @extschema@._rule_check_range(coalesce(p_messages_redelivered, 0), 0, 9223372036854775807, 'messages_redelivered');
    PERFORM @extschema@._rule_check_range(coalesce(p_avg_processing_time_ms, 0), 0, 9223372036854775807, 'avg_processing_time_ms');
    INSERT INTO @extschema@.rule_nats_consumer_stats AS s
        (stream_name, consumer_name, queue_group, messages_delivered, messages_acknowledged, messages_pending,
         messages_redelivered, avg_processing_time_ms, last_active_at, active)
    VALUES (p_stream_name, p_consumer_name, p_queue_group, p_messages_delivered, p_messages_acknowledged, p_messages_pending,
            coalesce(p_messages_redelivered, 0), p_avg_processing_time_ms, clock_timestamp(), coalesce(p_active, true))
    ON CONFLICT (stream_name, consumer_name) DO UPDATE
    SET queue_group = coalesce(excluded.queue_group, s.queue_group), messages_delivered = excluded.messages_delivered,
        messages_acknowledged = excluded.messages_acknowledged, messages_pending = excluded.messages_pending,
        messages_redelivered = coalesce(p_messages_redelivered, s.messages_redelivered),
        avg_processing_time_ms = coalesce(excluded.avg_processing_time_ms, s.avg_processing_time_ms),
        last_active_at = excluded.last_active_at, active = excluded.active, updated_at = now();
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_consumer_update_stats(text, text, bigint, bigint, bigint, numeric, text, bigint, boolean) IS
    'Writes what a consumer of a stream has counted since it started: totals, not additions.';

-- sql/007_invalidate.sql
-- Backends keep webhooks and configurations; a change of these tables makes each of them look again.

CREATE OR REPLACE FUNCTION @extschema@.rule_engine_invalidate()
RETURNS trigger LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_engine_invalidate';
COMMENT ON FUNCTION @extschema@.rule_engine_invalidate() IS
    'Internal trigger: tells every backend that rows of this table changed.';

-- Before the statement as well: what a row trigger of the user's makes this backend read during it must be forgotten
-- when it fails. Always: a restore and a replication role change rows that backends know, too.
CREATE OR REPLACE TRIGGER rule_webhooks_invalidate_before
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_webhooks
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_webhooks ENABLE ALWAYS TRIGGER rule_webhooks_invalidate_before;
CREATE OR REPLACE TRIGGER rule_webhooks_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_webhooks
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_webhooks ENABLE ALWAYS TRIGGER rule_webhooks_invalidate;
CREATE OR REPLACE TRIGGER rule_nats_config_invalidate_before
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_nats_config
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_nats_config ENABLE ALWAYS TRIGGER rule_nats_config_invalidate_before;
CREATE OR REPLACE TRIGGER rule_nats_config_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_nats_config
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_nats_config ENABLE ALWAYS TRIGGER rule_nats_config_invalidate;
CREATE OR REPLACE TRIGGER rule_nats_streams_invalidate_before
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_nats_streams
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_nats_streams ENABLE ALWAYS TRIGGER rule_nats_streams_invalidate_before;
CREATE OR REPLACE TRIGGER rule_nats_streams_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_nats_streams
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_nats_streams ENABLE ALWAYS TRIGGER rule_nats_streams_invalidate;
CREATE OR REPLACE TRIGGER rule_engine_source_invalidate_before
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_engine_source
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_engine_source ENABLE ALWAYS TRIGGER rule_engine_source_invalidate_before;
CREATE OR REPLACE TRIGGER rule_engine_source_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.rule_engine_source
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.rule_engine_invalidate();
ALTER TABLE @extschema@.rule_engine_source ENABLE ALWAYS TRIGGER rule_engine_source_invalidate;

-- sql/007_publish.sql
-- The four functions in Go. The caller stays the caller in them: they read and write our tables as the owner and
-- record who called.

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_init(config_name text DEFAULT 'default')
RETURNS jsonb LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_nats_init';
COMMENT ON FUNCTION @extschema@.rule_nats_init(text) IS
    'Connects to NATS now and compares the configuration''s streams with it. An administrator''s call creates and updates them, a publisher''s only reports.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_publish_nats(webhook_id integer, payload jsonb, message_id text DEFAULT NULL)
RETURNS jsonb LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_webhook_publish_nats';
COMMENT ON FUNCTION @extschema@.rule_webhook_publish_nats(integer, jsonb, text) IS
    'Publishes an event to the webhook''s NATS subject and waits for the acknowledgement. Raises for a mistake of the caller''s; an outage answers success = false, and the event waits in the queue.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_call_unified(webhook_id integer, payload jsonb, message_id text DEFAULT NULL)
RETURNS jsonb LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_webhook_call_unified';
COMMENT ON FUNCTION @extschema@.rule_webhook_call_unified(integer, jsonb, text) IS
    'Sends an event by the webhook''s publish_mode: into the queue, to NATS, or both.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_health_check(config_name text DEFAULT 'default')
RETURNS jsonb LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_nats_health_check';
COMMENT ON FUNCTION @extschema@.rule_nats_health_check(text) IS
    'Whether NATS is reached, tried within the connection time-out. Never raises for NATS being away.';

-- sql/007_roles.sql
-- Four roles, made when the DBA asks for them: an extension that makes roles by itself would surprise a cluster.

CREATE OR REPLACE FUNCTION @extschema@._rule_role_grants()
RETURNS TABLE (role text, privilege text, kind text, object text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- For applications: they publish, and see what a webhook is. No URL, no header, no payload of others.
    SELECT 'rule_engine_publisher', 'EXECUTE', 'FUNCTION', f
    FROM unnest('{rule_webhook_publish_nats, rule_webhook_call_unified, rule_webhook_call, rule_webhook_enqueue, rule_nats_init,
                  rule_row_changed, rule_row_changes, rule_payload_pick, rule_payload_drop, rule_payload_mask,
                  rule_cloud_event, rule_event_id, rule_webhook_trigger}'::text[]) f
    UNION ALL
    SELECT 'rule_engine_publisher', 'SELECT (webhook_id, webhook_name, publish_mode, nats_subject, enabled)', 'TABLE', 'rule_webhooks'
    UNION ALL
    -- For workers: their functions and nothing else.
    SELECT 'rule_engine_worker', 'EXECUTE', 'FUNCTION', f
    FROM unnest('{rule_worker_hello, rule_worker_endpoints, rule_worker_claim, rule_worker_admit, rule_worker_report,
                  rule_worker_heartbeat}'::text[]) f
    UNION ALL
    -- For administrators: webhooks, configurations, streams, the queue. A signing secret is shown once, to who sets it.
    SELECT 'rule_engine_admin', 'EXECUTE', 'FUNCTION', f
    FROM unnest('{rule_webhook_publish_nats, rule_webhook_call_unified, rule_webhook_enqueue, rule_nats_init,
                  rule_row_changed, rule_row_changes, rule_payload_pick, rule_payload_drop, rule_payload_mask,
                  rule_cloud_event, rule_event_id, rule_webhook_trigger, rule_nats_health_check, rule_webhook_register, rule_webhook_update, rule_webhook_delete, rule_webhook_get,
                  rule_webhook_list, rule_webhook_enable_nats, rule_webhook_disable_nats, rule_nats_configure,
                  rule_nats_stream_create, rule_webhook_call_status, rule_webhook_secret_set, rule_webhook_secret_delete,
                  rule_nats_event_status, rule_nats_consumer_update_stats, rule_engine_source_renew, rule_engine_maintain,
                  rule_nats_cleanup_old_history, rule_nats_cleanup_expired, rule_webhook_cleanup_old_calls, rule_webhook_call,
                  rule_webhook_retry, rule_webhook_hold, rule_webhook_resume, rule_nats_stats, rule_nats_config_info, rule_nats_test_connection, rule_nats_webhooks_list}'::text[]) f
    UNION ALL
    SELECT 'rule_engine_admin', 'SELECT, INSERT, UPDATE, DELETE', 'TABLE', t
    FROM unnest('{rule_webhooks, rule_nats_config, rule_nats_streams, rule_webhook_queue}'::text[]) t
    UNION ALL
    SELECT 'rule_engine_admin', 'SELECT, UPDATE', 'TABLE', 'rule_engine_retention'
    UNION ALL
    SELECT 'rule_engine_admin', 'SELECT', 'TABLE', t
    FROM unnest('{rule_engine_migrations, rule_engine_source, rule_webhook_receipts, rule_webhook_attempts,
                  rule_webhook_drops, rule_nats_publish_history, rule_nats_consumer_stats, nats_publish_summary,
                  nats_performance_stats, nats_recent_failures, webhook_status_summary, webhook_performance_stats,
                  webhook_recent_failures, rule_webhook_dead_letters}'::text[]) t
    UNION ALL
    SELECT 'rule_engine_admin', 'SELECT (webhook_id, secret_name, created_at, expires_at), UPDATE (expires_at)', 'TABLE',
           'rule_webhook_secrets'
    UNION ALL
    SELECT 'rule_engine_admin', 'USAGE', 'SEQUENCE', s
    FROM unnest('{rule_webhooks_webhook_id_seq, rule_nats_config_config_id_seq, rule_nats_streams_stream_id_seq,
                  rule_webhook_queue_queue_id_seq}'::text[]) s
    UNION ALL
    -- For monitoring: numbers and states.
    SELECT 'rule_engine_monitor', 'EXECUTE', 'FUNCTION', f
    FROM unnest('{rule_nats_health_check, rule_webhook_call_status, rule_nats_event_status, rule_nats_stats,
                  rule_nats_webhooks_list, rule_nats_test_connection}'::text[]) f
    UNION ALL
    SELECT 'rule_engine_monitor', 'SELECT', 'TABLE', t
    FROM unnest('{rule_engine_migrations, rule_engine_source, rule_webhook_drops, rule_nats_consumer_stats,
                  nats_publish_summary, nats_performance_stats, nats_recent_failures, webhook_status_summary,
                  webhook_performance_stats, webhook_recent_failures, rule_engine_retention}'::text[]) t
$$;
COMMENT ON FUNCTION @extschema@._rule_role_grants() IS
    'Internal: what each role of rule_engine_create_roles() may do, beside using the schema.';

CREATE OR REPLACE FUNCTION @extschema@.rule_engine_create_roles()
RETURNS SETOF text LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_schema oid := '@extschema@'::regnamespace;
    v_role text;
    v_grant record;
    v_command text;
    v_before aclitem[];
BEGIN
    FOREACH v_role IN ARRAY '{rule_engine_publisher, rule_engine_worker, rule_engine_admin, rule_engine_monitor}'::text[] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = v_role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
            RETURN NEXT format('created role %s', v_role);
        END IF;
        IF NOT has_schema_privilege(v_role, v_schema, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA @extschema@ TO %I', v_role);
            RETURN NEXT format('granted USAGE on schema %s to %s', '@extschema@', v_role);
        END IF;
    END LOOP;
    FOR v_grant IN
        SELECT g.role, g.privilege, g.kind, o.oid, o.shown, o.address
        FROM @extschema@._rule_role_grants() g
        JOIN LATERAL (
            SELECT p.oid, p.oid::regprocedure::text AS address, p.proname::text AS shown FROM pg_proc p
            WHERE g.kind = 'FUNCTION' AND p.proname = g.object AND p.pronamespace = v_schema
            UNION ALL
            SELECT c.oid, c.oid::regclass::text, c.relname::text FROM pg_class c
            WHERE g.kind <> 'FUNCTION' AND c.relname = g.object AND c.relnamespace = v_schema) o ON true
        -- A function of the same name that a user made there is none of ours.
        JOIN pg_depend d ON d.objid = o.oid AND d.deptype = 'e'
                            AND d.classid = CASE g.kind WHEN 'FUNCTION' THEN 'pg_proc'::regclass ELSE 'pg_class'::regclass END
    LOOP
        v_before := @extschema@._rule_acl(v_grant.kind, v_grant.oid);
        EXECUTE format('GRANT %s ON %s %s TO %I', v_grant.privilege, v_grant.kind, v_grant.address, v_grant.role);
        IF v_before IS DISTINCT FROM @extschema@._rule_acl(v_grant.kind, v_grant.oid) THEN
            RETURN NEXT format('granted %s on %s %s to %s', v_grant.privilege, lower(v_grant.kind), v_grant.shown, v_grant.role);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_engine_create_roles() IS
    'Makes rule_engine_publisher, _worker, _admin and _monitor where they are missing and grants them their part. Returns what it did; call it again after an update.';

CREATE OR REPLACE FUNCTION @extschema@._rule_acl(p_kind text, p_oid oid)
RETURNS aclitem[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE p_kind
        WHEN 'FUNCTION' THEN (SELECT p.proacl FROM pg_proc p WHERE p.oid = p_oid)
        ELSE (SELECT c.relacl FROM pg_class c WHERE c.oid = p_oid)
             || ARRAY(SELECT unnest(a.attacl) FROM pg_attribute a WHERE a.attrelid = p_oid AND a.attacl IS NOT NULL ORDER BY a.attnum)
        END
$$;
COMMENT ON FUNCTION @extschema@._rule_acl(text, oid) IS
    'Internal: the privileges on an object, its columns included.';

-- sql/007_stats.sql
-- What was published, and where to, as one answer.

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_stats(p_webhook_id integer DEFAULT NULL, p_hours integer DEFAULT 24)
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_range(p_hours, 1, 87600, 'p_hours');
    IF p_webhook_id IS NOT NULL AND NOT EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id) THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN (
        SELECT json_build_object(
            'webhook_id', p_webhook_id, 'hours', p_hours,
            'total_published', count(*), 'successful', count(*) FILTER (WHERE h.success),
            'failed', count(*) FILTER (WHERE NOT h.success), 'duplicates', count(*) FILTER (WHERE h.duplicate),
            'success_rate_pct', round(100.0 * count(*) FILTER (WHERE h.success) / nullif(count(*), 0), 2),
            'avg_latency_ms', round(avg(h.latency_ms), 2), 'min_latency_ms', min(h.latency_ms), 'max_latency_ms', max(h.latency_ms),
            'p50_latency_ms', percentile_cont(0.5) WITHIN GROUP (ORDER BY h.latency_ms),
            'p95_latency_ms', percentile_cont(0.95) WITHIN GROUP (ORDER BY h.latency_ms),
            'p99_latency_ms', percentile_cont(0.99) WITHIN GROUP (ORDER BY h.latency_ms),
            'first_published_at', min(h.published_at), 'last_published_at', max(h.published_at))
        FROM @extschema@.rule_nats_publish_history h
        JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
        WHERE h.published_at > now() - make_interval(hours => p_hours)
          AND (p_webhook_id IS NULL OR h.webhook_id = p_webhook_id));
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_stats(integer, integer) IS
    'Publishes to NATS of the last hours, of one webhook or of all: numbers, success rate, latencies in milliseconds.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_webhooks_list()
RETURNS TABLE (webhook_id integer, webhook_name text, nats_subject text, publish_mode text, config_name text,
               total_published bigint, success_rate numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.webhook_id, w.webhook_name, w.nats_subject, w.publish_mode, c.config_name, s.total_published, s.success_rate_pct
    FROM @extschema@.nats_publish_summary s
    JOIN @extschema@.rule_webhooks w ON w.webhook_id = s.webhook_id
    LEFT JOIN @extschema@.rule_nats_config c ON c.config_id = @extschema@._rule_config_of(w.nats_config_id)
    ORDER BY w.webhook_id
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_webhooks_list() IS
    'The webhooks that may publish to NATS, where to, and how that went over the history that is kept, in per cent.';

-- sql/007_streams.sql
-- The streams that there should be. Only rows; rule_nats_init() and the publish that needs one make them in NATS.

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_streams_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_subject text;
BEGIN
    PERFORM @extschema@._rule_check_stream_name(NEW.stream_name);
    IF cardinality(NEW.subjects) = 0 OR NEW.subjects IS NULL THEN
        PERFORM @extschema@._rule_refuse('a stream needs subjects', 'Give at least one, such as {webhooks.>}.');
    END IF;
    FOREACH v_subject IN ARRAY NEW.subjects LOOP
        PERFORM @extschema@._rule_check_subject(v_subject, 'subject', true);
    END LOOP;
    PERFORM @extschema@._rule_check_choice(NEW.storage_type, '{file,memory}', 'storage_type');
    PERFORM @extschema@._rule_check_range(NEW.max_messages, 0, 9223372036854775807, 'max_messages');
    PERFORM @extschema@._rule_check_range(NEW.max_bytes, 0, 9223372036854775807, 'max_bytes');
    PERFORM @extschema@._rule_check_range(NEW.max_age_seconds, 0, 3153600000, 'max_age_seconds');
    PERFORM @extschema@._rule_check_choice(NEW.retention_policy, '{limits,interest,workqueue}', 'retention_policy');
    PERFORM @extschema@._rule_check_choice(NEW.discard_policy, '{old,new}', 'discard_policy');
    PERFORM @extschema@._rule_check_range(NEW.replicas, 1, 5, 'replicas');
    PERFORM @extschema@._rule_check_range(NEW.duplicate_window_seconds, 1, 31536000, 'duplicate_window_seconds');
    IF TG_OP = 'INSERT' THEN
        DELETE FROM @extschema@.rule_nats_streams s
        WHERE s.pristine AND (s.stream_id = NEW.stream_id OR (s.config_id = NEW.config_id AND s.stream_name = NEW.stream_name));
    END IF;
    -- Deeper than one is its configuration giving way to a restored one.
    NEW.pristine := TG_OP = 'UPDATE' AND pg_trigger_depth() > 1 AND OLD.pristine;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_nats_streams_check() IS
    'Internal trigger: validates a stream.';

CREATE OR REPLACE TRIGGER rule_nats_streams_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_nats_streams
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_nats_streams_check();

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_stream_create(
    p_stream_name text, p_subjects text[], p_config_name text DEFAULT 'default', p_description text DEFAULT NULL,
    p_retention_policy text DEFAULT 'limits', p_max_age_seconds bigint DEFAULT 604800)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_config_id integer := @extschema@._rule_config_id(p_config_name);
    v_stream_id integer;
BEGIN
    UPDATE @extschema@.rule_nats_streams s
    SET subjects = p_subjects, description = p_description, retention_policy = p_retention_policy,
        max_age_seconds = p_max_age_seconds
    WHERE s.config_id = v_config_id AND s.stream_name = p_stream_name
    RETURNING s.stream_id INTO v_stream_id;
    IF v_stream_id IS NULL THEN
        INSERT INTO @extschema@.rule_nats_streams (config_id, stream_name, subjects, description, retention_policy, max_age_seconds)
        VALUES (v_config_id, p_stream_name, p_subjects, p_description, p_retention_policy, p_max_age_seconds)
        RETURNING stream_id INTO v_stream_id;
    END IF;
    RETURN v_stream_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_stream_create(text, text[], text, text, text, bigint) IS
    'Makes or changes the row of a stream; rule_nats_init() brings it to NATS. Returns its stream_id.';

-- sql/007_views.sql
-- What was published, for people. Rows of deleted webhooks are left out until their day of the ring is emptied.

CREATE OR REPLACE VIEW @extschema@.nats_publish_summary AS
SELECT w.webhook_id, w.webhook_name, w.nats_subject AS subject, w.publish_mode,
       pg_catalog.count(h.publish_id) AS total_published,
       pg_catalog.count(h.publish_id) FILTER (WHERE h.success) AS successful,
       pg_catalog.count(h.publish_id) FILTER (WHERE NOT h.success) AS failed,
       pg_catalog.round(100.0 * pg_catalog.count(h.publish_id) FILTER (WHERE h.success)
                        / nullif(pg_catalog.count(h.publish_id), 0), 2) AS success_rate_pct,
       pg_catalog.round(pg_catalog.avg(h.latency_ms), 2) AS avg_latency_ms,
       pg_catalog.min(h.latency_ms) AS min_latency_ms, pg_catalog.max(h.latency_ms) AS max_latency_ms,
       pg_catalog.max(h.published_at) AS last_published_at
FROM @extschema@.rule_webhooks w
LEFT JOIN @extschema@.rule_nats_publish_history h ON h.webhook_id = w.webhook_id
WHERE w.nats_enabled
GROUP BY w.webhook_id;
COMMENT ON VIEW @extschema@.nats_publish_summary IS
    'Publishes to NATS per webhook that may publish there, over the history that is kept. Latencies in milliseconds.';

CREATE OR REPLACE VIEW @extschema@.nats_performance_stats AS
SELECT w.webhook_name, h.subject, pg_catalog.count(*) AS message_count,
       pg_catalog.round(pg_catalog.avg(h.latency_ms), 2) AS avg_latency_ms,
       pg_catalog.min(h.latency_ms) AS min_latency_ms, pg_catalog.max(h.latency_ms) AS max_latency_ms,
       pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY h.latency_ms) AS p50_latency_ms,
       pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY h.latency_ms) AS p95_latency_ms,
       pg_catalog.percentile_cont(0.99) WITHIN GROUP (ORDER BY h.latency_ms) AS p99_latency_ms
FROM @extschema@.rule_nats_publish_history h
JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
WHERE h.success AND h.published_at > pg_catalog.now() - interval '24 hours'
GROUP BY w.webhook_name, h.subject;
COMMENT ON VIEW @extschema@.nats_performance_stats IS
    'How long acknowledged publishes of the last 24 hours took, in milliseconds, per webhook and subject.';

CREATE OR REPLACE VIEW @extschema@.nats_recent_failures AS
SELECT h.publish_id, w.webhook_name, h.subject, h.error_message, h.payload, h.published_at, h.latency_ms
FROM @extschema@.rule_nats_publish_history h
JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
WHERE NOT h.success AND h.published_at > pg_catalog.now() - interval '24 hours'
ORDER BY h.published_at DESC, h.publish_id DESC;
COMMENT ON VIEW @extschema@.nats_recent_failures IS
    'Publishes that NATS did not acknowledge in the last 24 hours, newest first.';

-- sql/999_nothing_for_public.sql
-- PUBLIC gets nothing. Only objects that this script has just made are touched: a REVOKE that an update repeats would
-- take a DBA's own grants into the initial privileges, and dumps would lose them. A function without initial privileges
-- is a new one. A relation without them may be new or come out of pg_upgrade, which drops those that say no more than
-- the default; it gives PUBLIC nothing by itself, so that only one where PUBLIC holds something is touched.

DO $$
DECLARE
    v_object record;
    v_first boolean := NOT EXISTS (
        SELECT FROM pg_catalog.pg_init_privs i WHERE i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass
           AND i.objoid = '@extschema@._rule_source()'::pg_catalog.regprocedure);
    v_new integer := 0;
BEGIN
    FOR v_object IN
        SELECT CASE WHEN d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass THEN 'FUNCTION'
                    WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
               CASE WHEN c.oid IS NULL THEN d.objid::pg_catalog.regprocedure::text
                    ELSE d.objid::pg_catalog.regclass::text END AS name
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'rule_engine'
        LEFT JOIN pg_catalog.pg_class c
            ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid AND c.relkind IN ('r', 'p', 'v', 'S')
        WHERE d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND (c.oid IS NOT NULL OR d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_init_privs i
                          WHERE i.classoid = d.classid AND i.objoid = d.objid AND i.objsubid = 0)
          AND (c.oid IS NULL OR EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) a WHERE a.grantee = 0))
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM PUBLIC', v_object.kind, v_object.name);
        v_new := v_new + 1;
    END LOOP;
    IF NOT v_first AND (v_new > 0 OR EXISTS (SELECT FROM @extschema@.rule_engine_migrations m WHERE m.applied_at = pg_catalog.now())) THEN
        RAISE NOTICE 'rule_engine has new objects'
            USING HINT = 'SELECT rule_engine_create_roles() again, so that its roles may use them.';
    END IF;
END
$$;
