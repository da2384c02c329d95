package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

// limited sets up a webhook "orders" with a limit beside one without. The endpoint takes its time over orders.
func limited(t *testing.T, b *bundle, mode, limit string, takes time.Duration) (orders, other int32) {
	t.Helper()
	orders, other = b.webhook(t, "orders", mode), b.webhook(t, "other", mode)
	b.must(t, "UPDATE rule_webhooks SET timeout_ms = 300000, "+limit+" WHERE webhook_id = $1", orders)
	b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		if r.Path == "/orders" {
			return endpoint.Answer{Delay: takes}
		}
		return endpoint.Answer{}
	})
	return orders, other
}

// backlog publishes so many events of the limited webhook, then some of the other.
func (b *bundle) backlog(t *testing.T, orders int32, n int, other int32, m int) (ids []string) {
	t.Helper()
	_, err := b.application.Exec(t.Context(), `SELECT rule_webhook_call_unified($1, '{}', format('orders-%s', n)) FROM generate_series(1, $2) n`, orders, n)
	require.NoError(t, err)
	_, err = b.application.Exec(t.Context(), `SELECT rule_webhook_call_unified($1, '{}', format('other-%s', n)) FROM generate_series(1, $2) n`, other, m)
	require.NoError(t, err)
	return append(names("orders", n), names("other", m)...)
}

// arrivals are the times at which events of a webhook arrived, in order.
func arrivals(requests []endpoint.Request, name string) []time.Time {
	var all []time.Time
	for _, r := range requests {
		if strings.HasPrefix(r.ID(), name+"-") {
			all = append(all, r.At)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// most is how many of some times lie within any span of this length.
func most(at []time.Time, span time.Duration) int {
	n, first := 0, 0
	for i := range at {
		for at[i].Sub(at[first]) >= span {
			first++
		}
		n = max(n, i-first+1)
	}
	return n
}

// sum is what a query gives now.
func (b *bundle) sum(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.admin.QueryRow(t.Context(), sql, args...).Scan(&n), sql)
	return n
}

// byTwoWorkers has two workers deliver n events of the limited webhook, over which the endpoint takes its time, and some
// of the other, each once, and answers when those of the limited one arrived. The other does not wait behind them: the
// second half of them is answered only when all of the other's have come.
func (b *bundle) byTwoWorkers(t *testing.T, orders int32, n int, other int32, takes time.Duration) []time.Time {
	t.Helper()
	const others = 20
	limitedCame, othersCame, all := 0, 0, make(chan struct{})
	b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		if r.Path == "/orders" {
			if limitedCame++; limitedCame <= n/2 {
				return endpoint.Answer{Delay: takes}
			}
			return endpoint.Answer{Delay: takes, Until: all}
		}
		if othersCame++; othersCame == others {
			close(all)
		}
		return endpoint.Answer{}
	})
	ids := b.backlog(t, orders, n, other, others)
	b.worker(t, "CONSUMER_NAME=first")
	b.worker(t, "CONSUMER_NAME=second")
	b.Endpoint.Wait(t, len(ids), 3*patience)
	b.settled(t)
	b.arrived(t, ids...)
	return arrivals(b.Endpoint.Requests(), "orders")
}

// bothTake publishes until each of two workers has delivered some of a webhook's events: one that began late found none left.
func (b *bundle) bothTake(t *testing.T, webhook int32) {
	t.Helper()
	for n, deadline := 1, time.Now().Add(patience); b.sum(t, "SELECT count(DISTINCT worker) FROM rule_webhook_attempts WHERE webhook_id = $1", webhook) < 2; n++ {
		require.True(t, time.Now().Before(deadline), "one worker takes all")
		publish(t, b.application, webhook, fmt.Sprint("more-", n))
	}
}

var everyMode = []string{"queue", "nats", "both"}

func TestAnEndpointsLimitOfConcurrentRequestsHoldsForAllWorkers(t *testing.T) {
	for _, mode := range everyMode {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			const takes = 30 * time.Millisecond
			orders, other := limited(t, b, mode, "max_concurrent = 3", takes)
			at := b.byTwoWorkers(t, orders, 200, other, takes)
			require.Equal(t, 3, most(at, takes))
			b.bothTake(t, orders)
		})
	}
}

func TestAnEndpointsLimitPerSecondHoldsForAllWorkers(t *testing.T) {
	for _, mode := range everyMode {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			orders, other := limited(t, b, mode, "max_per_second = 20", 0)
			b.byTwoWorkers(t, orders, 120, other, 0)
			rows, err := b.admin.Query(t.Context(), `SELECT started_at FROM rule_webhook_queue WHERE webhook_id = $1
				UNION ALL SELECT taken_at FROM rule_webhook_receipts WHERE webhook_id = $1 ORDER BY 1`, orders)
			require.NoError(t, err)
			taken, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
			require.NoError(t, err)
			require.Len(t, taken, 120)
			// 25, and a little for a call that began before another and took its events after it.
			require.LessOrEqual(t, most(taken, time.Second), 30)
			// In its best second a machine that is busy with other things shows it, too.
			require.Greater(t, most(taken[30:], time.Second), 15, "the limit is not used")
		})
	}
}

func TestAKilledWorkersShareOfALimitComesBack(t *testing.T) {
	for _, mode := range everyMode {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			orders, other := limited(t, b, mode, "max_concurrent = 3", 0)
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer { return endpoint.Answer{Hang: r.Path == "/orders"} })
			ids := b.backlog(t, orders, 30, other, 1)
			first := b.worker(t, "CONSUMER_NAME=first")
			b.Endpoint.Wait(t, 4, patience)
			second := b.worker(t, "CONSUMER_NAME=second")
			n := 1
			for b.sum(t, "SELECT count(*) FROM rule_webhook_attempts WHERE worker = 'second'") == 0 {
				n++
				publish(t, b.application, other, fmt.Sprintf("other-%d", n))
				b.Endpoint.Wait(t, 3+n, patience)
			}
			require.Len(t, arrivals(b.Endpoint.Requests(), "orders"), 3, "the first worker has all places")
			// What the one to be killed has not recorded would arrive twice.
			b.count(t, n, "SELECT count(*) FROM rule_webhook_attempts")
			require.NoError(t, second.Stop())
			first.Kill()
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{} })
			b.leasesRunOut(t)

			b.worker(t, "CONSUMER_NAME=third")
			b.settled(t)
			require.Subset(t, idsOf(b.Endpoint.Requests()), ids)
			// What the killed one was sending arrived twice, and nothing else did.
			require.Len(t, b.Endpoint.Requests(), 3+30+n)
		})
	}
}

func TestLimitsHoldWithAQueueInPgmq(t *testing.T) {
	b := setupPgmq(t)
	const takes = 20 * time.Millisecond
	orders, other := limited(t, b, "queue", "max_concurrent = 3, max_per_second = 100", takes)
	at := b.byTwoWorkers(t, orders, 60, other, takes)
	require.Equal(t, 3, most(at, takes))
	// A message that a worker had read in the moment of the delivery is hidden until its lease is over, and then maintenance deletes it.
	require.Eventually(t, func() bool {
		b.must(t, "UPDATE pgmq.q_rule_webhook_1 SET vt = clock_timestamp()")
		b.must(t, "SELECT rule_engine_maintain()")
		return b.sum(t, "SELECT count(*) FROM pgmq.q_rule_webhook_1") == 0
	}, patience, 50*time.Millisecond)
}
