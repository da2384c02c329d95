package flow

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/system"
)

const drops = "SELECT count(*) FROM rule_webhook_drops WHERE reason = 'rolled back' AND message_id = $1"

func begin(t *testing.T, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	return tx
}

func TestWhatRolledBackIsNeverDelivered(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	w := b.worker(t)

	tx := begin(t, b.application)
	published(t, tx, id, "rolled-back")
	require.NoError(t, tx.Rollback(t.Context()))
	published(t, b.application, id, "committed")

	b.arrived(t, "committed")
	b.count(t, 1, drops, "rolled-back")
	b.settled(t)
	b.arrived(t, "committed")
	b.count(t, 1, "SELECT count(*) FROM rule_nats_publish_history")

	// Nor by the commit of another transaction that used its message id, before it or after it.
	require.NoError(t, w.Stop())
	tx = begin(t, b.application)
	publishedBody(t, tx, id, "undone-first", `{"try": "rolled back"}`)
	require.NoError(t, tx.Rollback(t.Context()))
	publishedBody(t, b.application, id, "undone-first", `{"try": "committed"}`)
	open := begin(t, b.Postgres.Connect(t, system.Database, system.Application))
	publishedBody(t, open, id, "undone-last", `{"try": "rolled back"}`)
	publishedBody(t, b.application, id, "undone-last", `{"try": "committed"}`)
	require.NoError(t, open.Rollback(t.Context()))
	b.inStream(t, 4)

	b.worker(t)
	b.arrived(t, "committed", "undone-first", "undone-last")
	b.count(t, 1, drops, "undone-first")
	b.count(t, 1, drops, "undone-last")
	b.settled(t)
	b.arrived(t, "committed", "undone-first", "undone-last")
	for _, event := range []string{"undone-first", "undone-last"} {
		require.Equal(t, []string{`{"try": "committed"}`}, b.bodies(event))
	}
}

func TestARolledBackSavepointTakesItsOwnEventsAndNoOthers(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.worker(t)

	tx := begin(t, b.application)
	published(t, tx, id, "before")
	undone, err := tx.Begin(t.Context()) // a savepoint
	require.NoError(t, err)
	published(t, undone, id, "undone")
	nested, err := undone.Begin(t.Context())
	require.NoError(t, err)
	published(t, nested, id, "released-within-undone")
	require.NoError(t, nested.Commit(t.Context()))
	require.NoError(t, undone.Rollback(t.Context()))
	kept, err := tx.Begin(t.Context())
	require.NoError(t, err)
	published(t, kept, id, "kept")
	require.NoError(t, kept.Commit(t.Context()))
	published(t, tx, id, "after")
	require.NoError(t, tx.Commit(t.Context()))

	b.arrived(t, "before", "kept", "after")
	b.count(t, 1, drops, "undone")
	b.count(t, 1, drops, "released-within-undone")
	b.settled(t)
	b.arrived(t, "before", "kept", "after")
}

func TestAnOpenTransactionsEventWaitsForItsEnd(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	// As many events of the open transaction as the worker carries at once.
	b.worker(t, "BATCH_SIZE=2")
	other := b.Postgres.Connect(t, system.Database, system.Application)
	published(t, other, id, "before")
	b.arrived(t, "before")

	tx := begin(t, b.application)
	published(t, tx, id, "late-1")
	published(t, tx, id, "late-2")
	published(t, other, id, "early")
	b.arrived(t, "before", "early")

	require.NoError(t, tx.Commit(t.Context()))
	b.arrived(t, "before", "early", "late-1", "late-2")
	b.settled(t)
}

func TestARetriedTransactionMayUseItsMessageIDAgain(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")

	tx := begin(t, b.application)
	publishedBody(t, tx, id, "retried", `{"try": 1}`)
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, true, publishedBody(t, b.application, id, "retried", `{"try": 2}`)["republished"])
	b.inStream(t, 2)

	b.worker(t)
	b.arrived(t, "retried")
	b.count(t, 1, drops, "retried")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'retried' AND outcome = 'delivered'")
	b.settled(t)
	b.arrived(t, "retried")
	require.Equal(t, []string{`{"try": 2}`}, b.bodies("retried"))
}
