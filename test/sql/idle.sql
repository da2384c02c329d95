-- Who says that it is idle, and what is told then: test/specs/idle_worker.spec has two sessions.
SET search_path = re;
\pset null -
CREATE VIEW t.idle AS
SELECT mode FROM pg_locks
WHERE locktype = 'advisory' AND (classid, objid, objsubid) = (1919247718, 1, 2) AND pid = pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT rule_worker_idle(NULL, true)$$),
    ($$SELECT rule_worker_idle('w', NULL)$$),
    ($$SELECT rule_worker_idle(E'w\t', true)$$),
    ($$SELECT rule_engine_queued()$$)
) AS c (call);
\a \t
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT t.error($$SELECT rule_worker_idle('w', true)$$);
ROLLBACK;
SELECT * FROM t.idle;

-- Once however often it is said, and beyond the transaction.
BEGIN;
SELECT rule_worker_idle('w', true), rule_worker_idle('w', true);
ROLLBACK;
SELECT rule_worker_idle('w', true);
SELECT * FROM t.idle;
SELECT rule_worker_idle('w', false);
SELECT * FROM t.idle;
SELECT rule_worker_idle('w', false);
SELECT * FROM t.idle;

-- The trigger is for the queue.
CREATE TABLE t.other (id int);
CREATE TRIGGER wrong AFTER INSERT ON t.other FOR EACH ROW EXECUTE FUNCTION rule_engine_queued();
SELECT t.error('INSERT INTO t.other VALUES (1)');
DROP TABLE t.other;
DROP VIEW t.idle;
