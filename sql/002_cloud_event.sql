-- An envelope as CloudEvents 1.0 has it, in its JSON form.

CREATE OR REPLACE FUNCTION @extschema@.rule_cloud_event(
    p_type text, p_source text, p_data jsonb, p_id text DEFAULT NULL, p_subject text DEFAULT NULL,
    p_time timestamptz DEFAULT now(), p_extensions jsonb DEFAULT '{}')
RETURNS jsonb LANGUAGE plpgsql VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
    v_value jsonb;
BEGIN
    IF p_type IS NULL OR p_type = '' OR p_type ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'the type of a CloudEvent must not be empty',
            HINT = 'Give a name such as com.example.order.created.';
    ELSIF p_source IS NULL OR p_source = '' OR p_source ~ '[[:cntrl:][:space:]]' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'the source of a CloudEvent must be a URI reference',
            HINT = 'Give one without blanks, such as /orders or https://example.com/shop.';
    ELSIF p_id = '' OR p_subject = '' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'id and subject of a CloudEvent must not be empty',
            HINT = 'Leave an id out to have one made, and a subject to have none.';
    ELSIF NOT isfinite(p_time) THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'the time of a CloudEvent must be finite',
            HINT = 'Give the time of the event, or NULL for none.';
    ELSIF jsonb_typeof(p_extensions) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'the extensions of a CloudEvent must be a JSON object',
            HINT = 'Give names and values, such as {"tenant": "acme"}.';
    END IF;
    FOR v_name, v_value IN SELECT e.key, e.value FROM jsonb_each(coalesce(p_extensions, '{}')) e LOOP
        IF v_name !~ '^[a-z0-9]{1,20}$' OR jsonb_typeof(v_value) NOT IN ('string', 'number', 'boolean')
           OR v_name IN ('specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema', 'data') THEN
            RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('"%s" cannot be an extension of a CloudEvent', left(v_name, 64)),
                HINT = 'A name has 1 to 20 small letters and digits and is none of the standard''s own; a value is a text, a number or a boolean.';
        END IF;
    END LOOP;
    RETURN jsonb_strip_nulls(jsonb_build_object(
            'specversion', '1.0', 'id', coalesce(p_id, gen_random_uuid()::text), 'source', p_source, 'type', p_type,
            'subject', p_subject, 'datacontenttype', 'application/json',
            'time', to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
        || coalesce(p_extensions, '{}') || jsonb_build_object('data', p_data);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_cloud_event(text, text, jsonb, text, text, timestamptz, jsonb) IS
    'An event in an envelope of CloudEvents 1.0. Give p_id the message id where the receiver shall see doubles.';
