package flow

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
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

func TestATraceMovesWithItsEventFromTheStreamToTheQueue(t *testing.T) {
	b := setup(t)
	retried, held := b.webhook(t, "retried", "nats"), b.webhook(t, "held", "nats")
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	_, err := b.application.Exec(t.Context(), "SET rule_engine.traceparent = '"+trace+"'")
	require.NoError(t, err)
	published(t, b.application, retried, "retried")
	published(t, b.application, held, "held")
	_, err = b.application.Exec(t.Context(), "RESET rule_engine.traceparent")
	require.NoError(t, err)
	published(t, b.application, held, "alone")
	b.must(t, "SELECT rule_webhook_hold($1, 'maintenance')", held)
	b.Endpoint.Script(endpoint.Answer{Status: 429, Header: http.Header{"Retry-After": {"3600"}}}, endpoint.Answer{})
	b.worker(t)
	b.count(t, 3, "SELECT count(*) FROM rule_webhook_queue WHERE status = 'pending'")
	b.inStream(t, 0)

	b.must(t, "SELECT rule_webhook_resume($1)", held)
	b.must(t, "UPDATE rule_webhook_queue SET next_retry_at = now() WHERE status = 'pending'")
	b.arrived(t, "retried", "retried", "held", "alone")
	for _, r := range b.Endpoint.Requests() {
		require.Equal(t, map[string]string{"retried": trace, "held": trace}[r.ID()], r.Header.Get("traceparent"), r.ID())
	}
}
