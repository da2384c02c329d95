-- rule_webhook_trigger(): rows of a table become events, without NATS.
SET search_path = re;
\pset null -
SELECT count(*) > -1 AS made FROM rule_engine_create_roles();
SELECT rule_webhook_register('orders made', 'https://example.com') AS id \gset
CREATE TABLE t.made (id integer PRIMARY KEY, status text, "a ""name" jsonb, gone text, doubled integer GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE t.made DROP COLUMN gone;

-- What was queued since the last look, in order.
CREATE FUNCTION t.queued() RETURNS SETOF jsonb LANGUAGE sql AS
$$ WITH gone AS (DELETE FROM re.rule_webhook_queue RETURNING queue_id, payload) SELECT payload FROM gone ORDER BY queue_id $$;

-- Row by row.
CREATE TRIGGER publish AFTER INSERT OR UPDATE OR DELETE ON t.made FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('orders made');
INSERT INTO t.made VALUES (1, 'new', '{"x": [1, null]}'), (2, E'a "quoted"\nline', NULL);
UPDATE t.made SET status = 'paid' WHERE id = 1;
UPDATE t.made SET status = status WHERE id = 1;
DELETE FROM t.made WHERE id = 2;
SELECT t.queued();
-- Gone with its transaction.
BEGIN;
INSERT INTO t.made VALUES (3);
ROLLBACK;
SELECT t.queued();

-- With columns: these alone, and nothing when none of them changed.
DROP TRIGGER publish ON t.made;
CREATE TRIGGER publish AFTER INSERT OR UPDATE OR DELETE ON t.made FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('orders made', 'id', 'status');
UPDATE t.made SET "a ""name" = '1';
UPDATE t.made SET status = 'sent';
SELECT t.queued();
-- Nobody but the trigger's maker needs a right of ours.
CREATE ROLE regress_writer;
GRANT USAGE ON SCHEMA t TO regress_writer;
GRANT ALL ON t.made TO regress_writer;
SET ROLE regress_writer;
INSERT INTO t.made VALUES (4, 'new');
RESET ROLE;
SELECT t.queued();

-- A statement's rows in one batch, several where there are many.
DROP TRIGGER publish ON t.made;
CREATE TRIGGER made AFTER INSERT ON t.made REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders made', 'id', 'status');
CREATE TRIGGER changed AFTER UPDATE ON t.made REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders made', 'id', 'status');
CREATE TRIGGER removed AFTER DELETE ON t.made REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders made', 'id');
DELETE FROM t.made;
SELECT t.queued();
INSERT INTO t.made SELECT g, 'new' FROM generate_series(1, 3) g;
INSERT INTO t.made SELECT g, 'new' FROM generate_series(1, 3) g ON CONFLICT (id) DO UPDATE SET status = 'again' WHERE made.id = 2;
UPDATE t.made SET status = 'paid' WHERE id <> 2;
UPDATE t.made SET status = status;
DELETE FROM t.made WHERE false;
SELECT t.queued();
INSERT INTO t.made SELECT g, 'many' FROM generate_series(1001, 2200) g;
SELECT count(*), array_agg(payload #>> '{new,id}' ORDER BY queue_id) = array_agg((1000 + n)::text ORDER BY n) AS in_order
FROM (SELECT *, row_number() OVER (ORDER BY queue_id) AS n FROM rule_webhook_queue) q;
-- Another reader of the same transition table sees all of it, too.
CREATE FUNCTION t.counts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% rows', (SELECT count(*) FROM o); RETURN NULL; END $$;
CREATE TRIGGER a_counts AFTER DELETE ON t.made REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION t.counts();
CREATE TRIGGER z_counts AFTER DELETE ON t.made REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION t.counts();
DELETE FROM rule_webhook_queue;
DELETE FROM t.made;
SELECT count(*) FROM t.queued();

-- A partition's rows are its table's.
CREATE TABLE t.parts (id integer, part integer) PARTITION BY LIST (part);
CREATE TABLE t.parts_1 PARTITION OF t.parts FOR VALUES IN (1);
CREATE TABLE t.parts_2 (part integer, id integer);
ALTER TABLE t.parts ATTACH PARTITION t.parts_2 FOR VALUES IN (2);
CREATE TRIGGER publish AFTER INSERT OR UPDATE ON t.parts FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('orders made');
INSERT INTO t.parts VALUES (1, 1), (2, 2);
DROP TRIGGER publish ON t.parts;
CREATE TRIGGER publish AFTER UPDATE ON t.parts REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders made');
UPDATE t.parts SET part = 3 - part;
SELECT t.queued();

-- A disabled webhook makes no write fail; a deleted one does, as do a trigger's mistakes.
SELECT rule_webhook_update(:id, p_enabled => false);
INSERT INTO t.made VALUES (5);
SELECT t.queued();
\a \t
CREATE TABLE t.wrong (id integer);
CREATE TRIGGER wrong AFTER INSERT ON t.wrong FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('no such');
SELECT t.error('INSERT INTO t.wrong VALUES (1)');
CREATE OR REPLACE TRIGGER wrong AFTER INSERT ON t.wrong FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger();
SELECT t.error('INSERT INTO t.wrong VALUES (1)');
CREATE OR REPLACE TRIGGER wrong AFTER INSERT ON t.wrong FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('orders made', 'no_such');
SELECT t.error('INSERT INTO t.wrong VALUES (1)');
CREATE OR REPLACE TRIGGER wrong BEFORE INSERT ON t.wrong FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('orders made');
SELECT t.error('INSERT INTO t.wrong VALUES (1)');
CREATE OR REPLACE TRIGGER wrong AFTER INSERT ON t.wrong FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders made');
SELECT t.error('INSERT INTO t.wrong VALUES (1)');
CREATE TRIGGER emptied AFTER TRUNCATE ON t.wrong FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders made');
SELECT t.error('TRUNCATE t.wrong');
SELECT t.error('SELECT re.rule_webhook_trigger()');
\a \t
SELECT count(*) FROM t.wrong;

-- History names the caller and the table. A port where nothing listens stands for NATS.
SELECT rule_webhook_update(:id, p_enabled => true);
SELECT rule_nats_configure('nowhere', 'nats://127.0.0.1:1');
UPDATE rule_nats_config SET connection_timeout_ms = 500, publish_timeout_ms = 500 WHERE config_name = 'nowhere';
-- Transition tables that no longer fit into memory.
CREATE TABLE t.wide (id integer, body text);
CREATE TRIGGER made AFTER INSERT ON t.wide REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders made');
CREATE TRIGGER changed AFTER UPDATE ON t.wide REFERENCING OLD TABLE AS o NEW TABLE AS n
    FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders made');
SET work_mem = '64kB';
INSERT INTO t.wide SELECT g, repeat(md5(g::text), 30) FROM generate_series(1, 2000) g;
SELECT count(*), bool_and(q -> 'new' ->> 'body' = repeat(md5(q -> 'new' ->> 'id'), 30)) AS whole FROM t.queued() q;
UPDATE t.wide SET body = body || '!';
SELECT count(*), bool_and(q -> 'new' ->> 'body' = repeat(md5(q -> 'old' ->> 'id'), 30) || '!'
                          AND q -> 'old' ->> 'id' = q -> 'new' ->> 'id') AS whole FROM t.queued() q;
RESET work_mem;
DROP TABLE t.wide;

-- Rows that moved to another partition, of which one was dropped on its way: nothing says which belong together.
CREATE TABLE t.moving (id integer, k integer) PARTITION BY LIST (k);
CREATE TABLE t.moving1 PARTITION OF t.moving FOR VALUES IN (1);
CREATE TABLE t.moving2 PARTITION OF t.moving FOR VALUES IN (2);
CREATE FUNCTION t.drop_two() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.id <> 2 THEN NEW END; END $$;
CREATE TRIGGER drop_two BEFORE INSERT ON t.moving2 FOR EACH ROW EXECUTE FUNCTION t.drop_two();
CREATE TRIGGER changed AFTER UPDATE ON t.moving REFERENCING OLD TABLE AS o NEW TABLE AS n
    FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('orders made');
INSERT INTO t.moving SELECT g, 1 FROM generate_series(1, 3) g;
SELECT t.error('UPDATE t.moving SET k = 2');
DROP TABLE t.moving;
DROP FUNCTION t.drop_two;

SELECT rule_webhook_enable_nats(:id, p_publish_mode => 'nats', p_config_name => 'nowhere');
SET ROLE regress_writer;
INSERT INTO t.made SELECT g FROM generate_series(10, 12) g;
RESET ROLE;
SELECT payload, success, triggered_by FROM rule_nats_publish_history ORDER BY publish_id;
SELECT count(*), count(DISTINCT message_id) AS ids FROM rule_webhook_queue;

SELECT rule_webhook_delete(:id);
SELECT t.error('INSERT INTO t.made VALUES (6)');
DELETE FROM rule_nats_config WHERE config_name = 'nowhere';
DELETE FROM rule_nats_publish_history;
DROP TABLE t.made, t.parts, t.wrong;
DROP FUNCTION t.queued, t.counts;
REVOKE USAGE ON SCHEMA t FROM regress_writer;
DROP ROLE regress_writer;
