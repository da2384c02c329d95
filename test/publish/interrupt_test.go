package publish

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func ended(t *testing.T, done <-chan error, state string, in time.Duration) {
	t.Helper()
	start := time.Now()
	select {
	case err := <-done:
		t.Logf("served after %v", time.Since(start).Round(time.Millisecond))
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, state, pg.Code)
	case <-time.After(in):
		require.Fail(t, "not served in time", in)
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
	ended(t, done, "57014", served)

	require.NoError(t, b.nats.Thaw())
	require.Equal(t, true, b.publish(t, conn, nil)["success"])
	require.Zero(t, b.count(t, "SELECT count(*) FROM rule_nats_publish_history WHERE message_id = 'unanswered'"))
}

func TestAStatementTimeoutEndsTheWait(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	b.frozen(t, conn)
	exec(t, conn, "SET statement_timeout = '1s'")
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), `SELECT rule_webhook_publish_nats($1, '{"n": 2}', 'unanswered')`, b.webhook)
		done <- err
	}()
	// The publish alone would wait for minutes.
	ended(t, done, "57014", time.Second+served)
}

func TestABackendThatIsToEndDoesNotStayInAPublish(t *testing.T) {
	t.Run("terminated", func(t *testing.T) {
		b := setup(t)
		conn := b.session(t)
		pid := conn.PgConn().PID()
		done := b.publishing(t, conn)
		exec(t, b.admin, "SELECT pg_terminate_backend($1)", pid)
		ended(t, done, "57P01", served)
		b.gone(t, pid)
	})
	t.Run("client gone", func(t *testing.T) {
		b := setup(t)
		config, err := pgx.ParseConfig(cluster.DSN(b.database, "postgres"))
		require.NoError(t, err)
		var died atomic.Bool
		dial := config.DialFunc
		config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			if died.Load() {
				return nil, net.ErrClosed // a client that died sends no cancel, as pgx would
			}
			return dial(ctx, network, address)
		}
		conn, err := pgx.ConnectConfig(t.Context(), config)
		require.NoError(t, err)
		pid := conn.PgConn().PID()
		b.publishing(t, conn)
		died.Store(true)
		require.NoError(t, conn.PgConn().Conn().Close())
		b.gone(t, pid)
	})
}

func TestAProcsignalBarrierIsServedDuringTheWait(t *testing.T) {
	b := setup(t)
	b.publishing(t, b.session(t))
	exec(t, b.admin, "CREATE DATABASE barrier_"+b.database)
	exec(t, b.admin, "SET statement_timeout = '60s'")
	// Waits until every backend has absorbed a PROCSIGNAL_BARRIER_SMGRRELEASE (dbcommands.c, dropdb).
	exec(t, b.admin, "DROP DATABASE barrier_"+b.database)
}

func TestACancelledPublishIsNotDeliveredAlthoughTheStreamHasIt(t *testing.T) {
	b := setup(t)
	conn := b.session(t)
	done := b.publishing(t, conn)
	exec(t, b.admin, "SELECT pg_cancel_backend($1)", conn.PgConn().PID())
	ended(t, done, "57014", served)
	require.NoError(t, b.nats.Thaw())
	require.Eventually(t, func() bool { return b.stored(t) == 2 }, patience, 10*time.Millisecond)

	message, err := b.stream(t).GetMsg(t.Context(), 2)
	require.NoError(t, err)
	var status string
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT rule_nats_event_status($1, 'unanswered', $2::text::xid8)",
		b.webhook, message.Header.Get("Rule-Engine-Transaction")).Scan(&status))
	require.Equal(t, "rolled back", status)
}

func TestAPublishThatWaitsDoesNotHoldUpDropDatabase(t *testing.T) {
	b := setup(t)
	done := b.publishing(t, b.session(t))
	root := cluster.Connect(t, "postgres", "postgres")
	dropped := make(chan error, 1)
	go func() {
		_, err := root.Exec(context.Background(), "DROP DATABASE "+b.database+" WITH (FORCE)")
		dropped <- err
	}()
	ended(t, done, "57P01", served)
	require.NoError(t, <-dropped)
}
