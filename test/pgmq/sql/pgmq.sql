-- pgmq as the queue's backend: what its messages say, and that they can be wrong, away or someone else's.
\pset null -
ALTER EVENT TRIGGER switch_to_pgmq DISABLE;
CREATE SCHEMA re;
CREATE EXTENSION rule_engine SCHEMA re;
CREATE SCHEMA t;
SET search_path = re;
SET client_min_messages = warning;
CREATE FUNCTION t.error(p_sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE p_sql;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' ', SQLSTATE, SQLERRM);
END $$;
CREATE FUNCTION t.switch(p_to text) RETURNS text LANGUAGE sql AS
$$ SELECT t.error(format('UPDATE re.rule_engine_settings SET queue_backend = %L', p_to)) $$;
CREATE FUNCTION t.id(p_name text) RETURNS integer LANGUAGE sql STABLE AS
$$ SELECT webhook_id FROM re.rule_webhooks WHERE webhook_name = p_name $$;
CREATE FUNCTION t.put(p_webhook text, p_message_id text, p_route text DEFAULT 'post', p_due interval DEFAULT '0') RETURNS void LANGUAGE sql AS
$$ INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at)
   VALUES (t.id(p_webhook), p_message_id, '{}', p_route, clock_timestamp() + p_due) $$;
CREATE FUNCTION t.claim(p_limit integer DEFAULT 10) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(message_id, ', ' ORDER BY message_id) FROM re.rule_worker_claim('w', p_limit, '{}') $$;
CREATE FUNCTION t.report(p_message_id text, p_status integer) RETURNS text LANGUAGE sql AS
$$ SELECT r.verdict FROM re.rule_webhook_queue q, re.rule_worker_report('w', jsonb_build_array(jsonb_build_object(
       'path', 'queue', 'queue_id', q.queue_id, 'result', 'answered', 'status', p_status))) r WHERE q.message_id = p_message_id $$;
-- Each message of a webhook's queue: its event, and when it is visible.
CREATE FUNCTION t.messages(p_webhook text) RETURNS TABLE (event text, status text, own boolean, visible text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        $q$SELECT q.message_id, q.status, q.pgmq_msg_id = m.msg_id,
                  CASE WHEN m.vt = q.lease_until THEN 'with the lease' WHEN m.vt = q.next_retry_at THEN 'when due'
                       WHEN m.vt <= clock_timestamp() THEN 'now' ELSE 'later' END
           FROM pgmq.q_rule_webhook_%s m LEFT JOIN re.rule_webhook_queue q ON q.queue_id = CASE WHEN jsonb_typeof(m.message -> 'queue_id') = 'number' THEN (m.message ->> 'queue_id')::bigint END
           ORDER BY m.msg_id$q$, t.id(p_webhook));
END $$;
CREATE FUNCTION t.queues() RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(coalesce(w.webhook_name, 'of one that is gone'), ', ' ORDER BY w.webhook_name) FROM pgmq.meta m LEFT JOIN re.rule_webhooks w ON m.queue_name = 'rule_webhook_' || w.webhook_id $$;

-- Whoever owns what is there could have it run with the extension's rights.
CREATE ROLE pgmq_stranger;
GRANT CREATE, USAGE ON SCHEMA pgmq TO pgmq_stranger;
CREATE FUNCTION pgmq.theirs() RETURNS void LANGUAGE sql AS '';
ALTER FUNCTION pgmq.theirs() OWNER TO pgmq_stranger;
SELECT t.switch('pgmq');
DROP FUNCTION pgmq.theirs();
CREATE TRIGGER theirs BEFORE INSERT ON pgmq.meta FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT t.switch('pgmq');
DROP TRIGGER theirs ON pgmq.meta;
ALTER FUNCTION pgmq.set_vt(text, bigint, timestamptz) RENAME TO set_vt_renamed;
SELECT t.switch('pgmq');
ALTER FUNCTION pgmq.set_vt_renamed(text, bigint, timestamptz) RENAME TO set_vt;

-- What waits at the switch goes without pgmq, until maintenance sends messages.
SELECT rule_webhook_register('hook', 'https://example.com') IS NOT NULL AS hook, rule_webhook_register('other', 'https://example.com') IS NOT NULL AS other;
UPDATE rule_webhooks SET retry_delay_ms = 60000;
SELECT t.put('hook', 'old 1'), t.put('hook', 'old 2');
SELECT t.switch('pgmq'), t.queues();
SELECT * FROM t.messages('hook');
SELECT t.claim(1) IN ('old 1', 'old 2') AS claimed;
SELECT rule_engine_maintain() ->> 'success' AS maintained;
SELECT event LIKE 'old _' AS old, status, own, visible FROM t.messages('hook');
SELECT t.claim() IS NOT NULL AS claimed;
SELECT t.report('old 1', 200), t.report('old 2', 200);
SELECT * FROM t.messages('hook');

-- A message follows its row.
SELECT t.put('hook', 'a'), t.put('hook', 'later', 'post', '1 hour'), t.put('hook', 'in the stream', 'stream', '30 seconds'), t.put('hook', 'for NATS', 'publish', '1 hour');
SELECT * FROM t.messages('hook');
SELECT t.claim();
SELECT * FROM t.messages('hook') WHERE event = 'a';
SELECT t.report('a', 500);
SELECT * FROM t.messages('hook') WHERE event = 'a';
SELECT rule_webhook_retry(queue_id) FROM rule_webhook_queue WHERE message_id = 'a';
SELECT t.claim(), t.report('a', 200);
SELECT rule_webhook_retry(queue_id) FROM rule_webhook_queue WHERE message_id = 'for NATS';
UPDATE rule_webhook_queue SET route = 'post', next_retry_at = now() + interval '1 hour' WHERE message_id = 'for NATS';
SELECT * FROM t.messages('hook');
SELECT count(*) AS with_a_number FROM rule_webhook_queue WHERE pgmq_msg_id IS NOT NULL;

-- The message decides: what pgmq hides is not claimed.
SELECT t.put('hook', 'b');
SELECT count(*) FROM rule_webhook_queue q, pgmq.set_vt('rule_webhook_' || q.webhook_id, q.pgmq_msg_id, 3600) WHERE q.message_id = 'b';
SELECT t.claim();
SELECT rule_engine_maintain() ->> 'success' AS maintained, t.claim();
-- Long due, it gets another message; the first one goes when it is read.
UPDATE rule_webhook_queue SET next_retry_at = now() - interval '2 minutes' WHERE message_id = 'b';
SELECT count(*) FROM rule_webhook_queue q, pgmq.set_vt('rule_webhook_' || q.webhook_id, q.pgmq_msg_id, 3600) WHERE q.message_id = 'b';
SELECT t.claim();
SELECT rule_engine_maintain() ->> 'success' AS maintained;
SELECT * FROM t.messages('hook') WHERE event = 'b';
SELECT t.claim(), t.report('b', 200);
-- So does one that was purged.
SELECT t.put('other', 'purged', 'post', '-2 minutes');
SELECT pgmq.purge_queue('rule_webhook_' || t.id('other'));
SELECT t.claim();
SELECT rule_engine_maintain() ->> 'success' AS maintained;
SELECT t.claim(), t.report('purged', 200);

-- Messages that are none of ours are deleted, and harm nobody.
SELECT count(*) FROM pgmq.send_batch('rule_webhook_' || t.id('other'), ARRAY['{"queue_id": "x"}', '{"queue_id": 1e300}', '[]', 'null', '{"queue_id": 987654321}']::jsonb[]);
SELECT count(*) FROM rule_webhook_queue q, pgmq.send('rule_webhook_' || t.id('other'), jsonb_build_object('queue_id', q.queue_id));
SELECT t.put('other', 'c');
SELECT t.claim();
SELECT * FROM t.messages('other');
SELECT t.report('c', 200);

-- Held and disabled webhooks keep theirs.
SELECT t.put('other', 'd');
SELECT rule_webhook_hold(t.id('other'), 'test');
SELECT t.claim();
SELECT rule_webhook_resume(t.id('other'));
SELECT t.claim(), t.report('d', 200);

-- A transaction with an old snapshot changes no message: it sends another.
SELECT t.put('other', 'e', 'post', '1 hour');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT t.put('other', 'f');
SELECT rule_webhook_retry(queue_id) FROM rule_webhook_queue WHERE message_id = 'e';
COMMIT;
SELECT * FROM t.messages('other');
SELECT t.claim(), t.report('e', 200), t.report('f', 200);
SELECT * FROM t.messages('other');

-- One that is published twice has one row, and its second message goes.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) SELECT t.id('other'), 'g', '{}' FROM generate_series(1, 2) ON CONFLICT DO NOTHING;
SELECT * FROM t.messages('other');
SELECT t.claim(), t.report('g', 200);
SELECT * FROM t.messages('other');

-- Shares are fair: a backlog of one webhook leaves the others their turn.
SELECT count(t.put('hook', 'backlog ' || n)) FROM generate_series(1, 50) n;
SELECT t.put('other', 'one');
SELECT count(*), count(*) FILTER (WHERE message_id = 'one') AS of_other FROM rule_worker_claim('w', 20, '{}');
UPDATE rule_webhook_queue SET status = 'success', leased_by = NULL, lease_until = NULL WHERE message_id LIKE 'backlog%' OR message_id = 'one';
SELECT count(*) FROM t.messages('hook') WHERE status = 'success';

-- A queue that is not ours alone is left alone, and events go without it.
ALTER TABLE pgmq.q_rule_webhook_2 OWNER TO pgmq_stranger;
SELECT t.put('other', 'h');
SELECT t.claim(), t.report('h', 200);
SELECT * FROM t.messages('other');
ALTER TABLE pgmq.q_rule_webhook_2 OWNER TO CURRENT_USER;
SELECT pgmq.enable_notify_insert('rule_webhook_2');
SELECT t.put('other', 'i');
SELECT t.claim(), t.report('i', 200);
SELECT pgmq.drop_queue('rule_webhook_2');
SELECT t.put('other', 'j');
SELECT t.claim(), t.report('j', 200);
SELECT rule_engine_maintain() ->> 'success' AS maintained, t.queues();
-- New webhooks get their queue at once, and what is left of those that go is dropped.
SELECT rule_webhook_register('third', 'https://example.com') IS NOT NULL AS third;
SELECT t.queues();
SELECT t.put('third', 'k');
SELECT * FROM t.messages('third');
SELECT rule_webhook_delete(t.id('third')) IS NOT NULL AS deleted;
SELECT t.queues();
SELECT rule_engine_maintain() ->> 'success' AS maintained, t.queues();
-- Of the last id, too, and a number that is no webhook's is not taken for one.
INSERT INTO rule_webhooks (webhook_id, webhook_name, webhook_url) VALUES (2147483647, 'last', 'https://example.com');
SELECT pgmq.create('rule_webhook_2147483648') IS NOT NULL AS made, t.queues();
SELECT rule_webhook_delete(2147483647) IS NOT NULL AS deleted;
SELECT rule_engine_maintain() ->> 'success' AS maintained, t.queues(), pgmq.drop_queue('rule_webhook_2147483648') AS was_there;

-- Back to the native queue, and once more to pgmq, in whose new queues the old numbers mean nothing.
SELECT t.put('other', 'l'), t.put('other', 'm');
SELECT t.switch('native');
SELECT t.put('other', 'n');
SELECT * FROM t.messages('other');
SELECT t.claim(1) = 'l' AS in_order;
SELECT rule_engine_maintain() ->> 'success' AS maintained, t.queues();
SELECT count(*) AS with_a_number FROM rule_webhook_queue WHERE pgmq_msg_id IS NOT NULL;
SELECT t.switch('pgmq'), t.queues();
SELECT t.claim(), t.report('l', 200), t.report('m', 200), t.report('n', 200);

-- A restore leaves messages where they are when their rows change. What changed while maintenance ran is looked at once more.
SELECT t.put('other', 'parked', 'post', '1 hour');
ALTER TABLE rule_webhook_queue DISABLE TRIGGER rule_webhook_queue_pgmq;
SELECT rule_engine_maintain() ->> 'success' AS maintained, (SELECT bool_or(more) FROM rule_engine_upkeep) AS more_before;
SELECT bool_and(more) AS more FROM rule_engine_upkeep;
ALTER TABLE rule_webhook_queue DISABLE TRIGGER rule_webhook_queue_pgmq;
UPDATE rule_webhook_queue SET next_retry_at = now() - interval '2 minutes' WHERE message_id = 'parked';
ALTER TABLE rule_webhook_queue ENABLE TRIGGER rule_webhook_queue_pgmq;
SELECT t.claim() AS none, rule_worker_maintain('w') > 0 AS maintained;
SELECT t.claim(), t.report('parked', 200), (SELECT bool_or(more) FROM rule_engine_upkeep) AS more;

-- Without pgmq the queue goes on.
SELECT t.put('other', 'o');
DROP SCHEMA pgmq CASCADE;
SELECT t.put('other', 'p');
SELECT t.claim(), t.report('o', 500), t.report('p', 200);
SELECT rule_webhook_register('fourth', 'https://example.com') IS NOT NULL AS fourth;
SELECT rule_engine_maintain() ->> 'success' AS maintained;
SELECT t.switch('native');

DROP EXTENSION rule_engine;
DROP SCHEMA re, t CASCADE;
DROP ROLE pgmq_stranger;
