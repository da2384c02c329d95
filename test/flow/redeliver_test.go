package flow

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (b *bundle) now(t *testing.T) (now time.Time) {
	t.Helper()
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&now))
	return now
}

// redelivered is how many events a redelivery of a time sets going.
func (b *bundle) redelivered(t *testing.T, webhook int32, from, to time.Time, before *time.Time) (events int) {
	t.Helper()
	require.NoError(t, b.admin.QueryRow(t.Context(),
		"SELECT rule_webhook_redeliver(p_webhook_id => $1, p_from => $2, p_to => $3, p_redelivered_before => $4)",
		webhook, from, to, before).Scan(&events))
	return events
}

func TestWhatMovesToTheQueueLaterIsRedeliveredByTheTimeAtWhichItWasPublished(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.must(t, "SELECT rule_webhook_hold($1, 'maintenance')", id)
	from := b.now(t)
	published(t, b.application, id, "one")
	published(t, b.application, id, "two")
	to := b.now(t)
	b.worker(t)
	b.count(t, 2, "SELECT count(*) FROM rule_webhook_queue")
	moved := b.now(t)
	b.must(t, "SELECT rule_webhook_resume($1)", id)
	b.arrived(t, "one", "two")
	b.settled(t)

	require.Zero(t, b.redelivered(t, id, to, moved, nil))
	require.Equal(t, 2, b.redelivered(t, id, from, to, nil))
	b.arrived(t, "one", "two", "one", "two")
}

func TestAReceiverThatLosesItsDataTwiceGetsATimeTwice(t *testing.T) {
	b := setup(t)
	streamed, queued := b.webhook(t, "orders", "nats"), b.webhook(t, "bills", "queue")
	from := b.now(t)
	published(t, b.application, streamed, "streamed")
	publish(t, b.application, queued, "queued")
	to := b.now(t)
	b.worker(t)
	want := []string{"streamed", "queued"}
	b.arrived(t, want...)
	b.settled(t)
	for _, id := range []int32{streamed, queued} {
		require.Equal(t, 1, b.redelivered(t, id, from, to, nil))
	}
	want = append(want, want...)
	b.arrived(t, want...)
	b.settled(t)

	lost := b.now(t)
	b.must(t, "DELETE FROM rule_nats_publish_history")
	for _, id := range []int32{streamed, queued} {
		require.Zero(t, b.redelivered(t, id, from, to, nil))
		require.Equal(t, 1, b.redelivered(t, id, from, to, &lost))
	}
	b.arrived(t, append(want, "streamed", "queued")...)
	b.settled(t)
	for _, id := range []int32{streamed, queued} {
		require.Zero(t, b.redelivered(t, id, from, to, &lost))
	}
}
