CREATE OR REPLACE FUNCTION @extschema@._rule_roll_up_due_ms()
RETURNS integer LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    -- A clock that was set back must not put it off. What a transaction that was open kept from being counted is soon tried
    -- again, or the views would read it for minutes more.
    SELECT min(CASE WHEN u.more OR u.rolled_up_at IS NULL OR u.rolled_up_at > clock_timestamp() THEN 0
                    ELSE greatest(0, CASE WHEN u.noted_id > u.rolled_up_to THEN 10000 ELSE 300000 END
                                     - extract(epoch FROM clock_timestamp() - u.rolled_up_at) * 1000) END)::integer
    FROM @extschema@.rule_engine_upkeep u
$$;
COMMENT ON FUNCTION @extschema@._rule_roll_up_due_ms() IS
    'Internal: in how many ms history and attempts are to be rolled up again.';

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_maintain(p_consumer text)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, false);
    IF @extschema@._rule_clock_mend() THEN
        -- The rest in a call of its own: until this one commits nobody can renew what it has shortened.
        UPDATE @extschema@.rule_engine_upkeep u SET more = true
        WHERE u.ctid IN (SELECT k.ctid FROM @extschema@.rule_engine_upkeep k FOR UPDATE SKIP LOCKED);
        RETURN 1000;
    END IF;
    IF @extschema@._rule_roll_up_due_ms() = 0 THEN
        -- Looking for old rows reads whole tables: not as often as the views need a roll-up.
        IF EXISTS (SELECT FROM @extschema@.rule_engine_upkeep u
                   WHERE u.more OR u.maintained_at IS NULL
                      OR u.maintained_at NOT BETWEEN clock_timestamp() - interval '1 hour' AND clock_timestamp()) THEN
            PERFORM @extschema@.rule_engine_maintain();
        ELSIF @extschema@._rule_roll_up_lock(p_wait => false) THEN
            PERFORM @extschema@._rule_roll_up_closed(100000);
        END IF;
    END IF;
    -- Not a claim's: a worker waits 15 s for one, and a queue of millions takes longer to count. Behind the roll-up, which counts
    -- no further than to the first transaction that is open, and would find its own.
    PERFORM @extschema@._rule_queue_measure();
    PERFORM @extschema@._rule_rates_end();
    -- Still due: it left something, or another session maintains.
    RETURN greatest(1000, least(@extschema@._rule_roll_up_due_ms(), @extschema@._rule_queue_measure_ms()));
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_maintain(text) IS
    'For workers: counts what waits, where the queue has a limit, ends rates of resumes and redeliveries of which nothing is left, rolls history and attempts up when nobody has for five minutes, or for ten seconds where a transaction was in the way, calls rule_engine_maintain() when nobody has for an hour, it left something or the call before saw that the clock was set back, and says after how many ms to call again. Never waits for another session.';
