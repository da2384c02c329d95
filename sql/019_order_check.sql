CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_order_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_choice(NEW.on_dead, '{block,skip}', 'on_dead');
    IF NEW.order_key IS NULL THEN
        RETURN NEW;
    ELSIF array_ndims(NEW.order_key) IS DISTINCT FROM 1 OR array_position(NEW.order_key, NULL) IS NOT NULL
          OR cardinality(NEW.order_key) > 32 THEN
        PERFORM @extschema@._rule_refuse('order_key must be a path of 1 to 32 members',
            'Give one as #>> takes it, such as {customer,id}; NULL is no order.');
    ELSIF NEW.publish_mode <> 'queue' THEN
        PERFORM @extschema@._rule_refuse(format('order_key cannot go with publish_mode "%s"', NEW.publish_mode),
            'Only the queue keeps an order: set publish_mode to queue, or order_key to NULL.');
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_order_check() IS
    'Internal trigger: validates order_key and on_dead before a CHECK can print the row.';

CREATE OR REPLACE TRIGGER rule_webhooks_order_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_order_check();
