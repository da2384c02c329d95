-- A publish subject is stored by NATS as it comes, wildcards included, so it is refused here.

CREATE OR REPLACE FUNCTION @extschema@._rule_check_subject(p_subject text, p_what text, p_wildcards boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_subject IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what),
            'Give a subject such as webhooks.orders.', '22004');
    ELSIF octet_length(p_subject) > 255 OR p_subject ~ '[[:cntrl:][:space:]]' OR p_subject ~ '^\$'
          OR p_subject ~ '(^|\.)(\.|$)'
          OR (NOT p_wildcards AND p_subject ~ '[*>]')
          OR (p_wildcards AND (p_subject ~ '[^.][*>]' OR p_subject ~ '[*>][^.]' OR p_subject ~ '>.')) THEN
        PERFORM @extschema@._rule_refuse(format('%s "%s" is malformed', p_what, left(p_subject, 64)),
            CASE WHEN p_wildcards
                 THEN 'A subject has tokens joined by dots, at most 255 bytes, no blanks and no $ at its start; * is a whole token, > the last one.'
                 ELSE 'A subject has tokens joined by dots, at most 255 bytes, no wildcards, no blanks and no $ at its start.'
            END);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_subject(text, text, boolean) IS
    'Internal: refuses a NATS subject that is malformed or, unless wanted, has wildcards.';
