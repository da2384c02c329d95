-- The extension lives in a schema that is not on the search path of its own code.
CREATE SCHEMA re;
CREATE EXTENSION rule_engine SCHEMA re;
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'rule_engine';
SELECT migration, name, version = (SELECT extversion FROM pg_extension WHERE extname = 'rule_engine') AS of_this_version,
       applied_at <= now() AS applied
FROM re.rule_engine_migrations ORDER BY migration;

-- One source, of this database.
SELECT count(*), bool_and(database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())) AS of_this_database,
       bool_and(history_kept_since = '-infinity') AS history_complete
FROM re.rule_engine_source;

-- What is there from the start.
SELECT config_name, nats_url, auth_type, jetstream_enabled, stream_name, subject_prefix, enabled, pristine FROM re.rule_nats_config;
SELECT stream_name, subjects, retention_policy, discard_policy, max_messages, max_bytes, max_age_seconds, pristine
FROM re.rule_nats_streams;

-- What the other tests use.
CREATE SCHEMA t;
-- Whoever counts days by their number begins on one that does not end meanwhile.
CREATE PROCEDURE t.begin_on_one_day() LANGUAGE sql AS
$$ SELECT pg_sleep(CASE WHEN s.left < 60 THEN s.left + 1 ELSE 0 END)
   FROM (SELECT 86400 - extract(epoch FROM clock_timestamp()) % 86400) AS s ("left") $$;
CREATE TABLE t.roles_before AS SELECT rolname FROM pg_roles WHERE rolname LIKE 'rule\_engine\_%';

-- A mistake as one line: SQLSTATE, message, hint.
CREATE FUNCTION t.error(p_sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_message text; v_hint text; v_state text; v_detail text;
BEGIN
    EXECUTE p_sql;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_hint = PG_EXCEPTION_HINT, v_state = RETURNED_SQLSTATE,
        v_detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', v_state, v_message, nullif('DETAIL ' || v_detail, 'DETAIL '), '-', v_hint);
END $$;

CREATE FUNCTION t.id(p_name text) RETURNS integer LANGUAGE sql STABLE AS
$$ SELECT webhook_id FROM re.rule_webhooks WHERE webhook_name = p_name $$;

-- Records a publish as the extension does: a row of the (sub)transaction that it runs in, whose id it returns.
CREATE FUNCTION t.publish(p_name text, p_message_id text, p_success boolean DEFAULT true, p_unknown boolean DEFAULT false)
RETURNS xid8 LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
    v_transaction xid8;
BEGIN
    INSERT INTO re.rule_nats_publish_history (webhook_id, subject, payload, message_id, success, unknown)
    VALUES (t.id(p_name), 'webhooks.test', '{"n": 1}', p_message_id, p_success, p_unknown) RETURNING publish_id INTO v_id;
    -- The row's xmin is the subtransaction; the epoch is the transaction's.
    UPDATE re.rule_nats_publish_history
    SET transaction = (div(pg_current_xact_id()::text::numeric, 4294967296) * 4294967296 + xmin::text::numeric)::text::xid8
    WHERE publish_id = v_id
    RETURNING transaction INTO v_transaction;
    RETURN v_transaction;
END $$;

-- A message of the stream as a worker hands it over.
CREATE FUNCTION t.message(p_name text, p_message_id text, p_transaction text DEFAULT NULL) RETURNS jsonb LANGUAGE sql STABLE AS
$$ SELECT jsonb_build_object('webhook_id', t.id(p_name), 'message_id', p_message_id, 'transaction', p_transaction,
       'source_id', (SELECT source_id FROM re.rule_engine_source), 'stream', 'WEBHOOKS', 'sequence', 7, 'age_ms', 10) $$;

CREATE FUNCTION t.admit(p_consumer text, VARIADIC p_messages jsonb[])
RETURNS TABLE (ordinal integer, verdict text, reason text, wait_ms integer, try integer) LANGUAGE sql AS
$$ SELECT * FROM re.rule_worker_admit(p_consumer, to_jsonb(p_messages)) $$;

-- What a worker says of one try of a stream message.
CREATE FUNCTION t.tried(p_name text, p_message_id text, p_status integer, p_try integer DEFAULT NULL, p_payload text DEFAULT NULL)
RETURNS jsonb LANGUAGE sql STABLE AS
$$ SELECT jsonb_strip_nulls(jsonb_build_object('path', 'stream', 'webhook_id', t.id(p_name), 'message_id', p_message_id,
       'redelivery', 0, 'try', p_try, 'result', CASE WHEN p_status IS NULL THEN 'failed' ELSE 'answered' END,
       'status', p_status, 'started_ms_ago', 15, 'duration_ms', 12.3, 'error', CASE WHEN p_status IS NULL THEN 'connection refused' END,
       'answer', CASE WHEN p_status >= 300 THEN 'no' END, 'stream', 'WEBHOOKS', 'sequence', 7,
       'payload', encode(convert_to(p_payload, 'UTF8'), 'base64'))) $$;

-- Waits are drawn: only their order of magnitude is shown.
CREATE FUNCTION t.report(p_consumer text, VARIADIC p_attempts jsonb[])
RETURNS TABLE (ordinal integer, verdict text, waits text, reason text) LANGUAGE sql AS
$$ SELECT ordinal, verdict, CASE WHEN wait_ms = 0 THEN 'no' WHEN wait_ms <= 60000 THEN 'up to 60 s' WHEN wait_ms > 60000 THEN 'longer' END, reason
   FROM re.rule_worker_report(p_consumer, to_jsonb(p_attempts)) $$;

-- The lease of whoever has the event runs out now.
CREATE FUNCTION t.lease_ends(p_message_id text) RETURNS void LANGUAGE sql AS
$$ UPDATE re.rule_webhook_queue SET lease_until = now() - interval '1 second' WHERE message_id = p_message_id AND status = 'processing';
   UPDATE re.rule_webhook_receipts SET lease_until = now() - interval '1 second' WHERE message_id = p_message_id AND state = 'leased' $$;
