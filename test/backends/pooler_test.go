package backends

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/pooler"
	"rule_engine/test/proxy"
	"rule_engine/test/system"
)

func TestBehindAPoolerClientsShareBackendsAndNothingIsMixedUp(t *testing.T) {
	const (
		clients = 30 // of each login
		pool    = 3  // backends of each
		events  = 10
		clerk   = "clerk"
	)
	b := setup(t)
	first, second := proxy.Run(t, b.nats.URL()), proxy.Run(t, b.nats.URL())
	b.must(t, "UPDATE rule_nats_config SET nats_url = $1, "+ample, first.URL())
	// The application may also become the clerk, for one transaction.
	b.must(t, fmt.Sprintf("CREATE ROLE %s LOGIN IN ROLE rule_engine_publisher; GRANT %[1]s TO %s", clerk, system.Application))
	front := pooler.Run(t, b.Postgres, system.Database, pool, system.Application, clerk)

	var sessions []*pgx.Conn
	for i := range 2 * clients {
		sessions = append(sessions, front.Connect(t, []string{system.Application, clerk}[i%2]))
	}
	// A client publishes an event a transaction; the id says who it was.
	publishAll := func(round string, check func(map[string]any) error) {
		each(t, sessions, func(i int, conn *pgx.Conn) error {
			for n := range events {
				who := []string{system.Application, clerk}[i%2]
				tx, err := conn.Begin(t.Context())
				if err != nil {
					return err
				}
				if i%2 == 0 && n%3 == 0 {
					who = clerk
					if _, err = tx.Exec(t.Context(), "SET LOCAL ROLE "+clerk); err != nil {
						return err
					}
				}
				answer, err := b.publish(t.Context(), tx, fmt.Sprintf("%s:%s-%d-%d", who, round, i, n))
				if err == nil {
					err = tx.Commit(t.Context())
				}
				if err == nil {
					err = check(answer)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	acked := func(on string) func(map[string]any) error {
		return func(answer map[string]any) error {
			if answer["success"] != true || answer["subject"] != on {
				return fmt.Errorf("wanted an ack on %s: %v", on, answer)
			}
			return nil
		}
	}
	publishAll("before", acked("webhooks.orders"))
	require.LessOrEqual(t, first.Accepted(), 2*pool, "one connection for each backend")

	b.must(t, "UPDATE rule_webhooks SET nats_subject = 'webhooks.changed'")
	b.must(t, "UPDATE rule_nats_config SET nats_url = $1, "+ample, second.URL())
	publishAll("after", acked("webhooks.changed"))
	require.LessOrEqual(t, second.Accepted(), 2*pool)
	require.Eventually(t, func() bool { return first.Standing() == 0 }, patience, 20*time.Millisecond,
		"the connections of the old configuration end")

	all := 2 * 2 * clients * events
	require.Equal(t, all, b.count(t, "SELECT count(*) FROM rule_nats_publish_history WHERE success"))
	require.Equal(t, all, b.stored(t))
	require.Zero(t, b.count(t, "SELECT count(*) FROM rule_nats_publish_history WHERE triggered_by <> split_part(message_id, ':', 1)"))
}
