-- What a receiver knows an event by: the header webhook-id, as workers make it of the message id.

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_id_header(p_message_id text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN p_message_id ~ '^(?!b64_)[A-Za-z0-9_-]{1,128}$' THEN p_message_id
                ELSE 'b64_' || translate(encode(convert_to(p_message_id, 'UTF8'), 'base64'), E'+/=\n', '-_') END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_id_header(text) IS
    'The webhook-id by which a receiver knows the event of a message id: the same, or b64_ and its base64url form where it begins with that or is not [A-Za-z0-9_-]{1,128}.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_message_id(p_webhook_id_header text)
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_text text := translate(substr(p_webhook_id_header, 5), '-_', '+/');
    v_message_id text;
BEGIN
    IF p_webhook_id_header LIKE 'b64\_%' THEN
        v_message_id := convert_from(decode(v_text || repeat('=', (4 - length(v_text) % 4) % 4), 'base64'), 'UTF8');
        IF @extschema@.rule_webhook_id_header(v_message_id) = p_webhook_id_header THEN
            RETURN v_message_id;
        END IF;
    END IF;
    RETURN p_webhook_id_header;
EXCEPTION WHEN data_exception THEN
    RETURN p_webhook_id_header;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_message_id(text) IS
    'The message id of an event that a receiver names by its webhook-id, for looking it up. What no event travels as comes back as it is.';
