-- Signing secrets as Standard Webhooks writes them: whsec_ and base64 of 24 to 64 random bytes, which the receiver has
-- as well, or whsk_ and base64 of an ed25519 key: its seed of 32 bytes, alone or with the public key of 32 bytes behind it.

CREATE OR REPLACE FUNCTION @extschema@._rule_webhook_secrets_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_bytes integer;
BEGIN
    PERFORM @extschema@._rule_check_present(NEW.webhook_id IS NOT NULL, 'webhook_id');
    PERFORM @extschema@._rule_check_name(NEW.secret_name, 'secret name');
    PERFORM @extschema@._rule_check_present(NEW.created_at IS NOT NULL, 'created_at');
    IF NEW.secret ~ '^(?:whsec|whsk)_(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$' THEN
        v_bytes := length(decode(split_part(NEW.secret, '_', 2), 'base64'));
    END IF;
    IF v_bytes IS NULL OR (CASE WHEN starts_with(NEW.secret, 'whsk_') THEN v_bytes NOT IN (32, 64)
                                ELSE v_bytes NOT BETWEEN 24 AND 64 END) THEN
        PERFORM @extschema@._rule_refuse('the secret is malformed',
            'A secret is whsec_ and the base64 form of 24 to 64 random bytes, or whsk_ and that of an ed25519 key of 32 or '
            '64 bytes. Leave it out to have a whsec_ made; whsk_ alone has an ed25519 key made.');
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhook_secrets_check() IS
    'Internal trigger: validates a secret without ever repeating it.';

CREATE OR REPLACE TRIGGER rule_webhook_secrets_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhook_secrets
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhook_secrets_check();

CREATE OR REPLACE FUNCTION @extschema@._rule_webhook_secrets_mark()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The webhook's own trigger sets the mark, so that workers fetch it again.
    UPDATE @extschema@.rule_webhooks w SET updated_at = now()
    WHERE w.webhook_id IN (CASE WHEN TG_OP <> 'INSERT' THEN OLD.webhook_id END,
                           CASE WHEN TG_OP <> 'DELETE' THEN NEW.webhook_id END);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhook_secrets_mark() IS
    'Internal trigger: a changed secret is a change of its webhook.';

CREATE OR REPLACE TRIGGER rule_webhook_secrets_mark
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.rule_webhook_secrets
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhook_secrets_mark();
ALTER TABLE @extschema@.rule_webhook_secrets ENABLE ALWAYS TRIGGER rule_webhook_secrets_mark;

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_secret_set(
    p_webhook_id integer, p_secret_name text, p_secret_value text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- auto_explain prints the constants of a plan that is made for them.
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_secret text;
BEGIN
    PERFORM FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    v_secret := coalesce(p_secret_value, 'whsec_');
    IF p_secret_value IS NULL OR p_secret_value = 'whsk_' THEN
        -- Any 32 bytes are a seed of ed25519. A uuid of version 4 holds 122 bits of the server's strong randomness; three
        -- of them are hashed into 256.
        v_secret := v_secret || encode(sha256(
            uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64');
    END IF;
    INSERT INTO @extschema@.rule_webhook_secrets AS s (webhook_id, secret_name, secret)
    VALUES (p_webhook_id, p_secret_name, v_secret)
    ON CONFLICT (webhook_id, secret_name)
    DO UPDATE SET secret = excluded.secret, created_at = now(), expires_at = NULL;
    RETURN v_secret;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_secret_set(integer, text, text) IS
    'Sets a signing secret of a webhook and returns it: the one given, or a new one, which is an ed25519 key when given whsk_ alone. It is shown only now.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_secret_delete(p_webhook_id integer, p_secret_name text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    PERFORM @extschema@._rule_check_name(p_secret_name, 'secret name');
    DELETE FROM @extschema@.rule_webhook_secrets s WHERE s.webhook_id = p_webhook_id AND s.secret_name = p_secret_name;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_secret_delete(integer, text) IS
    'Deletes a signing secret; false when there was none of that name.';
