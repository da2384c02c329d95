SET search_path = re;
\pset null -

-- Registering, reading and changing.
SELECT rule_webhook_register('orders', 'https://user:pass@hooks.example.com:8443/secret/path?key=1', p_method => 'put',
    p_headers => '{"Authorization": "Bearer abc", "X-Team": "a"}', p_description => 'Orders') AS id \gset
SELECT t.id('orders') = :id AS registered;
SELECT key, value FROM json_each_text(rule_webhook_get('orders'))
WHERE key NOT IN ('webhook_id', 'created_at', 'updated_at', 'created_by') ORDER BY key;
SELECT rule_webhook_get('orders') ->> 'created_by' = session_user AS created_by_the_session_user,
       rule_webhook_get(t.id('orders')::text) ->> 'webhook_name' AS by_id,
       rule_webhook_get('orders')::text ~ 'pass|Bearer' AS shows_a_secret;
SELECT rule_webhook_update(t.id('orders'), p_timeout_ms => 250, p_enabled => false);
SELECT webhook_name, url, method, enabled, total_calls, success_rate FROM rule_webhook_list();
SELECT count(*) AS enabled_webhooks FROM rule_webhook_list(p_enabled_only => true);
SELECT rule_webhook_update(t.id('orders'), p_url => 'http://[::1]:80/', p_method => 'POST', p_headers => '{}', p_enabled => true);
SELECT webhook_name, url, method, enabled FROM rule_webhook_list();

-- Every mistake has its SQLSTATE and a hint, and none repeats a URL or a header's value.
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT rule_webhook_register(NULL, 'https://example.com')$$),
    ($$SELECT rule_webhook_register('', 'https://example.com')$$),
    ($$SELECT rule_webhook_register(E'a\nb', 'https://example.com')$$),
    ($$SELECT rule_webhook_register(' a', 'https://example.com')$$),
    ($$SELECT rule_webhook_register(repeat('n', 256), 'https://example.com')$$),
    ($$SELECT rule_webhook_register('orders', 'https://example.com')$$),
    ($$SELECT rule_webhook_register('a', NULL)$$),
    ($$SELECT rule_webhook_register('a', '')$$),
    ($$SELECT rule_webhook_register('a', 'ftp://example.com/secret')$$),
    ($$SELECT rule_webhook_register('a', 'https://')$$),
    ($$SELECT rule_webhook_register('a', 'https:///secret')$$),
    ($$SELECT rule_webhook_register('a', 'https://exa mple.com')$$),
    ($$SELECT rule_webhook_register('a', E'https://example.com/\r\nHost: x')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com\@other.example')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com:0/')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com:99999/')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com:port/')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com/%zzsecret')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com/secret%')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com/%2')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com/secret?a#%zz')$$),
    ($$SELECT rule_webhook_register('a', 'https://user:secret%@example.com/')$$),
    ($$SELECT rule_webhook_register('a', 'https://us<er:secret@example.com/')$$),
    ($$SELECT rule_webhook_register('a', 'https://user:sécret@example.com/')$$),
    ($$SELECT rule_webhook_register('a', 'https://ex%41mple.com/secret')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com,secret/')$$),
    ($$SELECT rule_webhook_register('a', 'https://{secret}/')$$),
    ($$SELECT rule_webhook_register('a', 'https://[::1::]/secret')$$),
    ($$SELECT rule_webhook_register('a', 'https://user@[1.2.3.4]/secret')$$),
    ($$SELECT rule_webhook_register('a', 'https://[12345::]:80/secret')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', 'FETCH')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', NULL)$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => NULL)$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => '[]')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => '{"Host": "secret"}')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => '{"content-length": "secret"}')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => '{"Transfer-Encoding": "secret"}')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => '{"CONNECTION": "secret"}')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => '{"Webhook-Signature": "secret"}')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => '{"X A": "secret"}')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => '{"X-A": "secret\r\nX-B: b"}')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => '{"X-A": 5}')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_headers => '{"X-A": "secret", "X-B": "b", "x-a": "secret"}')$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_timeout_ms => -1)$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_timeout_ms => NULL)$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_timeout_ms => 300001)$$),
    ($$SELECT rule_webhook_register('a', 'https://example.com', p_max_retries => -1)$$),
    ($$SELECT rule_webhook_update(0, p_timeout_ms => 5)$$),
    ($$SELECT rule_webhook_update(NULL)$$),
    ($$SELECT rule_webhook_update(t.id('orders'), p_url => 'gopher://secret')$$),
    ($$SELECT rule_webhook_update(t.id('orders'), p_url => 'http://secret/%zz')$$),
    ($$SELECT rule_webhook_update(t.id('orders'), p_headers => '{"X-a": "secret", "X-A": "secret"}')$$),
    ($$SELECT rule_webhook_delete(0)$$),
    ($$SELECT rule_webhook_delete(NULL)$$),
    ($$SELECT rule_webhook_get('no such')$$),
    ($$SELECT rule_webhook_get(NULL)$$)
) AS c (call);
\a \t

-- Plain DML passes the same door: no violated constraint prints a row with its secrets.
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$UPDATE rule_webhooks SET webhook_url = NULL$$),
    ($$INSERT INTO rule_webhooks (webhook_name, webhook_url) VALUES ('a', 'https://example.com/secret%')$$),
    ($$INSERT INTO rule_webhooks (webhook_name, webhook_url, headers) VALUES ('a', 'https://example.com/', '{"A": "secret", "a": "b"}')$$),
    ($$UPDATE rule_webhooks SET webhook_url = 'https://example.com/secret%'$$),
    ($$UPDATE rule_webhooks SET webhook_name = NULL$$),
    ($$UPDATE rule_webhooks SET publish_mode = 'mail'$$),
    ($$UPDATE rule_webhooks SET nats_fallback = 'mail'$$),
    ($$UPDATE rule_webhooks SET retry_delay_ms = -1$$),
    ($$UPDATE rule_webhooks SET retry_delay_ms = 3600001$$),
    ($$UPDATE rule_webhooks SET retry_backoff_multiplier = -2$$),
    ($$UPDATE rule_webhooks SET retry_backoff_multiplier = 'NaN'$$),
    ($$UPDATE rule_webhooks SET retry_enabled = NULL$$),
    ($$UPDATE rule_webhooks SET enabled = NULL$$),
    ($$UPDATE rule_webhooks SET tags = NULL$$),
    ($$UPDATE rule_webhooks SET created_at = NULL$$),
    ($$UPDATE rule_webhooks SET updated_at = NULL$$),
    ($$UPDATE rule_webhooks SET changed_xid = NULL$$),
    ($$UPDATE rule_webhooks SET webhook_id = webhook_id + 1$$),
    ($$UPDATE rule_webhooks SET nats_config_id = 0$$),
    ($$UPDATE rule_webhooks SET nats_subject = ''$$),
    ($$UPDATE rule_webhooks SET nats_subject = 'a..b'$$),
    ($$UPDATE rule_webhooks SET nats_subject = '.a'$$),
    ($$UPDATE rule_webhooks SET nats_subject = 'a.'$$),
    ($$UPDATE rule_webhooks SET nats_subject = 'a b'$$),
    ($$UPDATE rule_webhooks SET nats_subject = E'a\u0001'$$),
    ($$UPDATE rule_webhooks SET nats_subject = 'a.*'$$),
    ($$UPDATE rule_webhooks SET nats_subject = 'a.>'$$),
    ($$UPDATE rule_webhooks SET nats_subject = '$JS.API'$$),
    ($$UPDATE rule_webhooks SET nats_subject = repeat('s', 256)$$),
    ($$UPDATE rule_webhooks SET nats_subject = repeat('s', 255)$$)
) AS c (call);
\a \t
BEGIN;
INSERT INTO rule_webhooks (webhook_id, webhook_name, webhook_url) VALUES (0, 'zero', 'https://example.com');
ROLLBACK;

-- What a worker reads passes, letters beyond ASCII and a % behind the ? as well.
BEGIN;
SELECT count(rule_webhook_register(c.url, c.url))
FROM (VALUES ('https://u.s-e_r~:p%40!$&''()*+,;=ss@höst.example./%C3%BC/ü?%zz&a=%#%41'), ('http://a_b-1.example'), ('HTTP://h?a@b:c'),
             ('http://[::ffff:192.0.2.1]:80?[%]'), ('http://u@[2001:db8::1]/a@b[]'), ('http://127.1/'), ('http://a..b'), ('http://u:p:q@r@h:1')) AS c (url);
ROLLBACK;

-- What 0.1.0 took stays, comes in with a dump, and is in the way of no other change.
BEGIN;
INSERT INTO rule_webhooks (webhook_name, webhook_url, headers, created_at)
VALUES ('old', 'http://a%41b/%zz', '{"A": "1", "a": "2"}', '2020-01-01');
UPDATE rule_webhooks SET description = 'd', webhook_url = webhook_url, headers = headers WHERE webhook_name = 'old';
SELECT rule_webhook_update(t.id('old'), 'http://a%41b/%zz', p_headers => '{"a": "2", "A": "1"}', p_timeout_ms => 7),
       t.error($$UPDATE rule_webhooks SET webhook_url = 'http://a%41b/' WHERE webhook_name = 'old'$$),
       t.error($$UPDATE rule_webhooks SET headers = '{"A": "1", "a": "3"}' WHERE webhook_name = 'old'$$);
SELECT rule_webhook_update(t.id('old'), 'http://ab/', p_headers => '{}');
ROLLBACK;

-- A change is seen in updated_at and in the mark of its transaction.
SELECT updated_at AS before FROM rule_webhooks WHERE webhook_name = 'orders' \gset
UPDATE rule_webhooks SET description = 'All orders', updated_at = '-infinity', changed_xid = '1' WHERE webhook_name = 'orders';
SELECT updated_at >= :'before' AS kept_by_the_trigger, changed_xid::text::bigint > 1 AS marked_by_the_trigger
FROM rule_webhooks WHERE webhook_name = 'orders';

-- Deleting a webhook takes its secrets, queue rows and receipts with it.
SELECT rule_webhook_register('gone', 'https://example.com') AS gone \gset
SELECT rule_webhook_enqueue(:gone, '{}') IS NOT NULL AS queued, rule_webhook_secret_set(:gone, 's') IS NOT NULL AS signed;
SELECT verdict FROM t.admit('w', t.message('gone', 'm'));
SELECT rule_webhook_delete(:gone);
SELECT (SELECT count(*) FROM rule_webhook_queue WHERE webhook_id = :gone) AS queue_rows,
       (SELECT count(*) FROM rule_webhook_secrets WHERE webhook_id = :gone) AS secrets,
       (SELECT count(*) FROM rule_webhook_receipts WHERE webhook_id = :gone) AS receipts;
-- TRUNCATE would leave them to whoever gets the number next.
SELECT t.error('TRUNCATE rule_webhooks RESTART IDENTITY'), t.error('TRUNCATE rule_nats_config CASCADE');
SELECT rule_webhook_delete(t.id('orders'));
