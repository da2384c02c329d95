package publish

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func ended(t *testing.T, done <-chan error, state string) {
	t.Helper()
	start := time.Now()
	select {
	case err := <-done:
		t.Logf("served after %v", time.Since(start).Round(time.Millisecond))
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, state, pg.Code)
	case <-time.After(served):
		require.Fail(t, "not served in time", served)
	}
}

func (b *bundle) gone(t *testing.T, pid uint32) {
	t.Helper()
	require.Eventually(t, func() bool {
		return b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid) == 0
	}, served, 5*time.Millisecond)
}

func TestACancelEndsTheWaitAndTheSessionGoesOn(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	done := b.publishing(t, conn)
	exec(t, b.admin, "SELECT pg_cancel_backend($1)", conn.PgConn().PID())
	ended(t, done, "57014")

	require.NoError(t, b.nats.Thaw())
	require.Equal(t, true, b.publish(t, conn, nil)["success"])
	require.Zero(t, b.count(t, "SELECT count(*) FROM rule_nats_publish_history WHERE message_id = 'unanswered'"))
}

func TestAStatementTimeoutEndsTheWait(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	exec(t, conn, "SET statement_timeout = '1s'")
	done := b.publishing(t, conn)
	time.Sleep(700 * time.Millisecond)
	ended(t, done, "57014")
}

func TestATerminatedBackendEndsItsWait(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	pid := conn.PgConn().PID()
	done := b.publishing(t, conn)
	exec(t, b.admin, "SELECT pg_terminate_backend($1)", pid)
	ended(t, done, "57P01")
	b.gone(t, pid)
}

func TestAClientThatWentAwayEndsTheWait(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	pid := conn.PgConn().PID()
	b.publishing(t, conn)
	require.NoError(t, conn.PgConn().Conn().Close())
	b.gone(t, pid)
}

func TestAProcsignalBarrierIsServedDuringTheWait(t *testing.T) {
	b := setup(t)
	b.publishing(t, b.session(t))
	exec(t, b.admin, "CREATE DATABASE barrier_"+b.database)
	exec(t, b.admin, "SET statement_timeout = '2s'")
	// Waits until every backend has absorbed a PROCSIGNAL_BARRIER_SMGRRELEASE (dbcommands.c, dropdb).
	exec(t, b.admin, "DROP DATABASE barrier_"+b.database)
}

func TestACancelledPublishIsNotDeliveredAlthoughTheStreamHasIt(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	done := b.publishing(t, conn)
	exec(t, b.admin, "SELECT pg_cancel_backend($1)", conn.PgConn().PID())
	ended(t, done, "57014")
	require.NoError(t, b.nats.Thaw())
	require.Eventually(t, func() bool { return b.stored(t) == 2 }, 5*time.Second, 10*time.Millisecond)

	message, err := b.stream(t).GetMsg(t.Context(), 2)
	require.NoError(t, err)
	var status string
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT rule_nats_event_status($1, 'unanswered', $2::text::xid8)",
		b.webhook, message.Header.Get("Rule-Engine-Transaction")).Scan(&status))
	require.Equal(t, "rolled back", status)
}
