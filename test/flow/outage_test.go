package flow

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhileNATSIsAwayEventsWaitInTheQueueAndArriveAfterwards(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.worker(t)
	published(t, b.application, id, "before")
	b.arrived(t, "before")

	b.NATS.Stop()
	tx := begin(t, b.application)
	for _, event := range names("away", 3) {
		answer := publish(t, tx, id, event)["nats"]
		require.Equal(t, false, answer["success"], "%v", answer)
		require.Equal(t, "queue", answer["fallback"], "%v", answer)
		require.NotNil(t, answer["queue_id"])
	}
	require.NoError(t, tx.Commit(t.Context()))
	b.count(t, 3, "SELECT count(*) FROM rule_webhook_queue WHERE status = 'pending' AND route = 'publish'")
	b.count(t, 3, "SELECT count(*) FROM rule_nats_publish_history WHERE NOT success AND error_message <> ''")

	require.NoError(t, b.NATS.StartAgain())
	b.arrived(t, "before", "away-1", "away-2", "away-3")
	b.settled(t)
	// By the stream or, where this session is not connected again yet, by the queue.
	publish(t, b.application, id, "after")
	b.arrived(t, "before", "away-1", "away-2", "away-3", "after")
}

func TestWhileNATSIsAwayARollbackStillDeliversNothing(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "before")
	b.NATS.Stop()
	tx := begin(t, b.application)
	publish(t, tx, id, "rolled-back")
	require.NoError(t, tx.Rollback(t.Context()))
	publish(t, b.application, id, "committed")
	require.NoError(t, b.NATS.StartAgain())

	b.worker(t)
	b.arrived(t, "before", "committed")
	b.settled(t)
	b.arrived(t, "before", "committed")
}
