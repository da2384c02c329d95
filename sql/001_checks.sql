-- What is refused in a webhook's settings. Each check raises, and none repeats a value that can be a secret.

CREATE OR REPLACE FUNCTION @extschema@._rule_refuse(p_message text, p_hint text, p_code text DEFAULT '22023')
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = p_code, MESSAGE = p_message, HINT = p_hint;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_refuse(text, text, text) IS
    'Internal: raises an error with its SQLSTATE and HINT.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_name(p_name text, p_what text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_name IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what), 'Give it a name.', '22004');
    ELSIF p_name = '' OR octet_length(p_name) > 255 OR p_name ~ '[[:cntrl:]]' OR btrim(p_name) <> p_name THEN
        PERFORM @extschema@._rule_refuse(format('%s is malformed', p_what),
            'A name has 1 to 255 bytes, no control characters and no blanks around it.');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_name(text, text) IS
    'Internal: refuses a name that could not travel in a message header.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_range(p_value numeric, p_low numeric, p_high numeric, p_what text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_value IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what),
            format('Give a number from %s to %s.', p_low, p_high), '22004');
    ELSIF p_value NOT BETWEEN p_low AND p_high THEN
        PERFORM @extschema@._rule_refuse(format('%s cannot be %s', p_what, p_value),
            format('Give a number from %s to %s.', p_low, p_high));
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_range(numeric, numeric, numeric, text) IS
    'Internal: refuses a number outside its bounds.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_choice(p_value text, p_choices text[], p_what text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_value IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what),
            format('Give one of %s.', array_to_string(p_choices, ', ')), '22004');
    ELSIF p_value <> ALL (p_choices) THEN
        PERFORM @extschema@._rule_refuse(format('%s cannot be "%s"', p_what, left(p_value, 64)),
            format('Give one of %s.', array_to_string(p_choices, ', ')));
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_choice(text, text[], text) IS
    'Internal: refuses a word that is not among those accepted.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_present(p_present boolean, p_what text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_present IS NOT TRUE THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what), 'Leave it out to get its default.', '22004');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_present(boolean, text) IS
    'Internal: refuses a missing value before NOT NULL does, which would print the row.';
