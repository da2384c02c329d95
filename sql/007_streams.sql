-- The streams that there should be. Only rows; rule_nats_init() and the publish that needs one make them in NATS.

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_streams_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_subject text;
BEGIN
    PERFORM @extschema@._rule_check_present(NEW.stream_id IS NOT NULL, 'stream_id');
    PERFORM @extschema@._rule_check_present(NEW.config_id IS NOT NULL, 'config_id');
    PERFORM @extschema@._rule_check_present(NEW.enabled IS NOT NULL, 'enabled');
    PERFORM @extschema@._rule_check_present(NEW.created_at IS NOT NULL, 'created_at');
    PERFORM @extschema@._rule_check_stream_name(NEW.stream_name);
    IF cardinality(NEW.subjects) = 0 OR NEW.subjects IS NULL THEN
        PERFORM @extschema@._rule_refuse('a stream needs subjects', 'Give at least one, such as {webhooks.>}.');
    ELSIF array_ndims(NEW.subjects) > 1 THEN
        PERFORM @extschema@._rule_refuse('subjects must have one dimension', 'Give them one after the other, such as {webhooks.>,orders.>}.');
    END IF;
    FOREACH v_subject IN ARRAY NEW.subjects LOOP
        PERFORM @extschema@._rule_check_subject(v_subject, 'subject', true);
    END LOOP;
    PERFORM @extschema@._rule_check_choice(NEW.storage_type, '{file,memory}', 'storage_type');
    PERFORM @extschema@._rule_check_range(NEW.max_messages, 0, 9223372036854775807, 'max_messages');
    PERFORM @extschema@._rule_check_range(NEW.max_bytes, 0, 9223372036854775807, 'max_bytes');
    PERFORM @extschema@._rule_check_range(NEW.max_age_seconds, 0, 3153600000, 'max_age_seconds');
    PERFORM @extschema@._rule_check_choice(NEW.retention_policy, '{limits,interest,workqueue}', 'retention_policy');
    PERFORM @extschema@._rule_check_choice(NEW.discard_policy, '{old,new}', 'discard_policy');
    PERFORM @extschema@._rule_check_range(NEW.replicas, 1, 5, 'replicas');
    PERFORM @extschema@._rule_check_range(NEW.duplicate_window_seconds, 1, 31536000, 'duplicate_window_seconds');
    IF TG_OP = 'INSERT' THEN
        DELETE FROM @extschema@.rule_nats_streams s
        WHERE s.pristine AND (s.stream_id = NEW.stream_id OR (s.config_id = NEW.config_id AND s.stream_name = NEW.stream_name));
    END IF;
    -- Deeper than one is its configuration giving way to a restored one.
    NEW.pristine := TG_OP = 'UPDATE' AND pg_trigger_depth() > 1 AND OLD.pristine;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_nats_streams_check() IS
    'Internal trigger: validates a stream.';

CREATE OR REPLACE TRIGGER rule_nats_streams_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_nats_streams
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_nats_streams_check();

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_stream_create(
    p_stream_name text, p_subjects text[], p_config_name text DEFAULT 'default', p_description text DEFAULT NULL,
    p_retention_policy text DEFAULT 'limits', p_max_age_seconds bigint DEFAULT 604800)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_config_id integer := @extschema@._rule_config_id(p_config_name);
    v_stream_id integer;
BEGIN
    UPDATE @extschema@.rule_nats_streams s
    SET subjects = p_subjects, description = p_description, retention_policy = p_retention_policy,
        max_age_seconds = p_max_age_seconds
    WHERE s.config_id = v_config_id AND s.stream_name = p_stream_name
    RETURNING s.stream_id INTO v_stream_id;
    IF v_stream_id IS NULL THEN
        INSERT INTO @extschema@.rule_nats_streams (config_id, stream_name, subjects, description, retention_policy, max_age_seconds)
        VALUES (v_config_id, p_stream_name, p_subjects, p_description, p_retention_policy, p_max_age_seconds)
        RETURNING stream_id INTO v_stream_id;
    END IF;
    RETURN v_stream_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_stream_create(text, text[], text, text, text, bigint) IS
    'Makes or changes the row of a stream; rule_nats_init() brings it to NATS. Returns its stream_id.';
