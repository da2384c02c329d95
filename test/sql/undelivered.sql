-- Pages of what has not arrived: all of them together are rule_webhook_undelivered(), and one reads what it shows.
SET search_path = re;
SELECT rule_webhook_register('first', 'https://example.com') AS first \gset
SELECT rule_webhook_register('second', 'https://example.com') AS second \gset
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, completed_at)
SELECT :second, 'arrived ' || n, '{}', 'success', now() FROM generate_series(1, 5) n;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, error_message)
SELECT w, 'dead ' || n, '{}', 'failed', 'no' FROM generate_series(1, 3) n, (VALUES (:second), (:first)) v (w);
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, redelivered_at) VALUES (:first, 'redelivered', '{}', 'failed', now());
INSERT INTO rule_webhook_queue (message_id, payload_bytes, status) VALUES ('stranger', 'x', 'failed'), ('stranger', 'y', 'failed'), ('alien', 'x', 'failed');
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, leased_by, lease_until)
SELECT :first, 'leased ' || n, '{}', 'processing', 'w', now() + interval '1 minute' FROM generate_series(1, 3) n;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, next_retry_at)
SELECT :second, 'waits ' || n, '{}', CASE WHEN n < 4 THEN now() ELSE 'infinity' END FROM generate_series(1, 5) n;
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, leased_by, lease_until)
SELECT :first, 'taken ' || n, 'leased', 'w', now() + interval '1 minute' FROM generate_series(1, 3) n;
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, done_at) VALUES (:second, 'published 3', 'done', now());
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success)
SELECT :second, 's', 'published ' || n, s FROM generate_series(1, 5) n, unnest('{true,false}'::boolean[]) s;

CREATE FUNCTION t.pages(p_webhook_id integer, p_limit integer) RETURNS TABLE (page integer, message_id text, reason text, queue_id bigint, redelivery integer)
LANGUAGE plpgsql AS $$
DECLARE
    v record;
    v_after jsonb;
    v_rows integer := 1;
BEGIN
    page := 0;
    WHILE v_rows > 0 LOOP
        page := page + 1;
        v_rows := 0;
        FOR v IN SELECT * FROM re.rule_webhook_undelivered(p_webhook_id, p_limit, v_after) LOOP
            v_rows := v_rows + 1;
            v_after := v.place;
            message_id := v.message_id;
            reason := v.reason;
            queue_id := v.queue_id;
            redelivery := v.redelivery;
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$$;
SELECT page, message_id, reason FROM t.pages(NULL, 4);
SELECT l.rows, (SELECT count(*) FROM t.pages(l.w, l.rows)) AS found,
       NOT EXISTS (SELECT u.queue_id, u.message_id, u.redelivery, u.reason FROM rule_webhook_undelivered(l.w) u
                   EXCEPT ALL SELECT p.queue_id, p.message_id, p.redelivery, p.reason FROM t.pages(l.w, l.rows) p) AS all_of_them
FROM (SELECT * FROM unnest(ARRAY[NULL, :first, :second]::integer[]) w, unnest(ARRAY[1, 2, 3, 100]) rows) l ORDER BY l.w, l.rows;

-- What is no page.
SELECT t.error('SELECT * FROM re.rule_webhook_undelivered(NULL, 0)'), t.error('SELECT * FROM re.rule_webhook_undelivered(NULL, NULL)'),
       t.error('SELECT * FROM re.rule_webhook_undelivered(0, 10)');
SELECT a, t.error(format('SELECT * FROM re.rule_webhook_undelivered(NULL, 10, %L)', a))
FROM unnest('{"{}", "7", "[7]", "[\"x\"]", "[4, 1, \"never\", 1]", "[4, 1e100]", "[]"}'::text[]) a;

-- Of a long queue no more is read than a page.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) SELECT :first, 'many ' || n, '{}' FROM generate_series(1, 2000) n;
SELECT pg_stat_force_next_flush();
SELECT seq_tup_read + idx_tup_fetch AS read FROM pg_stat_user_tables WHERE relid = 'rule_webhook_queue'::regclass \gset
SELECT count(*), min(place ->> 0) AS part FROM rule_webhook_undelivered(:first, 10, '[4]');
SELECT pg_stat_force_next_flush();
SELECT seq_tup_read + idx_tup_fetch - :read < 1000 AS few_were_read FROM pg_stat_user_tables WHERE relid = 'rule_webhook_queue'::regclass;

DROP FUNCTION t.pages(integer, integer);
-- Dead rows would weigh on the plans of other tests.
TRUNCATE rule_webhook_queue;
SELECT rule_webhook_delete(:first), rule_webhook_delete(:second);
DELETE FROM rule_nats_publish_history;
