package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"rule_engine/test/interrupt"
	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// The connection stands and the server answers each PING: only the stream is silent.
func TestAWaitForAStreamWithoutALeaderIsInterruptibleAndTheEventGoesIntoTheQueue(t *testing.T) {
	b := setup(t)
	// One that led takes itself for the leader for some seconds, and is silent; a follower would say that nobody listens.
	var killed []*natsserver.Process
	silence := func() {
		for _, p := range killed {
			require.NoError(t, p.StartAgain())
		}
		require.NoError(t, b.nats.Whole(system.Stream))
		alone, err := b.nats.Leader(system.Stream, nil)
		require.NoError(t, err)
		killed = nil
		for _, p := range b.nats.Members {
			if p != alone {
				require.NoError(t, p.Kill())
				killed = append(killed, p)
			}
		}
		_, err = b.admin.Exec(t.Context(), "UPDATE rule_nats_config SET nats_url = $1, connection_timeout_ms = 60000, publish_timeout_ms = 60000", alone.URL())
		require.NoError(t, err)
	}
	silence()
	conn := b.Postgres.Connect(t, system.Database, system.Application)
	tries := 0
	publish := func(behind string) error {
		// The leader knows an id that it has begun to store.
		tries++
		_, err := conn.Exec(context.Background(), fmt.Sprintf("%s SELECT rule_webhook_publish_nats(%d, '{}', 'cancelled-%d')", behind, b.webhook, tries))
		return err
	}
	// again is true of a publish that was answered, as by one that has noticed that it leads nobody: it is to be made again then.
	again := func(err error) bool {
		if err == nil {
			require.Less(t, tries, 1000)
			silence()
			return true
		}
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, "57014", pg.Code)
		return false
	}
	const timeout = 50 * time.Millisecond
	interrupt.Promptly(t, "statement_timeout", func() time.Duration {
		for {
			began := time.Now()
			err := publish(fmt.Sprintf("BEGIN; SET LOCAL statement_timeout = %d;", timeout.Milliseconds()))
			took := time.Since(began) - timeout
			_, ended := conn.Exec(t.Context(), "ROLLBACK")
			require.NoError(t, ended)
			if !again(err) {
				return took
			}
		}
	})
	interrupt.Promptly(t, "a cancel", func() time.Duration {
		for {
			asked, answered := make(chan time.Time, 1), make(chan struct{})
			go func() {
				defer close(asked)
				for {
					var waits bool
					if b.admin.QueryRow(t.Context(), "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $1",
						conn.PgConn().PID()).Scan(&waits) == nil && waits {
						asked <- time.Now()
						_, _ = b.admin.Exec(t.Context(), "SELECT pg_cancel_backend($1)", conn.PgConn().PID())
						return
					}
					select {
					case <-answered:
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
			}()
			err := publish("")
			close(answered)
			at := <-asked
			took := time.Since(at)
			<-asked // the other session is free
			if !again(err) {
				return took
			}
		}
	})

	_, err := b.admin.Exec(t.Context(), "UPDATE rule_nats_config SET publish_timeout_ms = 600")
	require.NoError(t, err)
	var answer map[string]any
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT rule_webhook_publish_nats($1, '{}', 'unanswered')", b.webhook).Scan(&answer))
	// The member that is left may no longer listen by now.
	require.Contains(t, []any{"no_answer", "no_stream"}, answer["error_code"], "%v", answer)
	require.Equal(t, "queue", answer["fallback"])
}

func TestAStreamWithoutALeaderCostsASessionItsTimeoutOnceAndItsReturnIsNoticed(t *testing.T) {
	b := setup(t)
	_, err := b.admin.Exec(t.Context(), "UPDATE rule_nats_config SET connection_timeout_ms = 60000, publish_timeout_ms = 8000, reconnect_delay_ms = 300")
	require.NoError(t, err)
	// Connected to a follower, which stays.
	leader, err := b.nats.Leader(system.Stream, nil)
	require.NoError(t, err)
	var follower *natsserver.Process
	for _, p := range b.nats.Members {
		if p != leader {
			follower = p
		}
	}
	_, err = b.admin.Exec(t.Context(), "UPDATE rule_nats_config SET nats_url = $1, nats_cluster_urls = '{}'", follower.URL())
	require.NoError(t, err)
	conn := b.Postgres.Connect(t, system.Database, system.Application)
	publish := func(id string) (answer map[string]any) {
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT rule_webhook_publish_nats($1, '{}', $2)", b.webhook, id).Scan(&answer))
		return answer
	}
	require.Equal(t, true, publish("before")["success"])
	for _, p := range b.nats.Members {
		if p != follower {
			require.NoError(t, p.Kill())
		}
	}
	// What was on its way is unknown, or the follower says that nobody listens.
	began := time.Now()
	for id := 0; ; id++ {
		answer := publish(fmt.Sprintf("first-%d", id))
		require.NotEqual(t, true, answer["success"], "%v", answer)
		if text, _ := answer["error"].(string); answer["error_code"] == "nats_away" && strings.Contains(text, system.Stream+" does not answer") {
			break
		}
		require.Less(t, time.Since(began), 2*time.Minute, "%v", answer)
	}
	t.Logf("known after %v", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	waited := 0
	for n := 0; n < 200; n++ {
		at := time.Now()
		answer := publish(fmt.Sprintf("ghost-%d", n))
		require.Contains(t, []any{"nats_away", "no_answer", "no_stream"}, answer["error_code"], "%v", answer)
		if answer["error_code"] != "nats_away" {
			waited++
		} else {
			require.Equal(t, false, answer["unknown"], "%v", answer)
			require.Less(t, time.Since(at), 6*time.Second, "it does not wait")
		}
	}
	t.Logf("200 events in %v; %d of them waited", time.Since(began).Round(time.Millisecond), waited)
	require.LessOrEqual(t, waited, 1)

	for _, p := range b.nats.Members {
		if p != follower {
			require.NoError(t, p.StartAgain())
		}
	}
	require.Eventually(t, func() bool { return publish(fmt.Sprint(time.Now().UnixNano()))["success"] == true },
		2*time.Minute, 20*time.Millisecond, "the session publishes again by itself")
	require.NoError(t, b.nats.Whole(system.Stream))
	require.Zero(t, b.inStream(t, "ghost-"), "what was reported as failed is never sent")
}

// inStream counts the messages whose id begins so and that were not unknown.
func (b *bundle) inStream(t *testing.T, prefix string) (n int) {
	t.Helper()
	_, js := natsserver.Connect(t, b.nats.URL())
	var stream jetstream.Stream
	// Just after its members have agreed one of them may not know it yet.
	answered := func(ask func() error) {
		require.Eventually(t, func() bool { return ask() == nil }, time.Minute, 50*time.Millisecond)
	}
	answered(func() (err error) { stream, err = js.Stream(t.Context(), system.Stream); return err })
	state := stream.CachedInfo().State
	for sequence := state.FirstSeq; sequence <= state.LastSeq; sequence++ {
		var message *jetstream.RawStreamMsg
		answered(func() (err error) { message, err = stream.GetMsg(t.Context(), sequence); return err })
		id := message.Header.Get("Rule-Engine-Message-Id")
		if !strings.HasPrefix(id, prefix) {
			continue
		}
		var unknown bool
		require.NoError(t, b.admin.QueryRow(t.Context(),
			"SELECT unknown FROM rule_nats_publish_history WHERE message_id = $1", id).Scan(&unknown))
		if !unknown {
			n++
		}
	}
	return n
}
