-- Every way to change a NATS configuration passes here.

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_config_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_present(NEW.config_id IS NOT NULL, 'config_id');
    PERFORM @extschema@._rule_check_name(NEW.config_name, 'config_name');
    PERFORM @extschema@._rule_check_nats_url(NEW.nats_url, 'nats_url');
    PERFORM @extschema@._rule_check_nats_url(u.url, 'nats_cluster_urls') FROM unnest(NEW.nats_cluster_urls) AS u (url);
    PERFORM @extschema@._rule_check_choice(NEW.auth_type, '{none,token,userpass,credentials,nkey}', 'auth_type');
    PERFORM @extschema@._rule_check_range(NEW.max_connections, 1, 1000, 'max_connections');
    PERFORM @extschema@._rule_check_range(NEW.connection_timeout_ms, 1, 600000, 'connection_timeout_ms');
    PERFORM @extschema@._rule_check_range(NEW.publish_timeout_ms, 1, 600000, 'publish_timeout_ms');
    PERFORM @extschema@._rule_check_range(NEW.reconnect_delay_ms, 0, 600000, 'reconnect_delay_ms');
    PERFORM @extschema@._rule_check_range(NEW.max_reconnect_attempts, -1, 2147483647, 'max_reconnect_attempts');
    PERFORM @extschema@._rule_check_range(NEW.idle_timeout_seconds, 0, 86400, 'idle_timeout_seconds');
    PERFORM @extschema@._rule_check_stream_name(NEW.stream_name);
    PERFORM @extschema@._rule_check_subject(NEW.subject_prefix, 'subject_prefix');
    PERFORM @extschema@._rule_check_present(NEW.tls_enabled IS NOT NULL, 'tls_enabled');
    PERFORM @extschema@._rule_check_present(NEW.jetstream_enabled IS NOT NULL, 'jetstream_enabled');
    PERFORM @extschema@._rule_check_present(NEW.enabled IS NOT NULL, 'enabled');
    PERFORM @extschema@._rule_check_present(NEW.created_at IS NOT NULL, 'created_at');
    IF TG_OP = 'INSERT' THEN
        -- A dump holds an edited default; the one that the extension made gives way to it, and what refers to it stays.
        IF EXISTS (SELECT FROM @extschema@.rule_nats_config c
                   WHERE c.pristine AND (c.config_name = NEW.config_name OR c.config_id = NEW.config_id)) THEN
            SET CONSTRAINTS @extschema@.rule_nats_streams_config_id_fkey, @extschema@.rule_webhooks_nats_config_id_fkey DEFERRED;
            WITH gone AS (
                DELETE FROM @extschema@.rule_nats_config c
                WHERE c.pristine AND (c.config_name = NEW.config_name OR c.config_id = NEW.config_id)
                RETURNING c.config_id),
            streams AS (
                UPDATE @extschema@.rule_nats_streams s SET config_id = NEW.config_id
                FROM gone WHERE s.config_id = gone.config_id AND s.config_id <> NEW.config_id)
            UPDATE @extschema@.rule_webhooks w SET nats_config_id = NEW.config_id
            FROM gone WHERE w.nats_config_id = gone.config_id AND w.nats_config_id <> NEW.config_id;
        END IF;
    ELSE
        IF OLD.config_name = 'default' AND NEW.config_name <> 'default' THEN
            PERFORM @extschema@._rule_refuse('configuration "default" cannot be renamed',
                'Webhooks without a configuration of their own use it. Make another one beside it.', '0A000');
        END IF;
        NEW.updated_at := now();
    END IF;
    PERFORM @extschema@._rule_check_present(NEW.updated_at IS NOT NULL, 'updated_at');
    -- The only pristine rows are those that the install script made, before this trigger.
    NEW.pristine := false;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_nats_config_check() IS
    'Internal trigger: validates a configuration before an error can print its secrets.';

CREATE OR REPLACE TRIGGER rule_nats_config_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_nats_config
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_nats_config_check();

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_config_files()
RETURNS trigger LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old text[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        v_old := ARRAY[OLD.auth_credentials_file, OLD.tls_cert_file, OLD.tls_key_file, OLD.tls_ca_file];
    ELSE
        v_old := array_fill(NULL::text, ARRAY[4]);
    END IF;
    IF v_old <> ARRAY[NEW.auth_credentials_file, NEW.tls_cert_file, NEW.tls_key_file, NEW.tls_ca_file]
       AND NOT pg_has_role(current_user, 'pg_read_server_files', 'USAGE') THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = 'permission denied to name files of the server',
            HINT = 'auth_credentials_file and tls_*_file may be set by members of pg_read_server_files.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_nats_config_files() IS
    'Internal trigger: the server reads the files that a configuration names. It runs with the caller''s rights.';

CREATE OR REPLACE TRIGGER rule_nats_config_files
    BEFORE INSERT OR UPDATE ON @extschema@.rule_nats_config
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_nats_config_files();

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_config_keep()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Deeper than one is the row giving way to a restored one.
    IF pg_trigger_depth() > 1 THEN
        RETURN OLD;
    ELSIF OLD.config_name = 'default' THEN
        PERFORM @extschema@._rule_refuse('configuration "default" cannot be deleted',
            'Disable it: UPDATE rule_nats_config SET enabled = false WHERE config_name = ''default''.', '0A000');
    END IF;
    DELETE FROM @extschema@.rule_nats_streams s WHERE s.config_id = OLD.config_id;
    RETURN OLD;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_nats_config_keep() IS
    'Internal trigger: keeps the configuration that webhooks without one use; another one takes its streams with it.';

CREATE OR REPLACE TRIGGER rule_nats_config_keep
    BEFORE DELETE ON @extschema@.rule_nats_config
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_nats_config_keep();
