package flow

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/worker"
)

// Workers in different languages are one group: they share its consumer, its leases and its receipts.
func TestAMixedGroupSharesTheWorkAndOutlivesEitherKind(t *testing.T) {
	for _, c := range []struct{ dies, lives worker.Kind }{{worker.Go, worker.NodeJS}, {worker.NodeJS, worker.Go}} {
		t.Run(string(c.dies)+" dies", func(t *testing.T) {
			b := setup(t)
			inStream, inQueue := b.webhook(t, "orders", "nats"), b.webhook(t, "bills", "queue")
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Delay: 50 * time.Millisecond} })
			published(t, b.application, inStream, "before") // makes the stream
			run := func(kind worker.Kind, name string) *worker.Process {
				return kind.Run(t, b.WorkerEnv("BATCH_SIZE=4", "CONSUMER_NAME="+name)...)
			}
			dies, lives := run(c.dies, "dies"), run(c.lives, "lives")
			b.count(t, 2, "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE application_name LIKE 'webhook-worker %'")

			// By now the group has its consumer; else the one that dies may be gone before it looks at the stream.
			b.arrived(t, "before")

			events := names("event", 120)
			for i, event := range events {
				publish(t, b.application, []int32{inStream, inQueue}[i%2], event)
			}
			delivered := "SELECT least(count(*), 1) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND worker = $1 AND message_id <> 'before'"
			b.count(t, 1, delivered, "dies")
			b.count(t, 1, delivered, "lives")
			dies.Kill()
			require.Less(t, len(b.Endpoint.Requests()), 1+len(events), "it must die in the middle")
			require.NoError(t, lives.Stop())
			sent := b.unreported(t)
			b.leasesRunOut(t)
			run(c.lives, "heir")
			b.settled(t)

			times := map[string]int{}
			for _, id := range idsOf(b.Endpoint.Requests()) {
				times[id]++
			}
			require.Len(t, times, 1+len(events))
			for id, n := range times {
				if n > 1 {
					require.Contains(t, sent, id, "only what the dead one had sent and not told comes again")
				}
			}
			b.count(t, 1+len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
		})
	}
}
