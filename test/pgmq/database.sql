-- Makes the database in which the SQL tests run with pgmq as the queue's backend.
SET client_min_messages = warning;
DROP DATABASE IF EXISTS :"database";
CREATE DATABASE :"database" TEMPLATE template0;
ALTER DATABASE :"database" SET lc_messages = 'C';
\connect :"database"
SET client_min_messages = warning;
\i build/pgmq/pgmq.sql

CREATE FUNCTION public.switch_to_pgmq() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    v_schema name := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'rule_engine');
BEGIN
    IF v_schema IS NOT NULL THEN
        EXECUTE format('UPDATE %I.rule_engine_settings SET queue_backend = ''pgmq''', v_schema);
    END IF;
END
$$;
CREATE EVENT TRIGGER switch_to_pgmq ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION public.switch_to_pgmq();
