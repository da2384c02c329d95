SET search_path = re;
\pset null -
-- Events of one key go one after the other. They are named after their key and their turn.
SELECT rule_webhook_register('ordered', 'https://example.com', p_max_retries => 0) AS id \gset
UPDATE rule_webhooks SET order_key = '{customer,id}', retry_delay_ms = 600000 WHERE webhook_id = :id;
SELECT rule_webhook_get('ordered') ->> 'order_key' AS order_key, rule_webhook_get('ordered') ->> 'on_dead' AS on_dead;
CREATE FUNCTION pg_temp.put(p_name text, p_customer jsonb) RETURNS void LANGUAGE sql AS
$$ SELECT re.rule_webhook_call_unified(t.id('ordered'), jsonb_build_object('customer', jsonb_build_object('id', p_customer)), p_name) $$;
CREATE FUNCTION pg_temp.take(p_consumer text, p_limit integer DEFAULT 10) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(message_id || CASE redelivery WHEN 0 THEN '' ELSE ' again' END, ', ' ORDER BY message_id)
   FROM re.rule_worker_claim(p_consumer, p_limit, '{}') WHERE webhook_id = t.id('ordered') $$;
CREATE FUNCTION pg_temp.tell(p_consumer text, p_name text, p_status integer DEFAULT 200) RETURNS text LANGUAGE sql AS
$$ SELECT r.verdict FROM re.rule_webhook_queue q, LATERAL re.rule_worker_report(p_consumer, jsonb_build_array(jsonb_build_object(
       'path', 'queue', 'queue_id', q.queue_id, 'result', CASE WHEN p_status IS NULL THEN 'released' ELSE 'answered' END, 'status', p_status))) r
   WHERE q.message_id = p_name AND q.status = 'processing' AND q.webhook_id = t.id('ordered') $$;
CREATE FUNCTION pg_temp.number(p_name text) RETURNS bigint LANGUAGE sql AS
$$ SELECT max(queue_id) FROM re.rule_webhook_queue WHERE message_id = p_name AND webhook_id = t.id('ordered') $$;

-- Whoever accepts an event keeps its value. A number and its text are one value, a long one is hashed; what is missing or
-- null is no order.
SELECT pg_temp.put('a1', '1'), pg_temp.put('a2', '"1"'), pg_temp.put('none', 'null'), pg_temp.put('long', to_jsonb(repeat('x', 5000))), pg_temp.put('empty', '""');
SELECT rule_webhook_call_unified(:id, '{"other": 1}', 'missing') IS NOT NULL AS accepted;
SELECT rule_webhook_call_unified(:id, '17', 'no object') IS NOT NULL AS accepted;
SELECT rule_webhook_enqueue(:id, '{"customer": {"id": 1}}') AS third \gset
UPDATE rule_webhook_queue SET message_id = 'a3' WHERE queue_id = :third;
SELECT message_id, left(order_key, 20) AS order_key, length(order_key) AS length, order_place FROM rule_webhook_queue WHERE webhook_id = :id ORDER BY queue_id;

-- The head of a key, and all that has no order.
SELECT pg_temp.take('w1'), pg_temp.take('w2') AS another;
SELECT message_id, reason, next_try_at FROM rule_webhook_undelivered(:id) WHERE reason <> 'leased';
SELECT rule_webhook_call_status(:third) ->> 'next_retry_at' AS next_try_at;
SELECT pg_temp.tell('w1', 'a1'), pg_temp.take('w2'), pg_temp.take('w1') AS another;
-- Given back, it is the first again; and so it is when its worker died.
SELECT pg_temp.tell('w2', 'a2', NULL), pg_temp.take('w1');
SELECT t.lease_ends('a2');
SELECT pg_temp.take('w1'), pg_temp.take('w2') AS another;
-- A retry that waits keeps its place.
SELECT pg_temp.tell('w1', 'a2', 503), pg_temp.take('w1');
SELECT message_id, reason FROM rule_webhook_undelivered(:id) WHERE reason <> 'leased';
SELECT rule_webhook_retry(pg_temp.number('a3')), pg_temp.take('w1');
SELECT rule_webhook_retry(pg_temp.number('a2')), pg_temp.take('w1');
SELECT pg_temp.tell('w1', 'a2'), pg_temp.take('w1');
SELECT pg_temp.tell('w1', name) FROM unnest('{a3,none,missing,no object,long,empty}'::text[]) name;

-- A dead letter blocks its key, and no other.
SELECT pg_temp.put('b' || n, '"b"') FROM generate_series(1, 4) n;
SELECT pg_temp.put('c1', '"c"');
SELECT pg_temp.take('w1');
SELECT pg_temp.tell('w1', 'b1', 400), pg_temp.tell('w1', 'c1');
SELECT pg_temp.take('w1');
SELECT message_id, reason FROM rule_webhook_undelivered(:id);
-- Tried again, it goes first.
SELECT rule_webhook_retry(pg_temp.number('b1'));
SELECT pg_temp.take('w1');
SELECT pg_temp.tell('w1', 'b1'), pg_temp.take('w1');
-- Redelivered, its new row does, in its place.
SELECT pg_temp.tell('w1', 'b2', 400), pg_temp.take('w1');
SELECT rule_webhook_redeliver(pg_temp.number('b2')), pg_temp.take('w1');
SELECT order_place = (SELECT min(queue_id) FROM rule_webhook_queue o WHERE o.message_id = 'b2') AS in_its_place
FROM rule_webhook_queue WHERE queue_id = pg_temp.number('b2');
SELECT pg_temp.tell('w1', 'b2', 400), pg_temp.take('w1');
SELECT rule_webhook_redeliver(p_webhook_id => :id), pg_temp.take('w1');
SELECT pg_temp.tell('w1', 'b2'), pg_temp.take('w1');
-- Deleted, it blocks no longer, and neither does what went before it.
SELECT pg_temp.tell('w1', 'b3', 400), pg_temp.take('w1');
DELETE FROM rule_webhook_queue WHERE message_id = 'b3';
SELECT pg_temp.take('w1');
SELECT pg_temp.tell('w1', 'b4');

-- on_dead 'skip': a dead letter blocks no longer, nor will the next one.
SELECT pg_temp.put('d' || n, '"d"') FROM generate_series(1, 4) n;
SELECT pg_temp.take('w1'), pg_temp.tell('w1', 'd1', 400), pg_temp.take('w1');
UPDATE rule_webhooks SET on_dead = 'skip' WHERE webhook_id = :id;
SELECT pg_temp.take('w1'), pg_temp.take('w1');
SELECT pg_temp.tell('w1', 'd2', 400), pg_temp.take('w1');
-- Redelivered, they go before what waits.
SELECT rule_webhook_redeliver(p_webhook_id => :id, p_per_second => 1000000);
SELECT pg_temp.take('w1');
SELECT pg_temp.tell('w1', 'd3'), pg_temp.take('w1');
SELECT pg_temp.tell('w1', 'd1'), pg_temp.take('w1');
SELECT pg_temp.tell('w1', 'd2'), pg_temp.take('w1');
SELECT pg_temp.tell('w1', 'd4');

-- What is behind another event would be so without a limit.
UPDATE rule_webhooks SET max_concurrent = 1 WHERE webhook_id = :id;
SELECT pg_temp.put('x' || n, '"x"') FROM generate_series(1, 2) n;
SELECT pg_temp.put('y1', '"y"');
SELECT pg_temp.take('w1');
SELECT message_id, reason FROM rule_webhook_undelivered(:id) WHERE message_id ~ '^[xy]';
UPDATE rule_webhooks SET max_concurrent = NULL WHERE webhook_id = :id;
SELECT pg_temp.tell('w1', 'x1'), pg_temp.take('w1'), pg_temp.tell('w1', 'x2'), pg_temp.tell('w1', 'y1');

-- A hold lets what waits expire, one after the other, which is a dead letter as others are.
SELECT pg_temp.put('e' || n, '"e"') FROM generate_series(1, 3) n;
SELECT pg_temp.take('w1'), pg_temp.tell('w1', 'e1', NULL);
UPDATE rule_webhook_queue SET created_at = now() - interval '8 days', next_retry_at = least(next_retry_at, now() - interval '8 days') WHERE message_id = 'e1';
UPDATE rule_webhooks SET on_dead = 'block', held_since = now() - interval '8 days', held_reason = 'why' WHERE webhook_id = :id;
SELECT pg_temp.take('w1'), pg_temp.take('w1');
SELECT message_id, reason FROM rule_webhook_undelivered(:id);
SELECT rule_webhook_resume(:id, 1000000);
SELECT pg_temp.take('w1');
SELECT message_id, reason FROM rule_webhook_undelivered(:id);
UPDATE rule_webhooks SET on_dead = 'skip' WHERE webhook_id = :id;
SELECT pg_temp.take('w1'), pg_temp.take('w1');
DELETE FROM rule_webhook_queue WHERE webhook_id = :id;

-- What is parked behind it has waited for as long as it is there.
SELECT pg_temp.put('g' || n, '"g"') FROM generate_series(1, 4) n;
SELECT pg_temp.take('w1'), pg_temp.tell('w1', 'g1', NULL);
UPDATE rule_webhook_queue SET created_at = now() - interval '8 days', next_retry_at = now() - interval '8 days'
WHERE message_id = 'g1';
UPDATE rule_webhook_queue SET created_at = now() - interval '8 days' WHERE message_id IN ('g2', 'g3');
UPDATE rule_webhooks SET on_dead = 'block', held_since = now() - interval '8 days', held_reason = 'why' WHERE webhook_id = :id;
SELECT message_id, next_retry_at FROM rule_webhook_queue WHERE webhook_id = :id AND next_retry_at = 'infinity' ORDER BY 1;
SELECT pg_temp.take('w1');
SELECT message_id, reason, error_message FROM rule_webhook_undelivered(:id);
SELECT failed_calls FROM webhook_status_summary WHERE webhook_id = :id;
SELECT rule_webhook_resume(:id, 1000000);
DELETE FROM rule_webhook_queue WHERE webhook_id = :id;
UPDATE rule_webhooks SET on_dead = 'skip' WHERE webhook_id = :id;

-- An event that a worker may not survive is run alone when it is its turn.
SELECT pg_temp.put('f' || n, '"f"') FROM generate_series(1, 2) n;
SELECT pg_temp.take('w' || n), t.lease_ends('f1') FROM generate_series(1, 4) n;
SELECT pg_temp.take('w5'), pg_temp.take('w5');
SELECT pg_temp.tell('w5', 'f2');

-- The stream's copy of an event that has an order here is left to the queue.
SELECT pg_temp.put('g1', '"g"'), pg_temp.put('g2', '"g"');
SELECT verdict, reason FROM t.admit('w1', t.message('ordered', 'g2'), t.message('ordered', 'g1'));
SELECT pg_temp.take('w1');

-- A change of order_key is for new events.
UPDATE rule_webhooks SET order_key = '{other}' WHERE webhook_id = :id;
SELECT pg_temp.put('g3', '"g"');
SELECT pg_temp.take('w1'), pg_temp.tell('w1', 'g1'), pg_temp.take('w1');
DELETE FROM rule_webhook_queue WHERE webhook_id = :id;
UPDATE rule_webhooks SET order_key = '{customer,id}' WHERE webhook_id = :id;

ALTER TABLE rule_webhook_queue SET (autovacuum_enabled = off);
-- Six hundred events of one key, and one of another behind them. Two consumers take turns.
SELECT count(pg_temp.put(to_char(n, 'FM0000'), '"many"')) FROM generate_series(1, 600) n;
SELECT pg_temp.put('other', '"few"');
SELECT pg_temp.take('w1', 4);
SELECT count(*) > 400 AS parked FROM rule_webhook_queue WHERE webhook_id = :id AND next_retry_at = 'infinity';
SELECT string_agg(c.taken, ', ') AS then_taken FROM (SELECT pg_temp.take('w' || n % 2 + 1, 4) AS taken FROM generate_series(1, 5) n) c;
SELECT count(*) AS due FROM rule_webhook_queue WHERE webhook_id = :id AND status = 'pending' AND next_retry_at <= clock_timestamp();
SELECT pg_temp.tell('w2', 'other');
CREATE TEMP TABLE went (n integer GENERATED ALWAYS AS IDENTITY, taken text, under_way bigint);
DO $$
DECLARE
    v_name text := '0001';
    v_consumer text := 'w1';
BEGIN
    FOR i IN 1 .. 600 LOOP
        INSERT INTO went (taken, under_way) SELECT v_name, count(*) FROM re.rule_webhook_queue
        WHERE order_key = 'many' AND status = 'processing';
        PERFORM pg_temp.tell(v_consumer, v_name);
        v_consumer := CASE v_consumer WHEN 'w1' THEN 'w2' ELSE 'w1' END;
        v_name := pg_temp.take(v_consumer);
        -- Nor does the other find anything.
        IF i % 100 = 0 AND pg_temp.take(CASE v_consumer WHEN 'w1' THEN 'w2' ELSE 'w1' END) IS NOT NULL THEN
            RAISE EXCEPTION 'two at once';
        END IF;
        COMMIT;
    END LOOP;
END $$;
SELECT count(*), bool_and(taken = to_char(n, 'FM0000')) AS in_order, bool_and(under_way = 1) AS one_at_a_time FROM went;
SELECT count(*) AS left FROM rule_webhook_undelivered(:id);
SELECT count(*) AS turns FROM rule_webhook_turns;

-- What claims read does not grow with what waits behind a key, nor with keys that are blocked.
UPDATE rule_webhooks SET on_dead = 'block' WHERE webhook_id = :id;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, order_key, next_retry_at)
SELECT :id, 'behind ' || n, '{}', 'long', 'infinity' FROM generate_series(1, 2000) n;
UPDATE rule_webhook_queue SET next_retry_at = created_at WHERE message_id = 'behind 1';
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, order_key, status) SELECT :id, 'dead ' || n, '{}', 'key ' || n, 'failed' FROM generate_series(1, 1000) n;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, order_key, next_retry_at)
SELECT :id, 'blocked ' || n, '{}', 'key ' || n, 'infinity' FROM generate_series(1, 1000) n;
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) AS read FROM pg_stat_user_indexes WHERE schemaname = 're' AND relname = 'rule_webhook_queue' \gset
DO $$
BEGIN
    FOR i IN 1 .. 20 LOOP
        PERFORM count(*) FROM re.rule_worker_claim('w', 10, '{}');
        PERFORM pg_temp.tell('w', 'behind ' || i);
    END LOOP;
END $$;
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) - :read < 10000 AS few_were_read FROM pg_stat_user_indexes WHERE schemaname = 're' AND relname = 'rule_webhook_queue';
SELECT count(*) AS sent FROM rule_webhook_queue WHERE order_key = 'long' AND status = 'success';

\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$UPDATE re.rule_webhooks SET order_key = '{}' WHERE webhook_name = 'ordered'$$),
    ($$UPDATE re.rule_webhooks SET order_key = '{a,NULL}' WHERE webhook_name = 'ordered'$$),
    ($$UPDATE re.rule_webhooks SET order_key = '{{a},{b}}' WHERE webhook_name = 'ordered'$$),
    ($$UPDATE re.rule_webhooks SET order_key = array_fill('a'::text, '{33}') WHERE webhook_name = 'ordered'$$),
    ($$UPDATE re.rule_webhooks SET on_dead = 'wait' WHERE webhook_name = 'ordered'$$),
    ($$UPDATE re.rule_webhooks SET on_dead = NULL WHERE webhook_name = 'ordered'$$),
    ($$UPDATE re.rule_webhooks SET publish_mode = 'both' WHERE webhook_name = 'ordered'$$),
    ($$SELECT re.rule_webhook_enable_nats(t.id('ordered'), 'webhooks.ordered')$$),
    ($$SELECT re.rule_webhook_enable_nats(t.id('ordered'), 'webhooks.ordered', p_publish_mode => 'nats')$$)
) AS c (call);
\a \t
SELECT rule_webhook_delete(:id);
SELECT count(*) AS turns FROM rule_webhook_turns;
DELETE FROM rule_webhook_drops;
ALTER TABLE rule_webhook_queue RESET (autovacuum_enabled);
VACUUM ANALYZE rule_webhook_queue;
