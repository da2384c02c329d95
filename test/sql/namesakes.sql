-- Two live processes of one CONSUMER_NAME hear of each other.
SET search_path = re;
\pset null -
CREATE FUNCTION t.beat(p_consumer text, p_instance text, p_heard_ms bigint DEFAULT NULL, p_streams text[] DEFAULT '{WEBHOOKS}',
                       OUT namesake boolean, OUT now_ms bigint)
LANGUAGE plpgsql AS $$
BEGIN
    -- Times are told in milliseconds.
    PERFORM pg_sleep(0.002);
    SELECT (h.lost -> 'namesake')::boolean, (h.lost -> 'now_ms')::bigint INTO namesake, now_ms
    FROM rule_worker_heartbeat(p_consumer, (SELECT jsonb_agg(jsonb_build_object('stream', s, 'group', 'g')) FROM unnest(p_streams) s),
                               jsonb_strip_nulls(jsonb_build_object('instance', p_instance, 'heard_ms', p_heard_ms))) h;
END
$$;

-- One that starts under the name of another, which may be dead, and then goes on.
SELECT namesake FROM t.beat('w', '1');
SELECT namesake, now_ms FROM t.beat('w', '2') \gset second_
SELECT :'second_namesake' AS second;
SELECT namesake, now_ms FROM t.beat('w', '2', :second_now_ms) \gset second_
SELECT :'second_namesake' AS second;
-- The other one lives.
SELECT namesake, now_ms FROM t.beat('w', '1') \gset first_
SELECT :'first_namesake' AS first;
SELECT namesake, now_ms FROM t.beat('w', '2', :second_now_ms) \gset second_
SELECT :'second_namesake' AS second;
SELECT namesake, now_ms FROM t.beat('w', '1', :first_now_ms) \gset first_
SELECT :'first_namesake' AS first;
-- It said nothing since then.
SELECT namesake, now_ms FROM t.beat('w', '1', :first_now_ms) \gset first_
SELECT :'first_namesake' AS first;

-- It takes from elsewhere, and the database is greeted under the name meanwhile.
SELECT namesake FROM t.beat('w', '2', :second_now_ms, '{rule_webhook_queue,OTHER}');
SELECT namesake, now_ms FROM t.beat('w', '1', :first_now_ms) \gset first_
SELECT :'first_namesake' AS first;
SELECT count(*) FROM rule_worker_hello('w', 'g', '1.0', '{}', '{WEBHOOKS,OTHER}');
SELECT namesake FROM t.beat('w', '1', :first_now_ms);

-- Another name; one that draws no number, as older workers; numbers that are none.
SELECT namesake FROM t.beat('v', '3', :first_now_ms);
SELECT namesake FROM t.beat('w', NULL, :first_now_ms);
SELECT namesake FROM t.beat('w', '1', :first_now_ms);
SELECT namesake FROM t.beat('w', 'x', :first_now_ms);
SELECT namesake FROM t.beat('w', '1', -1);
SELECT namesake FROM t.beat('w', '1', 999999999999999);
SELECT lost -> 'namesake' AS namesake FROM rule_worker_heartbeat('w', '[]', NULL);

DROP FUNCTION t.beat;
DELETE FROM rule_nats_consumer_stats;
