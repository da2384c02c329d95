package flow

import (
	"sync/atomic"
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

// What keeps workers away from an endpoint, and from an event that another one has, stands in the database.
func TestAMixedGroupSharesBreakersAndReceipts(t *testing.T) {
	b := setup(t)
	failing, twice := b.webhook(t, "failing", "nats"), b.webhook(t, "twice", "both")
	var back atomic.Bool
	b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		if r.Path == "/failing" && !back.Load() {
			return endpoint.Answer{Status: 503}
		}
		return endpoint.Answer{Delay: 20 * time.Millisecond}
	})
	to := func(path string) (ids []string) {
		for _, r := range b.Endpoint.Requests() {
			if r.Path == path {
				ids = append(ids, r.ID())
			}
		}
		return ids
	}
	for _, kind := range []worker.Kind{worker.Go, worker.NodeJS} {
		kind.Run(t, b.WorkerEnv("BATCH_SIZE=4", "CONSUMER_NAME="+string(kind))...)
	}
	b.count(t, 2, "SELECT count(*) FROM rule_nats_consumer_stats WHERE active")

	shared := names("shared", 100)
	for _, event := range shared {
		publish(t, b.application, twice, event)
	}
	retried := names("retried", 20)
	for _, event := range retried {
		published(t, b.application, failing, event)
	}
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_endpoints WHERE breaker_state = 'open' AND open_ms = 2000")
	before := len(to("/failing"))
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_endpoints WHERE breaker_state = 'open' AND open_ms = 4000")
	require.Len(t, to("/failing"), before+1, "one event is let through, not one for each kind")

	back.Store(true)
	b.count(t, len(shared)+len(retried), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
	b.settled(t)
	require.ElementsMatch(t, shared, to("/twice"))
	b.count(t, 2, "SELECT count(DISTINCT worker) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
	b.count(t, len(b.Endpoint.Requests()), "SELECT count(*) FROM rule_webhook_attempts")
	b.count(t, 0, "SELECT count(*) FROM (SELECT FROM rule_webhook_attempts GROUP BY message_id HAVING max(try) <> count(*)) a")
}

func TestAMixedGroupSharesLimits(t *testing.T) {
	b := setup(t)
	const takes = 30 * time.Millisecond
	orders, other := limited(t, b, "nats", "max_concurrent = 3", takes)
	for _, kind := range []worker.Kind{worker.Go, worker.NodeJS} {
		kind.Run(t, b.WorkerEnv("CONSUMER_NAME="+string(kind))...)
	}
	ids := b.backlog(t, orders, 120, other, 20)
	b.Endpoint.Wait(t, len(ids), 3*patience)
	b.settled(t)
	b.arrived(t, ids...)
	require.Equal(t, 3, most(arrivals(b.Endpoint.Requests(), "orders"), takes))
	b.count(t, 2, "SELECT count(DISTINCT worker) FROM rule_webhook_attempts WHERE webhook_id = $1", orders)
}
