-- rule_engine.publish = off: nothing is sent, queued or recorded, and the results say so.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('switched', 'https://example.com') AS id \gset
CREATE TABLE t.made (n integer);
CREATE TRIGGER publish AFTER INSERT ON t.made FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('switched');
SHOW rule_engine.publish;
SET rule_engine.publish = off;
SELECT rule_webhook_publish_nats(:id, '{}');
SELECT rule_webhook_call_unified(:id, '{}');
SELECT rule_webhook_call(:id, '{}');
SELECT rule_webhook_enqueue(:id, '{}');
INSERT INTO t.made VALUES (1);
-- As a data-only restore needs it, no table is asked.
SELECT rule_webhook_enqueue(0, '{}');
SELECT rule_webhook_call_unified(0, '{}') -> 'queue' ->> 'reason' AS reason;
SELECT (SELECT count(*) FROM rule_webhook_queue) AS queue, (SELECT count(*) FROM rule_nats_publish_history) AS history;
BEGIN READ ONLY;
SELECT t.error($$SELECT re.rule_webhook_call_unified(t.id('switched'), '{}')$$);
ROLLBACK;
SET rule_engine.publish = on;
SELECT rule_webhook_enqueue(:id, '{}') IS NOT NULL AS queued;
SELECT rule_webhook_call_unified(:id, '{}') -> 'queue' -> 'success' AS queued;
INSERT INTO t.made VALUES (2);
SELECT count(*) FROM rule_webhook_queue;

-- Only a superuser's, also in a session that has not loaded the library yet.
SELECT count(*) > -1 AS made FROM rule_engine_create_roles();
SET ROLE rule_engine_admin;
SET rule_engine.publish = off;
\c -
SET ROLE rule_engine_admin;
SET rule_engine.publish = off;
SELECT current_setting('rule_engine.publish') AS "a placeholder";
SELECT re.rule_webhook_enqueue(:id, '{}') IS NOT NULL AS queued;
SHOW rule_engine.publish;
\c -
SET rule_engine.publish = off;
SELECT re.rule_webhook_enqueue(:id, '{}');
SHOW rule_engine.publish;
-- The prefix is the extension's.
SET rule_engine.publsh = off;

DROP TABLE t.made;
SELECT re.rule_webhook_delete(:id);
