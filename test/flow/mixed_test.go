package flow

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/system"
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

			webhooks := []int32{inStream, inQueue}
			n := b.untilTwoDeliver(t, func(event string, n int) { publish(t, b.application, webhooks[n%2], event) })
			// It dies with requests on the wire, and others have yet to come.
			answer := make(chan struct{})
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Until: answer} })
			events := names("event", n+60)
			for i, event := range events[n:] {
				publish(t, b.application, webhooks[i%2], event)
			}
			b.count(t, 1, "SELECT least(count(*), 1) FROM ("+leasedEvents+") l WHERE leased_by = 'dies'")
			dies.Kill()
			close(answer)
			require.NoError(t, lives.Stop())
			b.count(t, 0, "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", system.Carrier)
			rows, err := b.admin.Query(t.Context(), "SELECT message_id FROM ("+leasedEvents+") l")
			require.NoError(t, err)
			untold, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
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
					require.Contains(t, untold, id, "only what the dead one had sent and not told comes again")
				}
			}
			b.count(t, 1+len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
		})
	}
}

// leasedEvents are the events that workers hold.
const leasedEvents = `SELECT webhook_id, message_id, leased_by FROM rule_webhook_queue WHERE status = 'processing'
	UNION SELECT webhook_id, message_id, leased_by FROM rule_webhook_receipts WHERE state = 'leased'`

// untilTwoDeliver publishes events, event-1 and so on, until each of two workers has delivered one, and answers how many.
func (b *bundle) untilTwoDeliver(t *testing.T, publish func(event string, n int)) (n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		for range 20 {
			n++
			publish(fmt.Sprint("event-", n), n)
		}
		if b.sum(t, "SELECT count(DISTINCT worker) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND message_id LIKE 'event-%'") == 2 {
			return n
		}
		require.True(t, time.Now().Before(deadline), "one of the two delivers nothing of %d events", n)
		time.Sleep(100 * time.Millisecond)
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

	shared := names("event", b.untilTwoDeliver(t, func(event string, _ int) { publish(t, b.application, twice, event) }))
	retried := names("retried", 20)
	for _, event := range retried {
		published(t, b.application, failing, event)
	}
	for range 100 {
		shared = append(shared, fmt.Sprint("event-", len(shared)+1))
		publish(t, b.application, twice, shared[len(shared)-1])
	}
	openMS, tries := b.open(t, failing, 0)
	thenMS, thenTries := b.open(t, failing, openMS)
	// Each that is let through and fails doubles the time.
	require.Equal(t, thenMS, openMS<<(thenTries-tries), "one event is let through, not one for each kind")

	back.Store(true)
	require.Eventually(t, func() bool { return b.deliveredTo(t, twice)+b.deliveredTo(t, failing) == len(shared)+len(retried) },
		3*patience, 20*time.Millisecond)
	b.settled(t)
	require.ElementsMatch(t, shared, to("/twice"))
	b.count(t, len(shared)+len(retried), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
	b.count(t, len(b.Endpoint.Requests()), "SELECT count(*) FROM rule_webhook_attempts")
	b.count(t, 0, "SELECT count(*) FROM (SELECT FROM rule_webhook_attempts GROUP BY message_id HAVING max(try) <> count(*)) a")
}

// open waits until a webhook's breaker is open for longer than that, and no worker has an event of it in hand. It answers
// for how long it is open, and how many tries there were until then.
func (b *bundle) open(t *testing.T, webhook int32, longerThan int) (openMS, tries int) {
	t.Helper()
	require.Eventually(t, func() bool {
		return b.admin.QueryRow(t.Context(), `SELECT open_ms, (SELECT count(*) FROM rule_webhook_attempts WHERE webhook_id = $1)
			FROM rule_webhook_endpoints WHERE webhook_id = $1 AND breaker_state = 'open' AND open_ms > $2
			AND NOT EXISTS (SELECT FROM (`+leasedEvents+`) l WHERE l.webhook_id = $1)`, webhook, longerThan).Scan(&openMS, &tries) == nil
	}, patience, 20*time.Millisecond)
	return openMS, tries
}

func TestAMixedGroupSharesLimits(t *testing.T) {
	b := setup(t)
	const takes = 30 * time.Millisecond
	orders, other := limited(t, b, "nats", "max_concurrent = 3", takes)
	answer := make(chan struct{})
	b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		if r.Path == "/orders" {
			return endpoint.Answer{Delay: takes, Until: answer}
		}
		return endpoint.Answer{}
	})
	for _, kind := range []worker.Kind{worker.Go, worker.NodeJS} {
		kind.Run(t, b.WorkerEnv("CONSUMER_NAME="+string(kind))...)
	}
	ids := b.backlog(t, orders, 120, other, 20)
	b.Endpoint.Wait(t, 3+20, patience)
	b.count(t, 2, "SELECT count(*) FROM rule_nats_consumer_stats WHERE active AND updated_at > created_at")
	at := func() (all []time.Time) {
		for _, r := range b.Endpoint.Requests() {
			if r.Path == "/orders" {
				all = append(all, r.At)
			}
		}
		slices.SortFunc(all, time.Time.Compare)
		return all
	}
	require.Len(t, at(), 3)
	close(answer)
	n := b.untilTwoDeliver(t, func(event string, _ int) { publish(t, b.application, orders, event) })
	ids = append(ids, names("event", n)...)
	b.Endpoint.Wait(t, len(ids), 3*patience)
	b.settled(t)
	b.arrived(t, ids...)
	require.LessOrEqual(t, most(at(), takes), 3)
}
