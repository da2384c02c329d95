-- A webhook has a clock of its own, which stands still while it is held or disabled. give_up_after goes by it, for rows of
-- the queue and receipts alike, wherever they were meanwhile: no event has to be touched when a pause ends.

CREATE OR REPLACE FUNCTION @extschema@._rule_webhook_time(p_at timestamptz, p_paused_since timestamptz, p_paused_ms bigint)
RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT least(p_at, p_paused_since) - pg_catalog.make_interval(secs => p_paused_ms / 1000.0) $$;
COMMENT ON FUNCTION @extschema@._rule_webhook_time(timestamptz, timestamptz, bigint) IS
    'Internal: a time as the clock of a webhook shows it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_pause()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- 1000 years, more than which no time-out of ours is.
    c_most CONSTANT bigint := 31557600000000;
    v_now timestamptz := clock_timestamp();
BEGIN
    PERFORM @extschema@._rule_check_range(NEW.paused_ms, 0, c_most, 'paused_ms');
    IF NEW.enabled AND NEW.held_since IS NULL THEN
        IF TG_OP = 'UPDATE' AND OLD.paused_since < v_now THEN
            NEW.paused_ms := least(c_most, NEW.paused_ms + (1000 * extract(epoch FROM v_now - OLD.paused_since))::bigint);
        END IF;
        NEW.paused_since := NULL;
    ELSIF (NEW.paused_since BETWEEN v_now - interval '1000 years' AND v_now) IS NOT TRUE THEN
        NEW.paused_since := v_now;
    END IF;
    IF NEW.resume_per_second IS NULL OR NOT isfinite(NEW.resumed_at) THEN
        NEW.resumed_at := NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_pause() IS
    'Internal trigger: stops and starts the clock of a webhook, and ends a resume without a rate.';

CREATE OR REPLACE TRIGGER rule_webhooks_pause
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_pause();
