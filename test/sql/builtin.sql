-- Functions for conditions and payloads.
SET search_path = re;
\pset null -
\a \t
-- What differs between two versions of a row.
SELECT rule_row_changed('{"a": 1, "b": 2}', '{"a": 1, "b": 2}'), rule_row_changed('{"a": 1, "b": 2}', '{"a": 1, "b": 3}'),
       rule_row_changed('{"a": 1, "b": 2}', '{"a": 1, "b": 3}', '{a}'), rule_row_changed('{"a": 1, "b": 2}', '{"a": 1, "b": 3}', '{a,b}'),
       rule_row_changed('{"a": 1}', '{"a": 1}', '{missing}'), rule_row_changed('{"a": 1}', '{"a": 1}', '{}');
-- An inserted or deleted row; a column that was or became NULL.
SELECT rule_row_changed(NULL, '{"a": 1}'), rule_row_changed('{"a": 1}', NULL, '{a}'), rule_row_changed(NULL, NULL),
       rule_row_changed('{"a": null}', '{"a": 1}', '{a}'), rule_row_changed('{"a": null}', '{"a": null}', '{a}');
SELECT rule_row_changes('{"a": 1, "b": 2, "c": null}', '{"a": 1, "b": 3, "d": [1]}');
SELECT rule_row_changes('{"a": 1}', '{"a": 1}'), rule_row_changes(NULL, '{"a": 1}'), rule_row_changes('{"a": 1}', NULL);
SELECT t.error($$SELECT re.rule_row_changes('[1]', '{}')$$), t.error($$SELECT re.rule_row_changes('{}', '"text"')$$), t.error($$SELECT re.rule_row_changes(NULL, '1')$$);

-- Keys picked and dropped.
SELECT rule_payload_pick('{"a": 1, "b": {"c": 2}, "d": null}', '{b,d,missing}'), rule_payload_pick('{"a": 1}', '{}'), rule_payload_pick(NULL, '{a}');
SELECT rule_payload_drop('{"a": 1, "b": 2}', '{a,missing}'), rule_payload_drop('{"a": 1}', NULL), rule_payload_drop(NULL, '{a}');
SELECT t.error($$SELECT re.rule_payload_pick('[1]', '{a}')$$);
SELECT t.error($$SELECT re.rule_payload_drop('"text"', '{a}')$$);

-- Fields masked, at any depth.
SELECT rule_payload_mask('{"card": "4111", "who": {"card": 7, "name": "n"}, "list": [{"card": [1]}, 2], "none": null}', '{card,none}');
SELECT rule_payload_mask('{"card": "4111"}', '{card}', 'hidden'), rule_payload_mask('{"card": "4111"}', '{card}', NULL),
       rule_payload_mask('{"card": 1}', '{}'), rule_payload_mask('{"card": 1}', NULL), rule_payload_mask('[]', '{a}'), rule_payload_mask('1', '{a}'), rule_payload_mask(NULL, '{a}');

-- CloudEvents.
SELECT rule_cloud_event('com.example.made', '/orders', '{"n": 1}', 'id-1', 'orders/1', '2026-01-02 03:04:05.678+01', '{"tenant": "acme", "level": 3}');
SELECT rule_cloud_event('t', '/s', NULL, 'id-1', p_time => NULL);
SELECT e ->> 'id' ~ '^[0-9a-f-]{36}$', (e ->> 'time')::timestamptz = now(), e ? 'subject' FROM rule_cloud_event('t', '/s', '{}') e;
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT re.rule_cloud_event('', '/s', '{}')$$),
    ($$SELECT re.rule_cloud_event('t', 'a b', '{}')$$),
    ($$SELECT re.rule_cloud_event('t', NULL, '{}')$$),
    ($$SELECT re.rule_cloud_event('t', '/s', '{}', '')$$),
    ($$SELECT re.rule_cloud_event('t', '/s', '{}', p_time => 'infinity')$$),
    ($$SELECT re.rule_cloud_event('t', '/s', '{}', p_extensions => '[]')$$),
    ($$SELECT re.rule_cloud_event('t', '/s', '{}', p_extensions => '{"id": "x"}')$$),
    ($$SELECT re.rule_cloud_event('t', '/s', '{}', p_extensions => '{"Tenant": "x"}')$$),
    ($$SELECT re.rule_cloud_event('t', '/s', '{}', p_extensions => '{"tenant": {}}')$$)
) AS c (call);

-- A row's event id: the same whenever it is made, another for another table, key or version.
SELECT rule_event_id('orders', '{"id": 1, "v": 2}', '{id}');
SELECT rule_event_id('orders', '{"id": 1, "v": 2}', '{id}') = rule_event_id('orders', '{"v": 3, "id": 1}', '{id}') AS same,
       count(DISTINCT id) AS others
FROM (VALUES (rule_event_id('orders', '{"id": 1}', '{id}')), (rule_event_id('orders', '{"id": "1"}', '{id}')), (rule_event_id('orders', '{"id": 2}', '{id}')),
             (rule_event_id('users', '{"id": 1}', '{id}')), (rule_event_id('orders', '{"id": 1}', '{id}', 'shipped')),
             (rule_event_id('orders', '{"id": 1, "b": 1}', '{id,b}'))) AS v (id);
SELECT t.error($$SELECT re.rule_event_id('orders', '{"id": null}', '{id}')$$);
SELECT t.error($$SELECT re.rule_event_id('orders', '{"id": 1}', '{}')$$);
SELECT t.error($$SELECT re.rule_event_id(NULL, '{"id": 1}', '{id}')$$);

-- A trigger's condition runs as whoever writes: an application may use them, anybody else may not.
SELECT count(*) > -1 FROM rule_engine_create_roles();
CREATE TABLE t.watched (id integer, status text);
INSERT INTO t.watched VALUES (1, 'new');
CREATE FUNCTION t.watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', re.rule_row_changes(to_jsonb(OLD), to_jsonb(NEW)); RETURN NULL; END $$;
CREATE TRIGGER watch AFTER UPDATE ON t.watched FOR EACH ROW WHEN (re.rule_row_changed(to_jsonb(OLD), to_jsonb(NEW), '{status}')) EXECUTE FUNCTION t.watch();
GRANT USAGE ON SCHEMA t TO rule_engine_publisher, rule_engine_worker;
GRANT SELECT, UPDATE ON t.watched TO rule_engine_publisher, rule_engine_worker;
SET ROLE rule_engine_publisher;
UPDATE t.watched SET id = 1;
UPDATE t.watched SET status = 'shipped';
SELECT re.rule_payload_mask('{"a": {"b": 1}}', '{b}');
SET ROLE rule_engine_worker;
SELECT t.error($$UPDATE t.watched SET status = 'lost'$$);
RESET ROLE;
DROP TABLE t.watched;
REVOKE USAGE ON SCHEMA t FROM rule_engine_publisher, rule_engine_worker;
