-- What holds for the whole database: one row, validated.
SET search_path = re;
\pset null -
SELECT * FROM rule_engine_settings;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$UPDATE re.rule_engine_settings SET queue_backend = 'kafka'$$),
    ($$UPDATE re.rule_engine_settings SET queue_backend = NULL$$),
    ($$UPDATE re.rule_engine_settings SET queue_backend = 'pgmq'$$),
    ($$UPDATE re.rule_engine_settings SET queue_max_events = 0$$),
    ($$UPDATE re.rule_engine_settings SET queue_max_bytes = -1$$),
    ($$DELETE FROM re.rule_engine_settings$$)
) AS c (call);
\a \t
SELECT * FROM rule_engine_settings;

-- An edited row replaces one that nobody has edited, as a restore needs it, and no other.
BEGIN;
INSERT INTO rule_engine_settings (queue_max_events) VALUES (1000000);
SELECT * FROM rule_engine_settings;
SELECT t.error('INSERT INTO re.rule_engine_settings (queue_max_events) VALUES (7)');
ROLLBACK;
