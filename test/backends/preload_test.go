package backends

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/postgres"
	"rule_engine/test/proxy"
	"rule_engine/test/system"
)

var preloaded = postgres.Conf("shared_preload_libraries = 'rule_engine'")

// timeout is what finding out costs in these tests; known is far less, and enough for a session that
// starts Go on a busy machine.
const (
	timeout = 8 * time.Second
	known   = timeout / 2
)

// setupLine is a system, preloaded, whose NATS is behind a line.
func setupLine(t *testing.T, delay time.Duration) (*bundle, *proxy.Proxy) {
	t.Helper()
	b := setup(t, preloaded)
	line := proxy.Run(t, b.nats.URL())
	b.must(t, "UPDATE rule_nats_config SET nats_url = $1, reconnect_delay_ms = $2, connection_timeout_ms = $3",
		line.URL(), delay.Milliseconds(), timeout.Milliseconds())
	return b, line
}

// fails publishes from a session while NATS is away, and answers the error and how long it took.
func (b *bundle) fails(t *testing.T, conn *pgx.Conn) (string, time.Duration) {
	t.Helper()
	began := time.Now()
	answer, err := b.publish(t.Context(), conn, fmt.Sprint(began.UnixNano()))
	took := time.Since(began)
	require.NoError(t, err)
	require.Equal(t, "nats_away", answer["error_code"], "%v", answer)
	require.Equal(t, false, answer["unknown"], "%v", answer)
	require.Equal(t, "queue", answer["fallback"], "%v", answer)
	return answer["error"].(string), took
}

func (b *bundle) succeeds(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	answer, err := b.publish(t.Context(), conn, fmt.Sprint(time.Now().UnixNano()))
	require.NoError(t, err)
	require.Equal(t, true, answer["success"], "%v", answer)
}

func TestPreloadedOneSessionFindsAnOutageAndItsEndForAll(t *testing.T) {
	t.Parallel()
	b, line := setupLine(t, time.Minute)
	line.BlackHole()
	sessions := b.sessions(t, 4)
	text, took := b.fails(t, sessions[0])
	require.Equal(t, "NATS is away: timed out", text)
	require.Greater(t, took, known)
	for _, other := range sessions[1:] {
		text, took := b.fails(t, other)
		require.Equal(t, "NATS is away: timed out, as another session found", text)
		require.Less(t, took, known)
	}
	require.Equal(t, 1, line.Accepted())

	// What was found of the old settings says nothing of the new ones.
	b.must(t, "UPDATE rule_nats_config SET reconnect_delay_ms = 500")
	text, took = b.fails(t, sessions[1])
	require.Equal(t, "NATS is away: timed out", text)
	require.Greater(t, took, known)
	require.Equal(t, 2, line.Accepted())

	line.Heal()
	line.Cut()
	require.Eventually(t, func() bool {
		answer, err := b.publish(t.Context(), sessions[3], fmt.Sprint(time.Now().UnixNano()))
		return err == nil && answer["success"] == true
	}, patience, 20*time.Millisecond)
	for _, conn := range append(sessions, b.sessions(t, 1)...) {
		b.succeeds(t, conn)
	}
}

func TestPreloadedAnotherTakesTheTurnOfASessionThatWasTerminated(t *testing.T) {
	t.Parallel()
	b, line := setupLine(t, 500*time.Millisecond)
	line.BlackHole()
	sessions := b.sessions(t, 2)
	b.fails(t, sessions[0])
	tried := line.Accepted()
	// One of its publishes begins the next attempt, which needs no wait of its own.
	require.Eventually(t, func() bool { b.fails(t, sessions[0]); return line.Accepted() > tried }, patience, 20*time.Millisecond)
	b.must(t, "SELECT pg_terminate_backend($1)", sessions[0].PgConn().PID())
	tried = line.Accepted()
	began := time.Now()
	require.Eventually(t, func() bool {
		_, took := b.fails(t, sessions[1])
		require.Less(t, took, known)
		return line.Accepted() > tried
	}, patience, 20*time.Millisecond)
	t.Logf("another session tried %v later", time.Since(began).Round(time.Millisecond))
}

func TestPreloadedACrashOfTheServerForgetsTheOutage(t *testing.T) {
	t.Parallel()
	b, line := setupLine(t, 10*time.Minute)
	line.BlackHole()
	sessions := b.sessions(t, 2)
	b.fails(t, sessions[0])
	require.NoError(t, syscall.Kill(int(sessions[0].PgConn().PID()), syscall.SIGKILL))
	line.Heal()
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), b.Postgres.DSN(system.Database, system.Application))
		if err != nil {
			return false
		}
		defer conn.Close(t.Context())
		answer, err := b.publish(t.Context(), conn, "after")
		return err == nil && answer["success"] == true
	}, patience, 100*time.Millisecond)
}
