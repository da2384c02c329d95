package flow

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATraceGoesFromTheSessionToTheRequest(t *testing.T) {
	for _, mode := range []string{"nats", "queue", "both"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
			tx, err := b.application.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), "SET LOCAL rule_engine.traceparent = '"+trace+"'")
			require.NoError(t, err)
			publish(t, tx, id, "traced")
			require.NoError(t, tx.Commit(t.Context()))
			publish(t, b.application, id, "alone")
			b.worker(t)

			b.arrived(t, "traced", "alone")
			for _, r := range b.Endpoint.Requests() {
				require.Equal(t, map[string]string{"traced": trace, "alone": ""}[r.ID()], r.Header.Get("traceparent"), r.ID())
			}
		})
	}
}

func TestATraceOutlivesAnOutageOfNATS(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	published(t, b.application, id, "before") // makes the stream
	b.NATS.Stop()
	_, err := b.application.Exec(t.Context(), "SET rule_engine.traceparent = '"+trace+"'")
	require.NoError(t, err)
	publish(t, b.application, id, "traced")
	require.NoError(t, b.NATS.StartAgain())
	b.worker(t)

	b.arrived(t, "before", "traced")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'traced' AND path = 'stream'")
	for _, r := range b.Endpoint.Requests() {
		require.Equal(t, map[string]string{"traced": trace, "before": ""}[r.ID()], r.Header.Get("traceparent"), r.ID())
	}
}
