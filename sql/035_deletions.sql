CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_deleted()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- One that is made again with its id can be deleted again.
    INSERT INTO @extschema@.rule_webhook_deletions AS d (webhook_id) VALUES (OLD.webhook_id)
    ON CONFLICT (webhook_id) DO UPDATE SET deleted_xid = excluded.deleted_xid, deleted_at = excluded.deleted_at;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_deleted() IS
    'Internal trigger: notes a deleted webhook for workers, which have events of it in hand.';

CREATE OR REPLACE TRIGGER rule_webhooks_deleted
    AFTER DELETE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_deleted();
ALTER TABLE @extschema@.rule_webhooks ENABLE ALWAYS TRIGGER rule_webhooks_deleted;
