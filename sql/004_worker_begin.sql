-- What the functions of workers share. Internal ones run under the settings of those that workers call, and set none
-- themselves: that would cost more than they do. Those that touch events run without sequential scans: a plan made while the
-- queue was empty must not be kept when it is long.

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_begin(p_consumer text, p_durable boolean)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM @extschema@._rule_check_name(p_consumer, 'consumer name');
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM @extschema@._rule_refuse(
            format('workers cannot be served in a %s transaction', upper(current_setting('transaction_isolation'))),
            'Call it in READ COMMITTED: each look at the database must see what has committed until then.', '25001');
    END IF;
    -- What was seen as committed must be on disk before anything is sent, also where applications commit asynchronously.
    IF p_durable AND current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_begin(text, boolean) IS
    'Internal: refuses what no worker may do and makes the transaction durable.';

-- A longer HTTP time-out needs a longer lease, or a slow endpoint would be called twice.
CREATE OR REPLACE FUNCTION @extschema@._rule_lease(p_timeout_ms integer)
RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT pg_catalog.make_interval(secs => 60 + greatest(0, p_timeout_ms - 30000) / 1000.0::double precision) $$;
COMMENT ON FUNCTION @extschema@._rule_lease(integer) IS
    'Internal: how long an event is leased, by its webhook''s time-out.';

-- Every login may take advisory locks, and one that can be no worker must not keep an event back. While it holds the lock no
-- worker does, and what is left to exclude are two workers that meet in this moment over the queue's and the stream's copy:
-- a second delivery at worst.
CREATE OR REPLACE FUNCTION @extschema@._rule_event_lock_is_strange(p_key integer)
RETURNS boolean LANGUAGE sql VOLATILE
AS $$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
          AND l.classid = 1919247717 AND l.objid = (p_key::bigint & 4294967295)::oid
          -- NULL: a prepared transaction, which no worker makes.
          AND pg_catalog.has_function_privilege(a.usesysid, '@extschema@.rule_worker_claim(text, integer, text[])', 'EXECUTE')
              IS NOT TRUE)
$$;
COMMENT ON FUNCTION @extschema@._rule_event_lock_is_strange(integer) IS
    'Internal: whether the lock of an event is held by a session that has no right to take events.';

-- One taker of an event at a time, over the queue and the receipts. Never waited for: whoever fails comes again.
CREATE OR REPLACE FUNCTION @extschema@._rule_event_lock(p_webhook_id integer, p_message_id text, p_redelivery integer)
RETURNS boolean LANGUAGE sql VOLATILE
AS $$ SELECT pg_catalog.pg_try_advisory_xact_lock(1919247717,
                 pg_catalog.hashtext(pg_catalog.concat_ws(':', p_webhook_id, p_redelivery, p_message_id)))
             OR @extschema@._rule_event_lock_is_strange(
                 pg_catalog.hashtext(pg_catalog.concat_ws(':', p_webhook_id, p_redelivery, p_message_id))) $$;
COMMENT ON FUNCTION @extschema@._rule_event_lock(integer, text, integer) IS
    'Internal: makes the transaction the only one that takes this event, or says that another is.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_locks_wait(p_part integer)
RETURNS boolean LANGUAGE plpgsql
SET lock_timeout = '250ms'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1919247719, p_part);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_locks_wait(integer) IS
    'Internal: waits a little for a part of the locks that all workers share.';

-- Each event that is taken is a lock until the commit, and the server has room for max_locks_per_transaction of them per
-- connection: when that is full no session gets a lock, the application's neither. A call has a quarter of its connection's
-- part. What it takes beyond that it borrows, a part at a time, of a quarter of all, which all calls share. So all of
-- them together, in one database, have half at most, and none comes away with nothing, whoever else takes these locks. For its
-- first part a call waits a little, where to bring the rest again costs more. Four: a turn, an event that was kept apart, and one
-- that is claimed, with its key.
CREATE OR REPLACE FUNCTION @extschema@._rule_event_locks_room(p_wanted integer, p_waits boolean)
RETURNS integer LANGUAGE plpgsql
AS $$
DECLARE
    v_part integer := current_setting('max_locks_per_transaction')::integer;
    v_parts integer := current_setting('max_connections')::integer / 4;
    v_first integer := floor(random() * v_parts);
    v_own integer := greatest(4, v_part / 4);
    v_room integer := v_own;
BEGIN
    FOR i IN 0 .. v_parts - 1 LOOP
        EXIT WHEN v_room >= p_wanted;
        IF pg_try_advisory_xact_lock(1919247719, (v_first + i) % v_parts) THEN
            v_room := v_room + v_part;
        END IF;
    END LOOP;
    IF p_waits AND v_room = v_own AND v_room < p_wanted AND v_parts > 0 AND @extschema@._rule_event_locks_wait(v_first) THEN
        v_room := v_room + v_part;
    END IF;
    RETURN least(v_room, p_wanted);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_locks_room(integer, boolean) IS
    'Internal: how many of so many events and keys the transaction may lock, by the room that the server has for locks, for which it may wait a little. To be asked once in a transaction.';

CREATE OR REPLACE FUNCTION @extschema@._rule_wait_ms(p_until timestamptz)
RETURNS integer LANGUAGE sql VOLATILE
AS $$ SELECT least(5000, greatest(50, pg_catalog.ceil(1000 * extract(epoch FROM p_until - pg_catalog.clock_timestamp()))))::integer $$;
COMMENT ON FUNCTION @extschema@._rule_wait_ms(timestamptz) IS
    'Internal: when to look again, by when a lease ends.';

CREATE OR REPLACE FUNCTION @extschema@._rule_json_count(p_value jsonb)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE pg_catalog.jsonb_typeof(p_value)
        WHEN 'number' THEN CASE WHEN p_value::numeric BETWEEN 0 AND 999999999999999 THEN p_value::numeric::bigint END
        WHEN 'string' THEN CASE WHEN p_value #>> '{}' ~ '^[0-9]{1,15}$' THEN (p_value #>> '{}')::bigint END
        END
$$;
COMMENT ON FUNCTION @extschema@._rule_json_count(jsonb) IS
    'Internal: a number from zero up, or NULL for whatever else a worker sent.';
