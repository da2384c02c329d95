package flow

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

// An endpoint that answers each request soon and well is slow all the same when thousands of its events stand before
// those of others: no event of it waits for long in the worker, and all the others wait for all of them.
func TestABacklogOfAnEndpointThatAnswersSoonAndIsNotQuickDelaysNobody(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				if strings.HasPrefix(r.Path, "/slow") {
					return endpoint.Answer{Delay: 200 * time.Millisecond}
				}
				return endpoint.Answer{}
			})
			const backlog = 1200
			slow, well := b.webhook(t, "slow", mode), b.webhook(t, "well", mode)
			b.must(t, "SELECT count(rule_webhook_call_unified($1, '{}', 'slow-' || n)) FROM generate_series(1, $2) n", slow, backlog)
			events := names("well", 10)
			for _, event := range events {
				publish(t, b.application, well, event)
			}
			// 40 a second: they would take most of a minute.
			b.worker(t, "BATCH_SIZE=8")

			b.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND webhook_id = $1", well)
			var delivered int
			require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT count(*) FROM rule_webhook_attempts WHERE webhook_id = $1", slow).Scan(&delivered))
			require.Less(t, delivered, backlog/4)
			b.must(t, "UPDATE rule_webhooks SET webhook_url = $2 WHERE webhook_id = $1", slow, b.Endpoint.URL()+"/quick")
			b.count(t, backlog, "SELECT count(DISTINCT message_id) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND webhook_id = $1", slow)
			b.settled(t)
			b.count(t, backlog, "SELECT count(*) FROM rule_webhook_attempts WHERE webhook_id = $1", slow)
		})
	}
}
