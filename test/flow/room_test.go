package flow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// inHand is what workers hold of a webhook.
const inHand = `SELECT (SELECT count(*) FROM rule_webhook_receipts r WHERE r.webhook_id = w.webhook_id AND r.state = 'leased')
	+ (SELECT count(*) FROM rule_webhook_queue q WHERE q.webhook_id = w.webhook_id AND q.status = 'processing')`

func TestEndpointsThatHangDelayNobodyAlsoWithABacklogInFrontOfTheOthersEvents(t *testing.T) {
	for _, c := range []struct {
		name, mode      string
		setup           func(*testing.T) *bundle
		hanging, events int
		more            int // requests to an endpoint than a window begins with: of its messages some were moved before they came
	}{
		{"one in the stream", "nats", func(t *testing.T) *bundle { return setup(t) }, 1, 500, 4},
		// More than the worker has slots, of each as many as it takes.
		{"many in the stream", "nats", func(t *testing.T) *bundle { return setup(t) }, 14, 30, 4},
		{"many in the queue", "queue", func(t *testing.T) *bundle { return setup(t) }, 14, 30, 0},
		{"one in pgmq", "queue", setupPgmq, 1, 300, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.setup(t)
			back := make(chan struct{})
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				if strings.HasPrefix(r.Path, "/away") {
					return endpoint.Answer{Until: back}
				}
				return endpoint.Answer{}
			})
			for n := range c.hanging {
				id := b.webhook(t, fmt.Sprint("away-", n+1), c.mode)
				b.must(t, "SELECT count(rule_webhook_call_unified($1, '{}', $2 || n)) FROM generate_series(1, $3) n", id, fmt.Sprintf("away-%d-", id), c.events)
			}
			b.must(t, "UPDATE rule_webhooks SET timeout_ms = 120000")
			others := names("well", 20)
			well := b.webhook(t, "well", c.mode)
			for _, event := range others {
				publish(t, b.application, well, event)
			}
			b.worker(t)

			b.count(t, len(others), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND webhook_id = $1", well)
			b.count(t, 0, "SELECT count(*) FROM rule_webhook_attempts WHERE webhook_id <> $1", well) // they hang still
			// Of each eight are under way, as many or fewer wait for their turn, and the rest in the queue.
			most := 2 * (8 + c.more)
			b.count(t, c.hanging, "SELECT count(*) FROM rule_webhooks w WHERE webhook_id <> $1 AND ("+inHand+") BETWEEN 9 AND $2", well, most)
			b.count(t, 1, `SELECT (count(*) BETWEEN $1 AND $2)::integer FROM rule_webhook_queue WHERE status = 'pending'`,
				c.hanging*(c.events-most), c.hanging*(c.events-9))
			require.LessOrEqual(t, len(b.Endpoint.Wait(t, len(others)+8*c.hanging, patience)), len(others)+(8+c.more)*c.hanging)
			publish(t, b.application, well, "fresh")
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND message_id = 'fresh'")
			b.count(t, 0, "SELECT count(*) FROM rule_webhook_attempts WHERE webhook_id <> $1", well)

			close(back)
			b.count(t, c.hanging*c.events, "SELECT count(DISTINCT message_id) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND webhook_id <> $1", well)
			b.settled(t)
			b.count(t, c.hanging*c.events, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND webhook_id <> $1", well)
		})
	}
}

// A worker asks for no more than it could hold were each message as large as the server takes them.
func TestEventsThatHangDelayNobodyWhateverTheLargestMessageOfTheServer(t *testing.T) {
	t.Parallel()
	nats := natsserver.Run(t, func(o *server.Options) { o.MaxPayload, o.MaxPending = 64<<20, 256<<20 })
	b := begun(t, system.RunWith(t, nats.URL()))
	away, well := b.webhook(t, "away", "nats"), b.webhook(t, "well", "nats")
	b.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000")
	b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer { return endpoint.Answer{Hang: r.Path == "/away"} })
	for _, event := range names("away", 3) {
		published(t, b.application, away, event)
	}
	events := names("well", 20)
	for _, event := range events {
		published(t, b.application, well, event)
	}
	b.worker(t)
	b.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
	require.Len(t, b.Endpoint.Await(len(events)+3, patience), len(events)+3)
}
