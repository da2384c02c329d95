package flow

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
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
	b.worker(t)

	tx := begin(t, b.application)
	published(t, tx, id, "rolled-back")
	require.NoError(t, tx.Rollback(t.Context()))
	published(t, b.application, id, "committed")

	b.arrived(t, "committed")
	b.count(t, 1, drops, "rolled-back")
	b.settled(t)
	b.arrived(t, "committed")
	b.count(t, 1, "SELECT count(*) FROM rule_nats_publish_history")
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
	b.worker(t)

	tx := begin(t, b.application)
	published(t, tx, id, "late")
	other := b.Postgres.Connect(t, "app", "application")
	published(t, other, id, "early")
	b.arrived(t, "early")

	require.NoError(t, tx.Commit(t.Context()))
	b.arrived(t, "early", "late")
	b.settled(t)
}

func TestARetriedTransactionMayUseItsMessageIDAgain(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")

	tx := begin(t, b.application)
	published(t, tx, id, "retried")
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, true, published(t, b.application, id, "retried")["republished"])

	b.worker(t)
	b.arrived(t, "retried")
	b.settled(t)
	b.arrived(t, "retried")
}
