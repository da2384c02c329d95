-- A row that is refused is not printed: payloads, answers, URLs and secrets stay out of errors, whoever writes to a table.
SET search_path = re;
\pset null -
SELECT count(*) > -1 AS made FROM rule_engine_create_roles();
SELECT rule_webhook_register('checked', 'https://example.com/hush', p_headers => '{"Authorization": "hush"}') AS id \gset
SELECT rule_webhook_secret_set(:id, 'signing') LIKE 'whsec_%' AS set;
SELECT rule_nats_configure('checked', 'nats://hush:hush@localhost');
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, payload, slot) VALUES (:id, 's', 'm', true, '"hush"', 3);
INSERT INTO rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, outcome, answer, slot)
VALUES (:id, 'm', 1, 'queue', 'w', now(), 'again', 'hush', 3);
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) VALUES (:id, 'm', '"hush"');

-- What an error says, but for a detail, which could hold the row.
CREATE FUNCTION t.said(p_sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
BEGIN
    EXECUTE p_sql;
    RETURN 'done';
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' ', v_state, v_message, CASE WHEN v_hint OPERATOR(pg_catalog.=) '' THEN 'WITHOUT A HINT' END,
                     CASE WHEN concat(v_message, v_detail, v_hint) OPERATOR(pg_catalog.~) 'hush|Failing row' THEN 'WITH THE ROW' END);
END
$$;
GRANT USAGE ON SCHEMA t TO rule_engine_admin;
GRANT EXECUTE ON FUNCTION t.said(text) TO rule_engine_admin;

-- Every column that must not be NULL, but for those that say just that.
SELECT n.relname, n.attname, n.said
FROM (SELECT c.relname, a.attname, t.said(format('UPDATE re.%I SET %I = NULL', c.relname, a.attname)) AS said
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnotnull AND a.attnum > 0
      WHERE c.oid IN ('rule_webhooks'::regclass, 'rule_webhook_secrets'::regclass, 'rule_nats_config'::regclass,
                      'rule_nats_streams'::regclass, 'rule_nats_publish_history'::regclass, 'rule_webhook_attempts'::regclass,
                      'rule_webhook_queue'::regclass)) n
WHERE n.said <> format('22004 %s must not be NULL', n.attname)
ORDER BY 1, 2;

-- Every CHECK of the queue, the history and the attempts, and what workers could not go on with; as an administrator.
SET ROLE rule_engine_admin;
SELECT s.set, t.said('UPDATE re.rule_webhook_queue SET ' || s.set) FROM unnest(ARRAY[
    'message_id = NULL', 'status = ''lost''', 'route = ''pigeon''', 'payload = NULL', 'payload_bytes = ''x''', 'webhook_id = NULL',
    'status = ''processing''', 'leased_by = ''w''', 'lease_until = now()', 'status = ''processing'', leased_by = ''w''',
    'status = ''processing'', leased_by = ''w'', lease_until = ''infinity''',
    'status = ''processing'', leased_by = ''w'', lease_until = ''-infinity''',
    'retry_count = 2147483647', 'retry_count = -1', 'refusals = 2147483647', 'refusals = -1', 'lease_losses = 32767', 'lease_losses = -1',
    'redelivery = 2147483647', 'redelivery = -1', 'first_tried_at = ''294276-12-31''', 'first_tried_at = ''infinity''']) AS s (set);
SELECT t.said('INSERT INTO re.rule_webhook_queue (webhook_id, message_id) VALUES (1, ''without a payload'')'),
       t.said('INSERT INTO re.rule_webhook_queue (webhook_id, payload) VALUES (1, ''"hush"'')'),
       t.said('INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload, status) VALUES (1, ''m'', ''"hush"'', ''waiting'')');
-- A word of pg_catalog's is not looked for anywhere else.
RESET ROLE;
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.called(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hostile operator called'; END $$;
CREATE FUNCTION hostile.called(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hostile operator called'; END $$;
CREATE FUNCTION hostile.called(boolean, boolean) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hostile operator called'; END $$;
CREATE FUNCTION hostile.isfinite(timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hostile function called'; END $$;
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.called);
CREATE OPERATOR hostile.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.called);
CREATE OPERATOR hostile.= (LEFTARG = boolean, RIGHTARG = boolean, FUNCTION = hostile.called);
CREATE OPERATOR hostile.<> (LEFTARG = boolean, RIGHTARG = boolean, FUNCTION = hostile.called);
CREATE OPERATOR hostile.>= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = hostile.called);
CREATE OPERATOR hostile.<= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = hostile.called);
GRANT USAGE ON SCHEMA hostile TO rule_engine_admin;
-- A function is planned once per session.
\c -
\pset null -
SET search_path = hostile, pg_catalog;
SET ROLE rule_engine_admin;
SELECT t.said('UPDATE re.rule_webhook_queue SET retry_count = 5'), t.said('UPDATE re.rule_webhook_queue SET retry_count = -5'),
       t.said('UPDATE re.rule_webhook_queue SET status = ''lost''');
RESET ROLE;
SELECT t.said('UPDATE re.rule_nats_publish_history SET success = false'), t.said('UPDATE re.rule_webhook_attempts SET path = ''pigeon''');
SET search_path = re;
DROP SCHEMA hostile CASCADE;

SELECT s.set, t.said('UPDATE re.rule_webhook_attempts SET ' || s.set) FROM unnest(ARRAY['path = ''pigeon''', 'outcome = ''lost''']) AS s (set);
-- A row in another partition than its own.
SELECT t.said('UPDATE re.rule_nats_publish_history SET slot = 12'), t.said('UPDATE re.rule_webhook_attempts SET slot = 12'),
       t.said('UPDATE re.rule_nats_publish_history SET slot = 4'),
       t.said('INSERT INTO re.rule_nats_publish_history_3 (webhook_id, subject, message_id, success, payload, slot) VALUES (1, ''s'', ''m'', true, ''"hush"'', 4)'),
       t.said('INSERT INTO re.rule_webhook_attempts_3 (webhook_id, message_id, try, path, worker, started_at, outcome, answer, slot) VALUES (1, ''m'', 1, ''queue'', ''w'', now(), ''again'', ''hush'', 4)'),
       t.said('INSERT INTO re.rule_nats_publish_history (webhook_id, subject, message_id, success, payload, slot) VALUES (1, ''s'', ''m'', true, ''"hush"'', 12)');
-- A hold that began at no time could not end.
SELECT t.said('UPDATE re.rule_webhooks SET held_reason = ''x'', held_since = ''infinity'''),
       t.said('UPDATE re.rule_webhooks SET held_reason = ''x'', held_since = ''-infinity''');

-- What was there before the trigger was keeps no worker from its row, nor the others from theirs.
ALTER TABLE rule_webhook_queue DISABLE TRIGGER rule_webhook_queue_check;
UPDATE rule_webhook_queue SET redelivery = -1, refusals = -1, lease_losses = -1, first_tried_at = 'infinity';
ALTER TABLE rule_webhook_queue ENABLE TRIGGER rule_webhook_queue_check;
SELECT message_id, action FROM rule_worker_claim('w', 10, '{}');
SELECT t.said('UPDATE re.rule_webhook_queue SET retry_count = -2'), t.said('UPDATE re.rule_webhook_queue SET leased_by = NULL');
UPDATE rule_webhook_queue SET redelivery = 0, refusals = 0, lease_losses = 0, first_tried_at = NULL,
    status = 'pending', leased_by = NULL, lease_until = NULL;

-- What 0.1.0 took, a row that comes in is mended of: it is its dump's. What it did not take is refused.
INSERT INTO rule_webhook_queue (queue_id, webhook_id, message_id, payload, retry_count)
VALUES (900001, :id, 'few', '"hush"', -7), (900002, :id, 'many', '"hush"', 2147483647);
INSERT INTO rule_webhook_queue (queue_id, webhook_id, message_id, payload, redelivery)
VALUES (900003, :id, 'before', '"hush"', -2147483648), (900004, :id, 'before', '"hush"', -1), (900005, :id, 'before', '"hush"', 0);
BEGIN;
INSERT INTO rule_webhook_queue (queue_id, webhook_id, message_id, payload, status, leased_by, lease_until, retry_count)
VALUES (900006, :id, 'for ever', '"hush"', 'processing', 'w', 'infinity', -1);
SELECT message_id, redelivery, retry_count, lease_until = now() AS ends_now FROM rule_webhook_queue WHERE message_id IN ('few', 'many', 'before', 'for ever') ORDER BY 1, 2;
COMMIT;
DELETE FROM rule_webhook_queue WHERE message_id IN ('few', 'many', 'before', 'for ever');
SELECT t.said('INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload, refusals) VALUES (1, ''m'', ''"hush"'', -1)'),
       t.said('INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload, retry_count) VALUES (1, ''m'', ''"hush"'', NULL)'),
       t.said('INSERT INTO re.rule_webhook_queue (queue_id, webhook_id, message_id, payload, retry_count, status) VALUES (900007, 1, ''m'', ''"hush"'', -1, ''lost'')');

-- What is right passes, dead letters of strangers included, and a row as it is may be written again.
INSERT INTO rule_webhook_queue (message_id, payload_bytes, status, retry_count, refusals, lease_losses, redelivery)
VALUES ('stranger', 'x', 'failed', 1000000000, 1000000000, 10000, 1000000000);
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, next_retry_at) VALUES (:id, 'never', '{}', 'infinity');
UPDATE rule_webhook_queue SET status = status;
UPDATE rule_nats_publish_history SET success = success;
UPDATE rule_webhook_attempts SET outcome = outcome;
-- What waits for ever is nothing that a redelivery waits behind.
UPDATE rule_webhook_queue SET redelivery = 1 WHERE message_id = 'never';
UPDATE rule_webhook_queue SET status = 'failed' WHERE message_id = 'm';
SELECT rule_webhook_redeliver(p_webhook_id => :id);
SELECT message_id, redelivery, next_retry_at < now() + interval '1 minute' AS soon FROM rule_webhook_queue
WHERE status = 'pending' ORDER BY message_id, redelivery;

-- Of the day alone, which counts as no cleaning by hand.
DELETE FROM rule_nats_publish_history_3 WHERE webhook_id = :id;
DELETE FROM rule_webhook_attempts_3 WHERE webhook_id = :id;
DELETE FROM rule_webhook_queue WHERE webhook_id IS NULL;
SELECT rule_webhook_delete(:id);
DELETE FROM rule_nats_config WHERE config_name = 'checked';
DROP FUNCTION t.said(text);
REVOKE USAGE ON SCHEMA t FROM rule_engine_admin;
