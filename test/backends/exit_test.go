package backends

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/proxy"
	"rule_engine/test/system"
	"rule_engine/test/traffic"
)

// What is terminated in the middle of a publish leaves nothing behind: no process, no connection to
// NATS, no event that committed and is nowhere.
func TestBackendsThatAreTerminatedWhilePublishingTakeNothingWithThem(t *testing.T) {
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	b.must(t, "UPDATE rule_nats_config SET nats_url = $1, "+ample, line.URL())
	const rounds, backends = 3, 20
	until := time.Now().Add(traffic.Soak(t))
	for round := 0; round < rounds || time.Now().Before(until); round++ {
		sessions := b.sessions(t, backends)
		var all sync.WaitGroup
		for i, conn := range sessions {
			all.Go(func() {
				for n := 0; ; n++ {
					if _, err := b.publish(t.Context(), conn, fmt.Sprintf("event-%d-%d-%d", round, i, n)); err != nil {
						return
					}
				}
			})
		}
		b.becomes(t, backends, "SELECT count(*) FROM rule_nats_publish_history WHERE message_id LIKE $1",
			fmt.Sprintf("event-%d-%%-0", round))
		for _, conn := range sessions {
			b.must(t, "SELECT pg_terminate_backend($1)", conn.PgConn().PID())
		}
		all.Wait()
		b.becomes(t, 0, "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", system.Application)
	}
	require.NotContains(t, b.Postgres.LogText(), "was terminated by signal")

	committed := b.count(t, "SELECT count(*) FROM rule_nats_publish_history WHERE success")
	require.Positive(t, committed)
	require.Equal(t, 0, b.count(t, "SELECT count(*) FROM rule_nats_publish_history WHERE NOT success"))
	require.GreaterOrEqual(t, b.stored(t), committed)
	require.Eventually(t, func() bool { return line.Standing() == 0 }, patience, 20*time.Millisecond, "connections to NATS")
}
