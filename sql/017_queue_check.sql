-- A violated constraint prints the whole row, and a payload can be a secret. So a trigger refuses first, and with it counts
-- that no worker could add to. Each row of publishers and workers passes here. So it runs with their rights and their
-- search_path, since to change these would cost more than all the rest, and names nothing but what is in pg_catalog.

CREATE OR REPLACE FUNCTION @extschema@._rule_webhook_queue_check()
RETURNS trigger LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
    -- More tries than anybody will see, and room for as many.
    c_most CONSTANT pg_catalog.int4 := 1000000000;
    v_counts pg_catalog.int4range;
    v_losses pg_catalog.int4range;
    v_what pg_catalog.text;
    v_hint pg_catalog.text;
BEGIN
    IF NEW.queue_id IS NOT NULL AND NEW.message_id IS NOT NULL AND NEW.next_retry_at IS NOT NULL
       AND NEW.created_at IS NOT NULL AND NEW.created_by IS NOT NULL AND NEW.paced IS NOT NULL
       AND (NEW.payload IS NULL) OPERATOR(pg_catalog.<>) (NEW.payload_bytes IS NULL)
       AND NEW.status OPERATOR(pg_catalog.=) ANY ('{pending,processing,success,failed}')
       AND NEW.route OPERATOR(pg_catalog.=) ANY ('{post,publish,stream}')
       AND (NEW.webhook_id IS NOT NULL OR NEW.status OPERATOR(pg_catalog.=) 'failed')
       AND (NEW.leased_by IS NOT NULL) OPERATOR(pg_catalog.=) (NEW.status OPERATOR(pg_catalog.=) 'processing')
       AND (NEW.lease_until IS NULL) OPERATOR(pg_catalog.=) (NEW.leased_by IS NULL)
       AND (NEW.lease_until IS NULL OR pg_catalog.isfinite(NEW.lease_until))
       AND NEW.redelivery OPERATOR(pg_catalog.>=) 0 AND NEW.redelivery OPERATOR(pg_catalog.<=) c_most
       AND NEW.retry_count OPERATOR(pg_catalog.>=) 0 AND NEW.retry_count OPERATOR(pg_catalog.<=) c_most
       AND NEW.refusals OPERATOR(pg_catalog.>=) 0 AND NEW.refusals OPERATOR(pg_catalog.<=) c_most
       AND NEW.lease_losses OPERATOR(pg_catalog.>=) 0 AND NEW.lease_losses OPERATOR(pg_catalog.<=) 10000
       AND (NEW.first_tried_at IS NULL OR NEW.first_tried_at OPERATOR(pg_catalog.<) '10000-01-01 00:00:00+00')
    THEN
        RETURN NEW;
    END IF;
    v_counts := pg_catalog.int4range(0, c_most, '[]');
    v_losses := '[0,10000]';
    -- 0.1.0 took these from a hand, and its dump has to be restorable: an incoming row is mended as the update mends them. A
    -- redelivery becomes one that no other row of the event has.
    IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
        v_what := CASE WHEN NOT v_counts OPERATOR(pg_catalog.@>) NEW.retry_count THEN pg_catalog.format('retry_count %s', NEW.retry_count)
                       WHEN NOT v_counts OPERATOR(pg_catalog.@>) NEW.redelivery THEN pg_catalog.format('redelivery %s', NEW.redelivery)
                       WHEN NOT pg_catalog.isfinite(NEW.lease_until) THEN pg_catalog.format('lease_until %s', NEW.lease_until) END;
        NEW.retry_count := CASE WHEN NEW.retry_count IS NOT NULL THEN greatest(0, least(NEW.retry_count, c_most)) END;
        IF NOT v_counts OPERATOR(pg_catalog.@>) NEW.redelivery THEN
            NEW.redelivery := 500000000 OPERATOR(pg_catalog.+) pg_catalog.abs(NEW.redelivery OPERATOR(pg_catalog.%) 500000000);
        END IF;
        IF NOT pg_catalog.isfinite(NEW.lease_until) THEN
            NEW.lease_until := pg_catalog.now();
        END IF;
        IF v_what IS NOT NULL THEN
            RAISE WARNING USING MESSAGE = pg_catalog.format('event %s has %s, which is mended', NEW.queue_id, v_what),
                HINT = pg_catalog.format('Counts go from 0 to %s, and a lease ends at a finite time.', c_most);
        END IF;
    END IF;
    v_what := CASE WHEN NEW.queue_id IS NULL THEN 'queue_id' WHEN NEW.message_id IS NULL THEN 'message_id'
                   WHEN NEW.redelivery IS NULL THEN 'redelivery' WHEN NEW.status IS NULL THEN 'status'
                   WHEN NEW.route IS NULL THEN 'route' WHEN NEW.retry_count IS NULL THEN 'retry_count'
                   WHEN NEW.refusals IS NULL THEN 'refusals' WHEN NEW.lease_losses IS NULL THEN 'lease_losses'
                   WHEN NEW.next_retry_at IS NULL THEN 'next_retry_at' WHEN NEW.created_at IS NULL THEN 'created_at'
                   WHEN NEW.created_by IS NULL THEN 'created_by' WHEN NEW.paced IS NULL THEN 'paced'
                   WHEN NEW.webhook_id IS NULL AND NEW.status OPERATOR(pg_catalog.<>) 'failed' THEN 'webhook_id, but for dead letters,' END;
    IF v_what IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = pg_catalog.format('%s must not be NULL', v_what),
            HINT = 'Give a value, or leave it out where it has a default.';
    END IF;
    IF NEW.status OPERATOR(pg_catalog.<>) ALL ('{pending,processing,success,failed}') THEN
        v_what := pg_catalog.format('status cannot be "%s"', pg_catalog.left(NEW.status, 64));
        v_hint := 'Give one of pending, processing, success, failed.';
    ELSIF NEW.route OPERATOR(pg_catalog.<>) ALL ('{post,publish,stream}') THEN
        v_what := pg_catalog.format('route cannot be "%s"', pg_catalog.left(NEW.route, 64));
        v_hint := 'Give one of post, publish, stream.';
    ELSIF (NEW.payload IS NULL) OPERATOR(pg_catalog.=) (NEW.payload_bytes IS NULL) THEN
        v_what := 'an event has either payload or payload_bytes';
        v_hint := 'Give a JSON value as payload, or as payload_bytes what is no JSON.';
    ELSIF (NEW.leased_by IS NOT NULL) OPERATOR(pg_catalog.<>) (NEW.status OPERATOR(pg_catalog.=) 'processing')
          OR (NEW.lease_until IS NULL) OPERATOR(pg_catalog.<>) (NEW.leased_by IS NULL)
          OR NOT pg_catalog.isfinite(NEW.lease_until) THEN
        v_what := 'status, leased_by and lease_until contradict each other';
        v_hint := 'With status processing go leased_by and a finite lease_until, with any other neither. Leave leases to workers; rule_webhook_retry() sets an event going.';
    -- What was wrong before stays: a worker that comes to the row must not fail with all that it has.
    ELSIF NOT v_counts OPERATOR(pg_catalog.@>) NEW.redelivery
          AND (OLD.redelivery IS NULL OR v_counts OPERATOR(pg_catalog.@>) OLD.redelivery) THEN
        v_what := pg_catalog.format('redelivery cannot be %s', NEW.redelivery);
    ELSIF NOT v_counts OPERATOR(pg_catalog.@>) NEW.retry_count
          AND (OLD.retry_count IS NULL OR v_counts OPERATOR(pg_catalog.@>) OLD.retry_count) THEN
        v_what := pg_catalog.format('retry_count cannot be %s', NEW.retry_count);
    ELSIF NOT v_counts OPERATOR(pg_catalog.@>) NEW.refusals
          AND (OLD.refusals IS NULL OR v_counts OPERATOR(pg_catalog.@>) OLD.refusals) THEN
        v_what := pg_catalog.format('refusals cannot be %s', NEW.refusals);
    ELSIF NOT v_losses OPERATOR(pg_catalog.@>) NEW.lease_losses::pg_catalog.int4
          AND (OLD.lease_losses IS NULL OR v_losses OPERATOR(pg_catalog.@>) OLD.lease_losses::pg_catalog.int4) THEN
        v_what := pg_catalog.format('lease_losses cannot be %s', NEW.lease_losses);
        v_hint := 'Give a number from 0 to 10000.';
    ELSIF NEW.first_tried_at OPERATOR(pg_catalog.>=) '10000-01-01 00:00:00+00'
          AND (OLD.first_tried_at IS NULL OR OLD.first_tried_at OPERATOR(pg_catalog.<) '10000-01-01 00:00:00+00') THEN
        v_what := 'first_tried_at must be before the year 10000';
        v_hint := 'Give the time of the first try, or NULL when there was none.';
    ELSE
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = v_what,
        HINT = coalesce(v_hint, pg_catalog.format('Give a number from 0 to %s.', c_most));
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhook_queue_check() IS
    'Internal trigger: validates a row of the queue before a constraint can print it.';

-- By its name it fires before those that act on the row; what they set is not looked at here.
CREATE OR REPLACE TRIGGER rule_webhook_queue_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhook_queue
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhook_queue_check();
