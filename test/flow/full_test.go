package flow

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

func TestAStreamThatIsFullWhileItsEventsAreTriedAgainLosesNothing(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.must(t, "UPDATE rule_nats_streams SET max_messages = 5 WHERE stream_name = $1", system.Stream)
	var back atomic.Bool
	b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		switch {
		case back.Load():
			return endpoint.Answer{}
		case r.ID() == "early-1":
			return endpoint.Answer{Status: 429, Header: http.Header{"Retry-After": {"3600"}}}
		}
		return endpoint.Answer{Status: 503}
	})
	early, late := names("early", 5), names("late", 5)
	for _, event := range early {
		published(t, b.application, id, event)
	}
	for _, event := range late {
		require.Equal(t, false, publish(t, b.application, id, event)["nats"]["success"])
	}
	b.worker(t)
	// One leaves the full stream, so that one of the others finds room in it.
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_queue WHERE message_id = 'early-1' AND status = 'pending' AND route = 'post'")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_queue WHERE message_id LIKE 'late%' AND route <> 'publish'")
	b.inStream(t, 5)
	b.count(t, 4, "SELECT count(*) FROM rule_webhook_queue WHERE message_id LIKE 'late%' AND route = 'publish'")

	back.Store(true)
	b.must(t, "UPDATE rule_webhook_queue SET next_retry_at = now() WHERE message_id = 'early-1'")
	// It takes as long as the breaker stays open.
	require.Eventually(t, func() bool { return b.deliveredTo(t, id) == 10 }, 2*patience, 20*time.Millisecond)
	b.settled(t)
	b.count(t, 0, "SELECT count(*) FROM rule_webhook_dead_letters")
	b.count(t, 5, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id LIKE 'late%' AND outcome = 'delivered' AND path = 'stream'")
}

func TestWhatWaitedForNATSReachesTheStreamInItsOrder(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "event-0") // makes the stream
	b.NATS.Stop()
	events := names("event", 60)
	for _, event := range events {
		require.Equal(t, "queue", publish(t, b.application, id, event)["nats"]["fallback"])
	}
	require.NoError(t, b.NATS.StartAgain())
	// They publish, and leave what is in the stream to others.
	for n := range 3 {
		b.worker(t, fmt.Sprint("CONSUMER_NAME=clerk-", n), "WORKER_SOURCES=queue", "BATCH_SIZE=5", "NATS_URL="+b.NATSURL())
	}
	b.inStream(t, uint64(1+len(events)))

	_, js := natsserver.Connect(t, b.NATS.URL())
	stream, err := js.Stream(t.Context(), system.Stream)
	require.NoError(t, err)
	var order []string
	for sequence := range 1 + len(events) {
		message, err := stream.GetMsg(t.Context(), uint64(1+sequence))
		require.NoError(t, err)
		order = append(order, string(message.Data))
	}
	var want []string
	for _, event := range slices.Concat([]string{"event-0"}, events) {
		want = append(want, bodyOf(event))
	}
	require.Equal(t, want, order)
}

func TestWhatWaitsForNATSLongerThanAMinuteIsPosted(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "before")
	b.worker(t)
	b.arrived(t, "before")
	b.settled(t)
	b.NATS.Stop()
	events := names("away", 3)
	for _, event := range events {
		publish(t, b.application, id, event)
	}
	b.count(t, 3, "SELECT count(*) FROM rule_webhook_queue WHERE status = 'pending' AND route = 'publish'")
	b.arrived(t, "before")
	// A minute passes.
	b.must(t, "UPDATE rule_webhook_queue SET created_at = created_at - interval '61 s'")
	b.must(t, "UPDATE rule_nats_consumer_stats SET reached_at = reached_at - interval '61 s'")
	b.arrived(t, "before", "away-1", "away-2", "away-3")
	b.count(t, 3, "SELECT count(*) FROM rule_webhook_attempts WHERE path = 'queue' AND outcome = 'delivered'")
	require.NoError(t, b.NATS.StartAgain())
	publish(t, b.application, id, "after")
	b.arrived(t, "before", "away-1", "away-2", "away-3", "after")
	b.settled(t)
}
