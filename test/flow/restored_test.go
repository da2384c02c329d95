package flow

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// backUp makes a backup and answers what goes back to it.
func (b *bundle) backUp(t *testing.T) (goBack func()) {
	t.Helper()
	require.NoError(t, b.Postgres.Stop())
	backup := b.Postgres.Data + ".backup"
	copied := func(from, to string) {
		said, err := exec.Command("cp", "-a", from, to).CombinedOutput()
		require.NoError(t, err, "%s", said)
	}
	copied(b.Postgres.Data, backup)
	require.NoError(t, b.Postgres.StartAgain())
	b.reconnect(t)
	return func() {
		require.NoError(t, b.Postgres.Stop())
		require.NoError(t, os.RemoveAll(b.Postgres.Data))
		copied(backup, b.Postgres.Data)
		require.NoError(t, b.Postgres.StartAgain())
		b.reconnect(t)
	}
}

// next is the id that the next transaction gets, at least.
func (b *bundle) next(t *testing.T) (id int64) {
	t.Helper()
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").Scan(&id))
	return id
}

// passes lets others have so many transactions that the next one's id is greater.
func (b *bundle) passes(t *testing.T, id int64) {
	t.Helper()
	for b.next(t) <= id {
		b.must(t, "SELECT pg_current_xact_id()")
	}
}

// By the time of the worker's next call the ids that the database gives are those that it gave before.
func TestAWorkerForgetsTheEndpointsOfADatabaseThatWentBack(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	goBack := b.backUp(t)
	line, env := b.databaseLine(t)
	b.worker(t, env)
	b.must(t, "SELECT rule_webhook_update($1, p_url => $2)", id, b.Endpoint.URL()+"/lost")
	b.told(t, 1)
	publish(t, b.application, id, "before")
	require.Equal(t, "/lost", b.Endpoint.Wait(t, 1, patience)[0].Path)
	next := b.next(t)

	line.Refuse(true)
	line.Cut()
	goBack()
	require.Less(t, b.next(t), next)
	b.passes(t, next)
	line.Heal()
	b.told(t, 1)
	publish(t, b.application, id, "after")
	require.Equal(t, "/orders", b.Endpoint.Wait(t, 2, patience)[1].Path)
}

// As after a backup was restored, or a failover to a standby that lagged: what committed since is gone,
// and others get the ids of its transactions, while its messages are still in the stream.
func TestWhatADatabaseForgotByGoingBackIsNotDelivered(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "kept")
	goBack := b.backUp(t)
	for _, event := range names("forgotten", 3) {
		published(t, b.application, id, event)
	}

	goBack()
	for _, event := range names("after", 5) {
		published(t, b.application, id, event)
	}
	b.inStream(t, 9)
	b.worker(t)
	b.count(t, 3, "SELECT count(*) FROM rule_webhook_drops WHERE reason = 'rolled back' AND message_id LIKE 'forgotten%'")
	b.count(t, 1, "SELECT least(count(*), 1) FROM rule_webhook_drops WHERE pg_xact_status(transaction) = 'committed'")
	b.settled(t)
	b.arrived(t, "kept", "after-1", "after-2", "after-3", "after-4", "after-5")
}
