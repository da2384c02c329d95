-- Fan-out: one thing happens, several services hear of it, each through a webhook of its own, so that one that is slow
-- or broken keeps no other waiting.
--
-- Run it with psql as a member of rule_engine_admin that may create objects in this schema, as often as you like.
-- Applications that call the functions need rule_engine_publisher; those that only write to the table need nothing.

\set ON_ERROR_STOP on

\echo
-- Connects, and says so; while NATS is away the events wait in the queue and nothing fails.
SELECT rule_nats_init() ->> 'message' AS nats;

\echo '1. Who wants to hear of a registration'
-- The subject is the list of subscribers: whatever stands below webhooks.user.registered hears of it. A consumer takes
-- one service (webhooks.user.registered.crm), the whole event (webhooks.user.registered.*), or all there is of users
-- (webhooks.user.>).
SELECT rule_webhook_register('example_user_' || service, 'https://example.com/hooks/' || service,
                             p_description => 'Example 02: user.registered') AS registered
FROM unnest('{analytics, crm, email, slack}'::text[]) AS service
WHERE NOT EXISTS (SELECT FROM rule_webhooks WHERE webhook_name = 'example_user_' || service);

SELECT service, rule_webhook_enable_nats(w.webhook_id, p_nats_subject => 'webhooks.user.registered.' || service,
                                         p_publish_mode => 'nats') AS enabled
FROM unnest('{analytics, crm, email, slack}'::text[]) AS service
JOIN rule_webhooks w ON w.webhook_name = 'example_user_' || service
ORDER BY service;

\echo '2. One call, every subscriber'
-- The message id names what happened and not the try: a transaction that is tried again tells nobody twice.
CREATE OR REPLACE FUNCTION notify_user_registered(
    p_user_id integer, p_email text, p_name text, p_signup_date timestamptz DEFAULT now())
RETURNS TABLE (webhook_name text, result jsonb)
LANGUAGE sql VOLATILE
AS $$
    SELECT w.webhook_name,
           rule_webhook_call_unified(
               w.webhook_id,
               jsonb_build_object('event', 'user.registered', 'user_id', p_user_id, 'email', p_email, 'name', p_name,
                                  'signup_date', p_signup_date),
               format('user-%s-registered', p_user_id))
    FROM rule_webhooks w
    WHERE w.enabled AND starts_with(w.nats_subject, 'webhooks.user.registered.')
    ORDER BY w.webhook_name
$$;
COMMENT ON FUNCTION notify_user_registered(integer, text, text, timestamptz) IS
    'Tells every webhook below webhooks.user.registered that a user has registered. A row per webhook, with what became of its event.';

-- A row per subscriber: success, or the error and where the event waits. None of them fails because of another.
SELECT webhook_name, result -> 'nats' ->> 'success' AS success, result -> 'nats' ->> 'error' AS error,
       result -> 'nats' ->> 'fallback' AS fallback
FROM notify_user_registered(1001, 'ada@example.com', 'Ada');

\echo '3. The same by a trigger'
CREATE TABLE IF NOT EXISTS example_users (
    user_id    integer     GENERATED ALWAYS AS IDENTITY (START WITH 2001) PRIMARY KEY,
    email      text        NOT NULL,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- With its owner's rights, so that who writes to the table needs no right to publish; with a fixed search_path, so that
-- nobody can put an object of theirs in the place of ours. The path names where the extension and these functions lie.
CREATE OR REPLACE FUNCTION trigger_user_registered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM notify_user_registered(NEW.user_id, NEW.email, NEW.name, NEW.created_at);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION trigger_user_registered() IS 'Trigger function: tells the subscribers of a row''s user.';
REVOKE EXECUTE ON FUNCTION trigger_user_registered() FROM PUBLIC;

-- One row at a time is right for people who register. Where thousands are loaded at once, a statement trigger with
-- rule_webhook_trigger() for each webhook waits for NATS once a batch; example 03 has one.
CREATE OR REPLACE TRIGGER user_registered AFTER INSERT ON example_users
    FOR EACH ROW EXECUTE FUNCTION trigger_user_registered();

INSERT INTO example_users (email, name) VALUES ('grace@example.com', 'Grace'), ('alan@example.com', 'Alan')
RETURNING user_id, name;

\echo '4. Not everybody about everyone'
CREATE OR REPLACE FUNCTION notify_user_registered_conditional(user_id integer, email text, name text, user_type text)
RETURNS TABLE (webhook_name text, result jsonb)
LANGUAGE sql VOLATILE
AS $$
    SELECT w.webhook_name,
           rule_webhook_call_unified(
               w.webhook_id,
               jsonb_build_object('event', 'user.registered', 'user_id', user_id, 'email', email, 'name', name,
                                  'user_type', user_type),
               format('user-%s-registered', user_id))
    FROM rule_webhooks w
    WHERE w.enabled
      AND w.nats_subject = ANY (CASE user_type
              WHEN 'enterprise' THEN '{webhooks.user.registered.analytics, webhooks.user.registered.crm,
                                       webhooks.user.registered.email, webhooks.user.registered.slack}'::text[]
              WHEN 'test' THEN '{webhooks.user.registered.analytics}'
              ELSE '{webhooks.user.registered.analytics, webhooks.user.registered.email}' END)
    ORDER BY w.webhook_name
$$;
COMMENT ON FUNCTION notify_user_registered_conditional(integer, text, text, text) IS
    'Tells of a registration whom it concerns: of an enterprise everybody, of a test analytics alone, of any other user analytics and email.';

SELECT t.user_type, string_agg(n.webhook_name, ', ' ORDER BY n.webhook_name) AS told
FROM (VALUES (3001, 'enterprise'), (3002, 'free'), (3003, 'test')) AS t (user_id, user_type)
CROSS JOIN LATERAL notify_user_registered_conditional(t.user_id, 'linus@example.com', 'Linus', t.user_type) AS n
GROUP BY t.user_id, t.user_type ORDER BY t.user_id;

\echo '5. How each of them fares'
SELECT webhook_name, subject, total_published, successful, failed
FROM nats_publish_summary WHERE subject LIKE 'webhooks.user.registered.%' ORDER BY subject;
