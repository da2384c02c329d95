package flow

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// As after a backup was restored, or a failover to a standby that lagged: what committed since is gone,
// and others get the ids of its transactions, while its messages are still in the stream.
func TestWhatADatabaseForgotByGoingBackIsNotDelivered(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "kept")
	require.NoError(t, b.Postgres.Stop())
	backup := b.Postgres.Data + ".backup"
	copied := func(from, to string) {
		said, err := exec.Command("cp", "-a", from, to).CombinedOutput()
		require.NoError(t, err, "%s", said)
	}
	copied(b.Postgres.Data, backup)
	require.NoError(t, b.Postgres.StartAgain())
	b.reconnect(t)
	for _, event := range names("forgotten", 3) {
		published(t, b.application, id, event)
	}

	require.NoError(t, b.Postgres.Stop())
	require.NoError(t, os.RemoveAll(b.Postgres.Data))
	copied(backup, b.Postgres.Data)
	require.NoError(t, b.Postgres.StartAgain())
	b.reconnect(t)
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
