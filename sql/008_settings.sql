CREATE OR REPLACE FUNCTION @extschema@._rule_settings_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- Deeper than one is the row giving way to a restored one.
        IF pg_trigger_depth() > 1 THEN
            RETURN OLD;
        END IF;
        PERFORM @extschema@._rule_refuse('the settings cannot be deleted',
            'Change them: UPDATE rule_engine_settings SET queue_max_events = NULL ...', '0A000');
    END IF;
    PERFORM @extschema@._rule_check_choice(NEW.queue_backend, '{native,pgmq}', 'queue_backend');
    PERFORM @extschema@._rule_check_range(coalesce(NEW.queue_max_events, 1), 1, 9223372036854775807, 'queue_max_events');
    PERFORM @extschema@._rule_check_range(coalesce(NEW.queue_max_bytes, 1), 1, 9223372036854775807, 'queue_max_bytes');
    IF TG_OP = 'INSERT' THEN
        DELETE FROM @extschema@.rule_engine_settings s WHERE s.pristine;
    END IF;
    NEW.pristine := false;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_settings_check() IS
    'Internal trigger: validates the settings, and lets a restored row replace the extension''s own.';

CREATE OR REPLACE TRIGGER rule_engine_settings_check
    BEFORE INSERT OR UPDATE OR DELETE ON @extschema@.rule_engine_settings
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_settings_check();
