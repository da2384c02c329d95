package flow

import (
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

func TestWhileNATSIsAwayEventsWaitInTheQueueAndArriveAfterwards(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.worker(t)
	published(t, b.application, id, "before")
	b.arrived(t, "before")
	b.settled(t) // an ack that NATS does not get would come back after more than a minute

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

func TestAStreamThatNoPublishCouldMakeIsMadeByTheWorkerForTheEventsThatWaitForIt(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.NATS.Stop()
	for _, event := range names("early", 3) {
		require.Equal(t, "nats_away", publish(t, b.application, id, event)["nats"]["error_code"])
	}
	require.NoError(t, b.NATS.StartAgain())
	b.worker(t)
	b.arrived(t, "early-1", "early-2", "early-3")
	b.count(t, 3, "SELECT count(*) FROM rule_webhook_attempts WHERE path = 'stream'")
	// It is the stream that a publish would have made.
	var state string
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT rule_nats_init() -> 'streams' -> 0 ->> 'state'").Scan(&state))
	require.Equal(t, "unchanged", state)
	var owner string
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT source_id::text FROM rule_engine_source").Scan(&owner))
	_, js := natsserver.Connect(t, b.NATS.URL())
	stream, err := js.Stream(t.Context(), system.Stream)
	require.NoError(t, err)
	require.Equal(t, owner, stream.CachedInfo().Config.Metadata["rule_engine_source"])
}

func TestARowThatNoStreamTakesGoesToItsEndpointAndHoldsUpNobody(t *testing.T) {
	b := setup(t)
	astray, orders := b.webhook(t, "astray", "nats"), b.webhook(t, "orders", "nats")
	b.must(t, "SELECT rule_webhook_enable_nats($1, 'elsewhere.orders', 'nats')", astray)
	published(t, b.application, orders, "first")
	b.worker(t)
	b.arrived(t, "first")
	b.settled(t)
	require.Equal(t, "no_stream", publish(t, b.application, astray, "astray-1")["nats"]["error_code"])
	// The worker tries it again and again, and those behind it wait, until a minute has passed.
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_queue WHERE message_id = 'astray-1' AND error_message IS NOT NULL AND route = 'publish'")
	b.NATS.Stop()
	for _, event := range names("orders", 3) {
		publish(t, b.application, orders, event)
		publish(t, b.application, astray, "astray-of-"+event)
	}
	b.must(t, "UPDATE rule_webhook_queue SET created_at = now() - interval '61 s'")
	require.NoError(t, b.NATS.StartAgain())
	b.arrived(t, "first", "orders-1", "orders-2", "orders-3", "astray-1",
		"astray-of-orders-1", "astray-of-orders-2", "astray-of-orders-3")
	b.count(t, 4, `SELECT count(*) FROM rule_webhook_queue q JOIN rule_webhooks w USING (webhook_id)
		WHERE w.webhook_name = 'astray' AND q.status = 'success' AND q.route = 'post'`)
	b.count(t, 3, `SELECT count(*) FROM rule_webhook_attempts a JOIN rule_webhooks w USING (webhook_id)
		WHERE w.webhook_name = 'orders' AND a.path = 'stream' AND a.message_id LIKE 'orders%'`)
	b.settled(t)
}

// A worker knows a stream by its name alone: what waited for the one would go to the other, where nobody may take it.
func TestWhatWaitsForAStreamIsNotPublishedToItsNamesakeOnAnotherServer(t *testing.T) {
	b := setup(t)
	other := natsserver.Run(t)
	b.must(t, "SELECT rule_nats_configure('other', $1)", other.URL())
	b.must(t, "INSERT INTO rule_nats_streams (config_id, stream_name, subjects) SELECT config_id, $1, '{webhooks.>}' FROM rule_nats_config WHERE config_name = 'other'",
		system.Stream)
	here, there := b.webhook(t, "here", "nats"), b.webhook(t, "there", "nats")
	b.must(t, "SELECT rule_webhook_enable_nats($1, p_publish_mode => 'nats', p_config_name => 'other')", there)
	published(t, b.application, here, "here")
	other.Stop()
	for _, event := range names("waits", 3) {
		require.Equal(t, "queue", publish(t, b.application, there, event)["nats"]["fallback"])
	}
	require.NoError(t, other.StartAgain())
	b.worker(t)
	b.arrived(t, "here", "waits-1", "waits-2", "waits-3")
	b.count(t, 3, "SELECT count(*) FROM rule_webhook_attempts WHERE path = 'queue' AND outcome = 'delivered'")
	_, js := natsserver.Connect(t, b.NATS.URL())
	stream, err := js.Stream(t.Context(), system.Stream)
	require.NoError(t, err)
	require.EqualValues(t, 1, stream.CachedInfo().State.LastSeq, "nothing of the other's")
}
