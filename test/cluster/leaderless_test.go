package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"rule_engine/test/system"
)

// served is how long Postgres may take to serve an interrupt: 100 ms are promised, the rest is for a
// machine that runs other tests meanwhile.
const served = 500 * time.Millisecond

// The connection stands and the server answers each PING: only the stream is silent.
func TestAWaitForAStreamWithoutALeaderIsInterruptibleAndTheEventGoesIntoTheQueue(t *testing.T) {
	b := setup(t)
	alone := b.nats.Members[0]
	for _, p := range b.nats.Members[1:] {
		require.NoError(t, p.Kill())
	}
	_, err := b.admin.Exec(t.Context(), "UPDATE rule_nats_config SET nats_url = $1, publish_timeout_ms = 60000", alone.URL())
	require.NoError(t, err)
	conn := b.Postgres.Connect(t, system.Database, system.Application)
	publish := func(id string) (answer map[string]any, err error) {
		err = conn.QueryRow(context.Background(), "SELECT rule_webhook_publish_nats($1, '{}', $2)", b.webhook, id).Scan(&answer)
		return answer, err
	}
	cancelled := func(id string, within time.Duration) {
		began := time.Now()
		_, err := publish(id)
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, "57014", pg.Code)
		t.Logf("%s served after %v", id, time.Since(began).Round(time.Millisecond))
		require.Less(t, time.Since(began), within)
	}
	set := func(sql string) {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	set("SET statement_timeout = '300ms'")
	cancelled("a time-out of 300 ms", 300*time.Millisecond+served)
	set("RESET statement_timeout")

	asked := make(chan time.Time, 1)
	go func() {
		for t.Context().Err() == nil {
			var waits bool
			if b.admin.QueryRow(t.Context(), "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $1",
				conn.PgConn().PID()).Scan(&waits) == nil && waits {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		at := time.Now()
		_, _ = b.admin.Exec(t.Context(), "SELECT pg_cancel_backend($1)", conn.PgConn().PID())
		asked <- at
	}()
	cancelled("a cancel", 10*time.Second)
	require.Less(t, time.Since(<-asked), served)

	_, err = b.admin.Exec(t.Context(), "UPDATE rule_nats_config SET publish_timeout_ms = 600")
	require.NoError(t, err)
	answer, err := publish("unanswered")
	require.NoError(t, err)
	// The member that is left may still take itself for the leader, or no longer listen.
	require.Contains(t, []any{"no_answer", "no_stream"}, answer["error_code"], "%v", answer)
	require.Equal(t, "queue", answer["fallback"])
}
