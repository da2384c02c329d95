package flow

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/proxy"
)

// A worker that acked or terminated first would lose the event with its own death.
func TestAMessageStaysInTheStreamUntilItsOutcomeIsInPostgres(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		ends   string
	}{
		{"delivered", 200, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'"},
		{"dead letter", 400, "SELECT count(*) FROM rule_webhook_dead_letters WHERE message_id = 'event'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", "nats")
			b.must(t, "UPDATE rule_webhooks SET max_retries = 0 WHERE webhook_id = $1", id)
			line, env := b.databaseLine(t)
			// Everything else gets through: a call that cannot even connect fails after 15 s.
			line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
				if !fromServer && bytes.Contains(piece, []byte("rule_worker_report")) {
					return proxy.Reset
				}
				return proxy.Pass
			})
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Status: c.status} })
			published(t, b.application, id, "event")
			w := b.worker(t, env, "METRICS_ADDR=127.0.0.1:0")
			becomes(t, w, "/metrics", http.StatusOK, `webhook_worker_database_call_failures_total{call="report"}`)
			w.Kill()
			b.inStream(t, 1)
			b.count(t, 0, "SELECT count(*) FROM rule_webhook_attempts")

			b.leasesRunOut(t)
			b.worker(t)
			b.count(t, 1, c.ends)
			b.settled(t)
			require.Len(t, b.Endpoint.Requests(), 2)
		})
	}
}
