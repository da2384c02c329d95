package hazards

import (
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
)

// frozen is a bundle whose NATS stands still, so that a publish waits until something ends it.
type frozen struct {
	*bundle
	nats *natsserver.Process
}

func setupFrozen(t *testing.T) *frozen {
	t.Helper()
	nats := natsserver.RunProcess(t)
	// Or a time-out of the server's own would find out that a client went away.
	return &frozen{setupOn(t, nats.URL(), postgres.Conf("client_connection_check_interval = 0")), nats}
}

// stuck is a session that waits for NATS in a publish.
func (f *frozen) stuck(t *testing.T) (s *session, done <-chan error) {
	t.Helper()
	s = f.sessionWithGo(t)
	f.freeze(t)
	done = s.start(s.publishSQL())
	// The name that pg_stat_activity shows for the wait.
	s.awaits(t, f.admin, "Extension")
	return s, done
}

// stuckFor is the same for a client that, unlike pgx, asks for no cancel when it breaks off.
func (f *frozen) stuckFor(t *testing.T) (s *session, client net.Conn) {
	t.Helper()
	s = f.sessionWithGo(t)
	f.freeze(t)
	taken, err := s.PgConn().Hijack()
	require.NoError(t, err)
	taken.Frontend.SendQuery(&pgproto3.Query{String: s.publishSQL()})
	require.NoError(t, taken.Frontend.Flush())
	s.awaits(t, f.admin, "Extension")
	return s, taken.Conn
}

func (f *frozen) freeze(t *testing.T) {
	t.Helper()
	require.NoError(t, f.nats.Freeze())
	t.Cleanup(func() { _ = f.nats.Thaw() })
}

func TestAWaitForNATSIsInterruptible(t *testing.T) {
	t.Run("cancel", func(t *testing.T) {
		f := setupFrozen(t)
		s, done := f.stuck(t)
		var slowest time.Duration
		for range 20 {
			began := time.Now()
			f.admin.do(t, "SELECT pg_cancel_backend($1)", s.pid)
			requireState(t, "57014", endOf(done, prompt))
			slowest = max(slowest, time.Since(began))
			done = s.start(s.publishSQL())
			s.awaits(t, f.admin, "Extension")
		}
		t.Logf("20 cancels, the slowest was served within %v", slowest.Round(100*time.Microsecond))
		require.NoError(t, f.nats.Thaw())
		require.NoError(t, endOf(done, patience))
		s.publish(t, nil)
	})
	t.Run("statement_timeout", func(t *testing.T) {
		f := setupFrozen(t)
		s := f.sessionWithGo(t)
		f.freeze(t)
		began := time.Now()
		requireState(t, "57014", endOf(s.start("BEGIN; SET LOCAL statement_timeout = '300ms'; "+s.publishSQL()), prompt))
		t.Logf("300 ms fired after %v", time.Since(began).Round(100*time.Microsecond))
		require.NoError(t, f.nats.Thaw())
	})
	t.Run("barrier", func(t *testing.T) {
		f := setupFrozen(t)
		f.admin.do(t, "CREATE DATABASE other")
		f.stuck(t)
		began := time.Now()
		// Waits until every backend has served it.
		require.NoError(t, endOf(f.admin.start("DROP DATABASE other"), 2*prompt))
		t.Logf("served within %v", time.Since(began).Round(100*time.Microsecond))
	})
}

func TestABackendInMidPublishExitsAtOnce(t *testing.T) {
	goes := func(t *testing.T, s *session, began time.Time) {
		t.Helper()
		require.Eventually(t, func() bool { return gone(s.pid) }, prompt, time.Millisecond, "the backend lives on")
		t.Logf("gone within %v", time.Since(began).Round(100*time.Microsecond))
	}
	t.Run("terminated", func(t *testing.T) {
		f := setupFrozen(t)
		s, _ := f.stuck(t)
		began := time.Now()
		f.admin.do(t, "SELECT pg_terminate_backend($1)", s.pid)
		goes(t, s, began)
	})
	t.Run("its client gone", func(t *testing.T) {
		f := setupFrozen(t)
		s, client := f.stuckFor(t)
		began := time.Now()
		require.NoError(t, client.Close())
		goes(t, s, began)
	})
	t.Run("its postmaster killed", func(t *testing.T) {
		f := setupFrozen(t)
		s, _ := f.stuck(t)
		began := time.Now()
		require.NoError(t, f.Kill())
		goes(t, s, began)
	})
}
