package flow

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

func TestARecordOfASuccessIsSmallAndOneOfAFailureKeepsWhatWasSaid(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			said := "not today: " + strings.Repeat("x", 5000)
			b.Endpoint.Script(endpoint.Answer{Status: 503, Body: said}, endpoint.Answer{Body: said})
			b.worker(t, "CONSUMER_NAME=webhook-worker-1") // its name is part of a record
			const event = "0192f0c1-5d5e-7c3a-9a52-7f1d6f0c2a11"
			publish(t, b.application, id, event)
			b.arrived(t, event, event)
			b.settled(t)

			b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'again' AND answer = $1 AND status = 503", said[:1024])
			b.count(t, 1, `SELECT count(*) FROM rule_webhook_attempts a WHERE outcome = 'delivered' AND try = 2 AND status = 200
				AND answer IS NULL AND error_message IS NULL AND duration_ms >= 0 AND pg_column_size(a.*) <= 200`)
		})
	}
}

func TestAnIdleWorkersStatsAreFreshUntilItStops(t *testing.T) {
	b := setup(t)
	published(t, b.application, b.webhook(t, "orders", "nats"), "first") // makes the stream
	w := b.worker(t, "CONSUMER_NAME=clerk")
	b.arrived(t, "first")
	b.settled(t)
	seen := func() (at time.Time, active bool) {
		t.Helper()
		require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT last_active_at, active FROM rule_nats_consumer_stats WHERE consumer_name = 'clerk'").Scan(&at, &active))
		return at, active
	}
	last, active := seen()
	require.True(t, active)
	// A busy machine can be late by itself, and not each time.
	fresh := 0
	for deadline := time.Now().Add(2 * patience); fresh < 2; time.Sleep(50 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "more than five seconds pass between two signs of life")
		next, active := seen()
		require.True(t, active)
		if next.Equal(last) {
			continue
		}
		if next.Sub(last) < 7*time.Second {
			fresh++
		}
		last = next
	}
	require.NoError(t, w.Stop())
	_, active = seen()
	require.False(t, active)
}
