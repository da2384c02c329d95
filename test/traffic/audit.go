package traffic

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// Audit waits until all that committed has been delivered and nothing is left to deliver, and
// compares. A worker that is killed lets another repeat what it had on the wire: then once is false.
func (tr *Traffic) Audit(t testing.TB, in time.Duration, once bool) {
	t.Helper()
	admin := tr.system.Postgres.Connect(t, system.Database, system.Administrator)
	rows, err := admin.Query(t.Context(), "SELECT id FROM written")
	require.NoError(t, err)
	committed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(committed), tr.committed)

	_, js := natsserver.Connect(t, tr.system.NATSURL())
	left := func() (n int) {
		stream, err := js.Stream(t.Context(), system.Stream)
		require.NoError(t, err)
		require.NoError(t, admin.QueryRow(t.Context(), `SELECT
			(SELECT count(*) FROM rule_webhook_queue WHERE status IN ('pending', 'processing')) +
			(SELECT count(*) FROM rule_webhook_receipts WHERE state <> 'done')`).Scan(&n))
		return n + int(stream.CachedInfo().State.Msgs)
	}
	var lost, never, doubled []string
	for deadline := time.Now().Add(in); ; time.Sleep(200 * time.Millisecond) {
		lost, never, doubled = tr.compare(committed)
		if len(lost) == 0 && left() == 0 || time.Now().After(deadline) {
			break
		}
	}
	t.Logf("%d events committed, %d of them not delivered; %d delivered more than once; %d delivered that did not commit",
		len(committed), len(lost), len(doubled), len(never))
	require.Empty(t, lost, "committed and not delivered")
	require.Empty(t, never, "delivered and not committed")
	require.Zero(t, left(), "left to deliver")
	if once {
		require.Empty(t, doubled, "delivered twice")
	}
}

// compare says what committed and did not arrive, what arrived and did not commit, and what arrived more than once.
func (tr *Traffic) compare(committed []string) (lost, never, doubled []string) {
	arrived := map[string]int{}
	for _, r := range tr.system.Endpoint.Requests() {
		arrived[r.ID()]++
	}
	for _, id := range committed {
		n := arrived[id]
		delete(arrived, id)
		if n == 0 {
			lost = append(lost, id)
		}
		if n > 1 {
			doubled = append(doubled, id)
		}
	}
	for id := range arrived {
		never = append(never, id)
	}
	return lost, never, doubled
}
