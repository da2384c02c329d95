CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_policy_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.give_up_after IS NULL OR NEW.give_up_after < interval '0' THEN
        PERFORM @extschema@._rule_refuse('give_up_after must be zero or more',
            'Give an interval such as 3 days; 0 makes max_retries the limit of outages, too.',
            CASE WHEN NEW.give_up_after IS NULL THEN '22004' ELSE '22023' END);
    ELSIF NEW.hold_for IS NULL OR NEW.hold_for <= interval '0' THEN
        PERFORM @extschema@._rule_refuse('hold_for must be more than zero', 'Give an interval such as 7 days.',
            CASE WHEN NEW.hold_for IS NULL THEN '22004' ELSE '22023' END);
    ELSIF greatest(NEW.give_up_after, NEW.hold_for) > interval '1000 years' THEN
        -- Beyond what a timestamp holds, each claim and each report would fail.
        PERFORM @extschema@._rule_refuse('give_up_after and hold_for must not be more than 1000 years', 'Give an interval such as 10 years.');
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_policy_check() IS
    'Internal trigger: validates how long events are tried and held, before a CHECK can print the row.';

CREATE OR REPLACE TRIGGER rule_webhooks_policy_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_policy_check();
