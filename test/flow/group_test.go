package flow

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/proxy"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

// refuses waits for the end of a worker that can never work, and answers the line that says why.
func refuses(t *testing.T, w *worker.Process, variable string) string {
	t.Helper()
	require.ErrorContains(t, w.Wait(patience), "exit status 2")
	var said []string
	for _, line := range strings.Split(w.Log(), "\n") {
		if strings.Contains(line, variable+": ") {
			said = append(said, line)
		}
	}
	require.Len(t, said, 1, w.Log())
	require.True(t, strings.HasPrefix(said[0], variable+": "), said[0])
	require.True(t, strings.HasSuffix(w.Log(), said[0]), "it is the last word:\n%s", w.Log())
	return said[0]
}

func TestGroupsWithOverlappingSubjectsAreRefusedAtTheStart(t *testing.T) {
	for _, retention := range []string{"workqueue", "limits", "interest"} {
		t.Run(retention, func(t *testing.T) {
			b := setup(t)
			b.retains(t, retention)
			id := b.webhook(t, "orders", "nats")
			b.worker(t)
			require.Eventually(t, func() bool { waiting, ok := b.consumes(t, system.Group); return ok && waiting > 0 }, patience, 20*time.Millisecond)
			published(t, b.application, id, "first")
			b.arrived(t, "first")

			line := refuses(t, b.worker(t, "QUEUE_GROUP=others", "SUBJECT=webhooks.orders"), "SUBJECT")
			require.Contains(t, line, "webhooks.orders")
			require.Contains(t, line, system.Stream)
			_, made := b.consumes(t, "others")
			require.False(t, made, "it would keep what the other group takes")
			published(t, b.application, id, "second")
			b.arrived(t, "first", "second")
		})
	}
}

func TestOfTwoGroupsThatOverlapTheYoungerOneIsRefused(t *testing.T) {
	b := setup(t)
	b.retains(t, "limits")
	id := b.webhook(t, "orders", "nats")
	_, js := natsserver.Connect(t, b.NATS.URL())
	make := func(group, subject string, ackWait time.Duration) {
		_, err := js.CreateConsumer(t.Context(), system.Stream, jetstream.ConsumerConfig{
			Durable: group, FilterSubject: subject, AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: ackWait, MaxDeliver: -1, MaxAckPending: 100_000,
		})
		require.NoError(t, err)
	}
	const ours = 75 * time.Second
	// Somebody's own consumer and a group of another part are nobody's business.
	make("somebody", ">", 30*time.Second)
	make("bills", "webhooks.bills.>", ours)
	make("older", "webhooks.orders", ours)
	make("younger", "webhooks.*", ours)

	line := refuses(t, b.worker(t, "QUEUE_GROUP=younger", "SUBJECT=webhooks.*"), "SUBJECT")
	require.Contains(t, line, "the group older ")
	w := b.worker(t, "QUEUE_GROUP=older", "SUBJECT=webhooks.orders")
	published(t, b.application, id, "first")
	b.arrived(t, "first")
	require.True(t, w.Running())
}

// Neither makes its consumer before both have looked for others'.
func TestOfTwoGroupsThatOverlapAndBeginAtOnceOneIsRefused(t *testing.T) {
	for _, retention := range []string{"limits", "interest"} {
		t.Run(retention, func(t *testing.T) {
			b := setup(t)
			b.retains(t, retention)
			id := b.webhook(t, "orders", "nats")
			line := proxy.Run(t, b.NATS.URL())
			var looked atomic.Int32
			both := make(chan struct{})
			line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
				if !fromServer && bytes.Contains(piece, []byte("$JS.API.CONSUMER.CREATE.")) {
					if looked.Add(1) == 2 {
						close(both)
					}
					<-both
				}
				return proxy.Pass
			})
			groups := map[string]*worker.Process{
				"one":   b.worker(t, "NATS_URL="+line.URL(), "QUEUE_GROUP=one", "SUBJECT=webhooks.orders"),
				"other": b.worker(t, "NATS_URL="+line.URL(), "QUEUE_GROUP=other", "SUBJECT=webhooks.*"),
			}

			goesOn, refused := "one", "other"
			require.Eventually(t, func() bool { return !groups["one"].Running() || !groups["other"].Running() }, patience, 20*time.Millisecond)
			if !groups[goesOn].Running() {
				goesOn, refused = refused, goesOn
			}
			require.Contains(t, refuses(t, groups[refused], "SUBJECT"), "the group "+goesOn+" ")
			_, left := b.consumes(t, refused)
			require.False(t, left, "it would keep what the other group takes")
			published(t, b.application, id, "first")
			b.arrived(t, "first")
			require.True(t, groups[goesOn].Running())
		})
	}
}

// retains makes the stream one that keeps messages for another reason than that nobody took them.
func (b *bundle) retains(t *testing.T, retention string) {
	t.Helper()
	b.must(t, "SELECT rule_nats_stream_create($1, '{webhooks.>}', p_retention_policy => $2, p_max_age_seconds => 0)", system.Stream, retention)
	b.must(t, "SELECT rule_nats_init()")
}

// consumes tells how many requests wait at a group's consumer, where there is one.
func (b *bundle) consumes(t *testing.T, group string) (waiting int, there bool) {
	t.Helper()
	_, js := natsserver.Connect(t, b.NATS.URL())
	consumer, err := js.Consumer(t.Context(), system.Stream, group)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, false
	}
	require.NoError(t, err)
	return consumer.CachedInfo().NumWaiting, true
}

func TestAConsumerThatDiffersIsNamedAndLeftAsItIs(t *testing.T) {
	b := setup(t)
	published(t, b.application, b.webhook(t, "orders", "nats"), "first") // makes the stream
	_, js := natsserver.Connect(t, b.NATS.URL())
	_, err := js.CreateConsumer(t.Context(), system.Stream, jetstream.ConsumerConfig{
		Durable: system.Group, FilterSubject: "webhooks.>", AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 30 * time.Second, MaxAckPending: 100_000,
	})
	require.NoError(t, err)

	line := refuses(t, b.worker(t), "QUEUE_GROUP")
	require.Contains(t, line, "ack_wait")
	consumer, err := js.Consumer(t.Context(), system.Stream, system.Group)
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, consumer.CachedInfo().Config.AckWait)
	require.Empty(t, b.Endpoint.Requests())
}

func TestAWorkerWaitsForItsStream(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	w := b.worker(t)
	require.Eventually(t, func() bool { return strings.Contains(w.Log(), "waiting for the stream") }, patience, 20*time.Millisecond)
	published(t, b.application, id, "first")
	b.arrived(t, "first")
	b.settled(t)
	require.Equal(t, 1, strings.Count(w.Log(), "waiting for the stream"), w.Log())
}

// While endpoints are the bottleneck, what counts is how many requests are under way at once.
func TestEachWorkerOfAGroupBringsItsOwnRequests(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			b.must(t, "UPDATE rule_webhooks SET timeout_ms = 300000")
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Hang: true} })
			for _, event := range names("event", 60) {
				publish(t, b.application, id, event)
			}
			const each = 3
			for n := range 4 {
				b.worker(t, "BATCH_SIZE=3")
				require.Len(t, b.Endpoint.Await(each*(n+1), patience), each*(n+1))
			}
			// Another one, that was late, would be among them now.
			b.count(t, 4, "SELECT count(*) FROM rule_nats_consumer_stats WHERE active AND updated_at > created_at")
			require.Len(t, b.Endpoint.Requests(), 4*each)
		})
	}
}

// Longer than the ack wait: what waits for its turn in one worker must not come to another. The consumer's ack wait
// is cut to little more than the 25 s after which workers tell NATS that they still hold a message.
func TestWhatAWorkerHoldsLongerThanTheAckWaitStaysItsOwn(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000 WHERE webhook_id = $1", id)
	const ackWait, held = 35 * time.Second, 42 * time.Second
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Delay: held} })
	w := b.worker(t, "BATCH_SIZE=4")
	events := names("event", 4)
	for _, event := range events {
		published(t, b.application, id, event)
	}
	b.Endpoint.Wait(t, 4, patience)
	second := b.worker(t, "BATCH_SIZE=4")
	// From now on neither looks at what the consumer is.
	require.Eventually(t, func() bool { waiting, _ := b.consumer(t, b.NATSURL()); return waiting == 2 }, patience, 20*time.Millisecond)
	b.waitForAcks(t, ackWait)
	for deadline := time.Now().Add(held + patience); ; time.Sleep(100 * time.Millisecond) {
		var delivered int
		require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT count(*) FROM rule_webhook_attempts").Scan(&delivered))
		if delivered == len(events) {
			break
		}
		require.True(t, time.Now().Before(deadline), "%d delivered", delivered)
	}
	b.settled(t)
	b.arrived(t, events...)
	b.count(t, 4, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND try = 1")
	// Postgres would have kept the second one from sending; it was not asked.
	require.NoError(t, w.Stop())
	require.NoError(t, second.Stop())
	b.count(t, 4, "SELECT sum(messages_delivered) FROM rule_nats_consumer_stats")
}
