-- psql runs this part alone; the rest is the extension script's.
DO $psql$
DECLARE
    c_name CONSTANT pg_catalog.text := '007_nats_integration';
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

\endif
