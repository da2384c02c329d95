CREATE OR REPLACE FUNCTION @extschema@._rule_retention_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- Deeper than one is the row giving way to a restored one.
        IF pg_trigger_depth() > 1 THEN
            RETURN OLD;
        END IF;
        PERFORM @extschema@._rule_refuse(format('the retention of %s cannot be deleted', OLD.table_name),
            'Change it: UPDATE rule_engine_retention SET keep = interval ''90 days'' ...', '0A000');
    END IF;
    -- No timestamp lies so far back, but 0.1.0 took it, and its dump has to be restorable.
    IF TG_OP = 'INSERT' THEN
        NEW.keep := CASE WHEN NEW.keep > interval '1000 years' THEN interval '1000 years' ELSE NEW.keep END;
        NEW.keep_failed := CASE WHEN NEW.keep_failed > interval '1000 years' THEN interval '1000 years' ELSE NEW.keep_failed END;
    END IF;
    PERFORM @extschema@._rule_check_choice(NEW.table_name,
        '{rule_nats_publish_history,rule_webhook_attempts,rule_webhook_queue,rule_webhook_receipts,rule_webhook_drops}', 'table_name');
    IF NEW.keep IS NULL OR NEW.keep < interval '1 hour' THEN
        PERFORM @extschema@._rule_refuse('keep must be an hour or more', 'Give an interval such as 7 days.');
    ELSIF NEW.keep_failed < NEW.keep THEN
        PERFORM @extschema@._rule_refuse('keep_failed must not be less than keep',
            'Give an interval at least as long as keep, or NULL to keep failures for ever.');
    ELSIF greatest(NEW.keep, NEW.keep_failed) > interval '1000 years' THEN
        PERFORM @extschema@._rule_refuse('keep and keep_failed must not be more than 1000 years',
            'Give an interval such as 10 years, or, for keep_failed, NULL to keep failures for ever.');
    END IF;
    IF TG_OP = 'INSERT' THEN
        DELETE FROM @extschema@.rule_engine_retention r WHERE r.table_name = NEW.table_name AND r.pristine;
    ELSIF NEW.table_name <> OLD.table_name THEN
        PERFORM @extschema@._rule_refuse('table_name cannot be changed', 'Each table has a row; change its keep.', '0A000');
    END IF;
    NEW.pristine := false;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_retention_check() IS
    'Internal trigger: validates how long a table''s rows are kept, and lets a restored row replace the extension''s own.';

CREATE OR REPLACE TRIGGER rule_engine_retention_check
    BEFORE INSERT OR UPDATE OR DELETE ON @extschema@.rule_engine_retention
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_retention_check();
