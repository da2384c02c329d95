package hazards

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Go reaches the database through callbacks. An error raised there is a longjmp, which must not
// cross Go's frames, and must still arrive with all it says.

const refusedState = "RE123"

// refuseHistory makes a user's trigger raise at every row of history.
func (b *bundle) refuseHistory(t *testing.T) {
	t.Helper()
	b.admin.do(t, `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			RAISE EXCEPTION 'refused: %', NEW.message_id
				USING ERRCODE = 'RE123', DETAIL = 'the detail', HINT = 'the hint', CONSTRAINT = 'the constraint',
					TABLE = 'the table', SCHEMA = 'the schema';
		END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON rule_nats_publish_history FOR EACH ROW EXECUTE FUNCTION refuse()`)
}

func (b *bundle) takeHistory(t *testing.T) {
	t.Helper()
	b.admin.do(t, "DROP TRIGGER refuse ON rule_nats_publish_history; DROP FUNCTION refuse()")
}

func TestAnErrorBelowGoKeepsAllItSays(t *testing.T) {
	b := setup(t)
	b.refuseHistory(t)
	s := b.session(t)
	err := s.fails(t, refusedState, "SELECT rule_webhook_publish_nats($1, '{}', 'm')", b.webhook)
	require.Equal(t, "refused: m", err.Message)
	require.Equal(t, "the detail", err.Detail)
	require.Equal(t, "the hint", err.Hint)
	require.Equal(t, "the constraint", err.ConstraintName)
	require.Equal(t, "the table", err.TableName)
	require.Equal(t, "the schema", err.SchemaName)

	// A block that catches is a subtransaction: the outer one goes on.
	s.do(t, `DO $$ BEGIN
		PERFORM rule_webhook_publish_nats((SELECT webhook_id FROM rule_webhooks), '{}');
	EXCEPTION WHEN SQLSTATE 'RE123' THEN
		RAISE NOTICE 'caught';
	END $$`)
	b.takeHistory(t)
	s.publish(t, nil)
}

func TestThousandsOfErrorsBelowGoCostNoMemory(t *testing.T) {
	b := setup(t)
	s := b.sessionWithGo(t)
	b.refuseHistory(t)
	s.do(t, "SET log_min_messages = fatal")
	errors := func(n int) {
		for range n {
			s.fails(t, refusedState, s.publishSQL())
		}
	}
	// Until both allocators have what they need.
	errors(1000)
	before := residentKB(t, s.pid)
	errors(3000)
	grown := residentKB(t, s.pid) - before
	t.Logf("memory grew by %d kB over 3000 errors", grown)
	require.Less(t, grown, 3000, "kB over 3000 errors")
	b.takeHistory(t)
	s.publish(t, nil)
}

func TestACancelReachesAWaitBelowGo(t *testing.T) {
	b := setup(t)
	s := b.sessionWithGo(t)
	lock := b.session(t)
	lock.do(t, "BEGIN; LOCK TABLE rule_nats_publish_history IN ACCESS EXCLUSIVE MODE")
	for range 20 {
		done := s.start(s.publishSQL())
		s.awaits(t, b.admin, "Lock")
		b.admin.do(t, "SELECT pg_cancel_backend($1)", s.pid)
		requireState(t, "57014", endOf(done, prompt))
	}
	done := s.start(s.publishSQL())
	s.awaits(t, b.admin, "Lock")
	lock.do(t, "ROLLBACK")
	require.NoError(t, endOf(done, stall), "the lock's hand-off")
	s.publish(t, nil)
}
