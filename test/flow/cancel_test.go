package flow

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/system"
)

// What waits in Postgres for a lock would wait on for nobody, in a session that the server has no other use for.
func TestACallThatNobodyWaitsForAnyMoreTakesNoSession(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	w := b.worker(t)
	locking, err := b.Postgres.Connect(t, system.Database, system.Administrator).Begin(t.Context())
	require.NoError(t, err)
	_, err = locking.Exec(t.Context(), "LOCK TABLE rule_webhook_receipts")
	require.NoError(t, err)
	publish(t, b.application, id, "event")
	const sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1"
	require.Eventually(t, func() bool {
		var waiting int
		err := b.admin.QueryRow(t.Context(), sessions+" AND wait_event_type = 'Lock'", system.Carrier).Scan(&waiting)
		return err == nil && waiting > 0
	}, patience, 10*time.Millisecond)
	require.NoError(t, w.Stop())
	b.count(t, 0, sessions, system.Carrier)
	require.NoError(t, locking.Rollback(t.Context()))

	b.worker(t)
	b.arrived(t, "event")
	b.settled(t)
}
