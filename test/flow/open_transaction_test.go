package flow

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// kept is how many events of open transactions have left the stream.
func (b *bundle) kept(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT count(*) FROM rule_webhook_open_events").Scan(&n))
	return n
}

// crowd is as many messages as make the places scarce that the group's consumer has for what is not settled: another
// database's, which a worker leaves alone.
const crowd = 25_100

func (b *bundle) crowd(t *testing.T) {
	t.Helper()
	_, js := natsserver.Connect(t, b.NATS.URL())
	// The server drops what comes faster than it stores it, where nobody waits for its word.
	for range crowd {
		_, err := js.PublishMsgAsync(&nats.Msg{Subject: "webhooks.theirs", Data: []byte("{}"), Header: nats.Header{
			"Rule-Engine-Source": {"00000000-0000-4000-8000-000000000000"}, "Rule-Engine-Webhook-Id": {"1"},
			"Rule-Engine-Message-Id": {"theirs"}}}, jetstream.WithStallWait(patience))
		require.NoError(t, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(patience):
		require.Fail(t, "NATS has not stored all messages")
	}
}

// Many more events than a worker takes of one webhook.
func TestWherePlacesAreScarceTheEventsOfOpenTransactionsLeaveTheStreamAndArriveOnceTheseCommit(t *testing.T) {
	b := setup(t)
	large, other := b.webhook(t, "large", "nats"), b.webhook(t, "other", "nats")
	published(t, b.application, other, "before") // makes the stream
	b.crowd(t)
	first := b.worker(t, "CONSUMER_NAME=first")
	b.arrived(t, "before")
	held := func() int { _, pending := b.consumer(t, b.NATSURL()); return pending }
	require.Eventually(t, func() bool { return held() == crowd }, 2*time.Minute, time.Second)
	commits := begin(t, b.Postgres.Connect(t, system.Database, system.Application))
	undone := begin(t, b.Postgres.Connect(t, system.Database, system.Application))
	const many = 300
	for n := range many {
		if n == many/2 {
			require.Eventually(t, func() bool { return b.kept(t) > 0 }, patience, 10*time.Millisecond)
			b.count(t, 0, "SELECT count(*) FROM rule_webhook_open_events WHERE look_at > published_at + interval '1 minute'")
			first.Kill()
			b.worker(t, "CONSUMER_NAME=second")
		}
		published(t, commits, large, fmt.Sprint("committed-", n))
		published(t, undone, large, fmt.Sprint("undone-", n))
	}
	published(t, b.application, other, "meanwhile")
	b.arrived(t, "before", "meanwhile")
	// What the first one had in hand comes again when the ack wait is over.
	require.Eventually(t, func() bool { return b.kept(t) == 2*many && held() == crowd }, 2*time.Minute, time.Second)

	require.NoError(t, undone.Rollback(t.Context()))
	require.NoError(t, commits.Commit(t.Context()))
	b.Endpoint.Wait(t, many+2, 2*patience)
	require.Eventually(t, func() bool { return b.kept(t) == 0 }, patience, 20*time.Millisecond)
	b.count(t, 0, "SELECT count(*) FROM rule_webhook_queue WHERE status IN ('pending', 'processing')")
	events := []string{"before", "meanwhile"}
	for n := range many {
		events = append(events, fmt.Sprint("committed-", n))
	}
	b.arrived(t, events...)
	b.count(t, many, "SELECT count(*) FROM rule_webhook_drops WHERE reason = 'rolled back' AND message_id LIKE 'undone-%'")
	b.count(t, many, "SELECT count(*) FROM rule_webhook_drops")
}

func TestAnEventWhoseTransactionIsOpenForAMinuteLeavesTheStreamAndArrivesOnceItCommits(t *testing.T) {
	b := setup(t)
	id, both := b.webhook(t, "orders", "nats"), b.webhook(t, "both", "both")
	b.worker(t)
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	tx := begin(t, b.application)
	_, err := tx.Exec(t.Context(), "SET LOCAL rule_engine.traceparent = '"+trace+"'")
	require.NoError(t, err)
	publishedBody(t, tx, id, "whole", `{"n": 12345678901234567890.10}`)
	publish(t, tx, both, "both")
	savepoint, err := tx.Begin(t.Context())
	require.NoError(t, err)
	published(t, savepoint, id, "kept")
	require.NoError(t, savepoint.Commit(t.Context()))
	savepoint, err = tx.Begin(t.Context())
	require.NoError(t, err)
	published(t, savepoint, id, "undone")

	require.Eventually(t, func() bool { return b.kept(t) == 4 }, 2*time.Minute, time.Second)
	b.inStream(t, 0)
	require.NoError(t, savepoint.Rollback(t.Context()))
	require.Empty(t, b.Endpoint.Requests())
	require.NoError(t, tx.Commit(t.Context()))
	b.arrived(t, "whole", "both", "kept")
	b.count(t, 1, drops, "undone")
	b.settled(t)
	require.Zero(t, b.kept(t))
	b.arrived(t, "whole", "both", "kept")
	require.Equal(t, []string{`{"n": 12345678901234567890.10}`}, b.bodies("whole"))
	for _, r := range b.Endpoint.Requests() {
		require.Equal(t, trace, r.Header.Get("traceparent"), r.ID())
	}
}

// A crash ends each transaction that is open, and takes none of what has left the stream.
func TestWhatHasLeftTheStreamIsJudgedAfterACrashOfPostgres(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	open, done := begin(t, b.application), begin(t, b.Postgres.Connect(t, system.Database, system.Administrator))
	for event, tx := range map[string]pgx.Tx{"open": open, "done": done} {
		published(t, tx, id, event)
		var transaction, verdict string
		require.NoError(t, tx.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text").Scan(&transaction))
		// As a worker does when it is a minute old, without the minute.
		require.NoError(t, b.admin.QueryRow(t.Context(), `SELECT verdict FROM rule_worker_admit('w', jsonb_build_array(jsonb_build_object(
			'webhook_id', $1::int, 'message_id', $2::text, 'transaction', $3::text, 'stream', 'WEBHOOKS', 'sequence', 1, 'age_ms', 60000,
			'source_id', (SELECT source_id FROM rule_engine_source), 'payload', encode(convert_to($4, 'UTF8'), 'base64'))))`,
			id, event, transaction, bodyOf(event)).Scan(&verdict))
		require.Equal(t, "queued", verdict)
	}
	_, js := natsserver.Connect(t, b.NATSURL())
	stream, err := js.Stream(t.Context(), system.Stream)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	require.NoError(t, done.Commit(t.Context()))
	require.NoError(t, b.Postgres.Crash())
	require.NoError(t, b.Postgres.StartAgain())
	b.reconnect(t)
	require.Equal(t, 2, b.kept(t))

	b.worker(t)
	b.arrived(t, "done")
	b.count(t, 1, drops, "open")
	b.settled(t)
	require.Zero(t, b.kept(t))
	b.arrived(t, "done")
	require.Equal(t, []string{bodyOf("done")}, b.bodies("done"))
}
