package flow

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/system"
)

// A base backup that goes its own way has the source id of its origin, and would drop what it has no row of.
func TestACopyOfTheServerLeavesItsOriginsEventsAlone(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "before")
	clone := b.Postgres.RunStandby(t)
	there := clone.Connect(t, system.Database, system.Administrator)
	_, err := there.Exec(t.Context(), "SELECT pg_promote()")
	require.NoError(t, err)
	promoted := time.Now()
	// The copy has less to do than its origin.
	b.passes(t, b.next(t)+500)
	time.Sleep(time.Until(promoted.Add(11 * time.Second)))
	events := names("event", 5)
	for _, event := range events {
		published(t, b.application, id, event)
	}

	w := b.worker(t, "DATABASE_URL="+clone.URL(system.Database, system.Carrier))
	require.Eventually(t, func() bool { return strings.Contains(w.Log(), "rule_engine_source_renew()") }, patience, 10*time.Millisecond)
	require.NoError(t, w.Stop())
	var drops int
	require.NoError(t, there.QueryRow(t.Context(), "SELECT count(*) FROM rule_webhook_drops").Scan(&drops))
	require.Zero(t, drops)
	b.worker(t)
	b.arrivedLate(t, append(events, "before")...)
}

// What was not in the dump did not commit before it, or went with the origin.
func TestADumpThatTakesItsOriginsPlaceDeliversWhatItsHistoryKnows(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "kept")
	back, err := b.Postgres.Connect(t, system.Database, system.Application).Begin(t.Context())
	require.NoError(t, err)
	published(t, back, id, "rolled-back")
	require.NoError(t, back.Rollback(t.Context()))
	b.must(t, "CREATE DATABASE restored")
	dump := exec.Command("sh", "-c", `"$0/pg_dump" --host="$1" --port="$2" --username="$3" "$4" | "$0/psql" -X --quiet --host="$1" --port="$2" --username="$3" restored`,
		filepath.Join(b.Postgres.Tree, "bin"), b.Postgres.Socket(), fmt.Sprint(b.Postgres.Port), system.Administrator, system.Database)
	said, err := dump.CombinedOutput()
	require.NoError(t, err, string(said))
	published(t, b.application, id, "lost")
	b.inStream(t, 3)

	there := b.Postgres.Connect(t, "restored", system.Administrator)
	_, err = there.Exec(t.Context(), "SELECT rule_engine_source_renew($1)", b.sourceID(t))
	require.NoError(t, err)
	b.worker(t, "DATABASE_URL="+b.Postgres.URL("restored", system.Carrier))
	b.arrived(t, "kept")
	b.inStream(t, 0)
	b.arrived(t, "kept")
	var drops int
	require.NoError(t, there.QueryRow(t.Context(),
		"SELECT count(*) FROM rule_webhook_drops WHERE message_id IN ('rolled-back', 'lost') AND reason = 'rolled back'").Scan(&drops))
	require.Equal(t, 2, drops)
}
