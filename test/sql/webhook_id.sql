-- What a receiver knows an event by, and which event it names.
SET search_path = re;
\pset null -
CREATE TEMP TABLE ids (n serial, id text);
INSERT INTO ids (id) VALUES ('order-1'), ('A_z-0'), (repeat('m', 128)), (repeat('m', 129)), ('a.b'), ('a b'), ('ü'), (E'a\u2028b'), ('b64_YSBi'), ('b64_'), ('b64'), ('B64_x'), (repeat('ü?>', 60)), ('');
SELECT n, left(id, 20) AS id, left(rule_webhook_id_header(id), 40) AS header, rule_webhook_id_header(id) ~ '^[A-Za-z0-9_-]+$' AS plain,
       rule_webhook_message_id(rule_webhook_id_header(id)) = id AS found
FROM ids ORDER BY n;
SELECT count(DISTINCT rule_webhook_id_header(id)) = count(*) AS each_its_own FROM ids;
SELECT rule_webhook_id_header(NULL), rule_webhook_message_id(NULL);
-- What no event travels as: what is no base64url or no text, has bits or signs that an encoder leaves out, or was wrapped needlessly.
SELECT h AS header, rule_webhook_message_id(h) AS message_id
FROM unnest('{a b,b64_!,b64_Y,b64_YSBi=,b64_YR,b64_gA,b64_b3JkZXItMQ,b64_order,B64_YSBi}'::text[]) h;

SELECT rule_webhook_register('named', 'https://example.com') AS id \gset
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, completed_at)
SELECT CASE WHEN n > 1 THEN :id END, id, '{}', 'failed', now() FROM ids;
SELECT bool_and(webhook_id_header = rule_webhook_id_header(message_id)) AS header, count(*) FROM rule_webhook_dead_letters;
SELECT message_id FROM rule_webhook_dead_letters WHERE webhook_id_header = 'b64_YSBi';
-- Who may read the view may read all of it.
SELECT count(*) > -1 FROM rule_engine_create_roles();
CREATE ROLE regress_support;
GRANT USAGE ON SCHEMA re TO regress_support;
GRANT SELECT ON rule_webhook_dead_letters TO regress_support;
SET ROLE regress_support;
SELECT count(webhook_id_header) FROM re.rule_webhook_dead_letters;
SET ROLE rule_engine_monitor;
SELECT re.rule_webhook_id_header('a b'), re.rule_webhook_message_id('b64_YSBi');
RESET ROLE;
DROP OWNED BY regress_support;
DROP ROLE regress_support;
SELECT rule_webhook_delete(:id);
DELETE FROM rule_webhook_queue;
