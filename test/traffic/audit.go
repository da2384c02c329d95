package traffic

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// grace is how long a worker may have had a delivery that it did not get to record: a server that is away takes no report.
const grace = 10 * time.Second

// Audit waits until all that committed has been delivered and nothing is left to deliver, and
// compares. An event may arrive twice only where a worker was killed, at one of these times, between
// sending it and recording that.
func (tr *Traffic) Audit(t testing.TB, in time.Duration, kills []time.Time) {
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
	faults := tr.unexplained(t, admin, doubled, kills)
	t.Logf("%d events committed, %d of them not delivered; %d delivered more than once, %d of them with no worker killed in between; %d delivered that did not commit",
		len(committed), len(lost), len(doubled), len(faults), len(never))
	require.Empty(t, lost, "committed and not delivered")
	require.Empty(t, never, "delivered and not committed")
	require.Zero(t, left(), "left to deliver")
	require.Empty(t, faults, "delivered twice")
}

// unexplained are those doubles that no kill of a worker is the reason for: of their deliveries more than one was
// recorded, or one that was not ended long before a kill.
func (tr *Traffic) unexplained(t testing.TB, admin *pgx.Conn, doubled []string, kills []time.Time) (faults []string) {
	t.Helper()
	arrived := map[string][]time.Time{}
	for _, r := range tr.system.Endpoint.Requests() {
		arrived[r.ID()] = append(arrived[r.ID()], r.At)
	}
	for _, id := range doubled {
		var recorded int
		require.NoError(t, admin.QueryRow(t.Context(),
			"SELECT count(*) FROM rule_webhook_attempts WHERE message_id = $1 AND outcome = 'delivered'", id).Scan(&recorded))
		times := arrived[id]
		cut := func(at time.Time) bool {
			return slices.ContainsFunc(kills, func(kill time.Time) bool { return kill.After(at) && kill.Sub(at) < grace })
		}
		if recorded > 1 || slices.ContainsFunc(times[:len(times)-1], func(at time.Time) bool { return !cut(at) }) {
			faults = append(faults, fmt.Sprintf("%s at %v, recorded %d times", id, times, recorded))
		}
	}
	return faults
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
