package flow

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/postgres"
	"rule_engine/test/system"
)

// reconnect takes new connections after the server was away.
func (b *bundle) reconnect(t *testing.T) {
	t.Helper()
	b.admin = b.Postgres.Connect(t, system.Database, system.Administrator)
	b.application = b.Postgres.Connect(t, system.Database, system.Application)
}

func TestWhilePostgresIsAwayAWorkerWaitsAndLosesNothing(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	w := b.worker(t)
	published(t, b.application, id, "before")
	b.arrived(t, "before")
	b.settled(t)

	// It answers when Postgres is gone: the report has to wait.
	b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		if r.ID() == "meanwhile" {
			return endpoint.Answer{Delay: 500 * time.Millisecond}
		}
		return endpoint.Answer{}
	})
	published(t, b.application, id, "meanwhile")
	b.Endpoint.Wait(t, 2, patience)
	require.NoError(t, b.Postgres.Restart())
	b.reconnect(t)

	published(t, b.application, id, "after")
	b.arrived(t, "before", "meanwhile", "after")
	b.settled(t)
	b.arrived(t, "before", "meanwhile", "after")
	require.True(t, w.Running())
}

// An application that commits asynchronously loses its last commits in a crash. What our workers
// have sent is never among them: admit makes what it saw durable first.
func TestWhatWasDeliveredIsCommittedAlsoAfterACrash(t *testing.T) {
	b := setup(t, postgres.Conf("wal_writer_delay = 10s", "synchronous_commit = off"))
	id := b.webhook(t, "orders", "nats")
	b.must(t, "CREATE TABLE written_last (round int)")
	lost := 0
	// What else commits between may save what was written last.
	for round := 0; round < 3 || lost == 0; round++ {
		require.Less(t, round, 10, "no crash took anything, so this test shows nothing")
		event := fmt.Sprint("event-", round+1)
		crashed := make(chan error, 1)
		crash := sync.OnceFunc(func() {
			// After admit, and with nothing that makes it durable: this is what a crash takes.
			_, err := b.admin.Exec(t.Context(), "INSERT INTO written_last VALUES ($1)", round)
			if err == nil {
				err = b.Postgres.Kill()
			}
			crashed <- err
		})
		b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
			if r.ID() == event {
				crash()
			}
			return endpoint.Answer{}
		})
		w := b.worker(t)
		published(t, b.application, id, event)
		require.NoError(t, <-crashed)
		w.Kill()
		require.NoError(t, b.Postgres.StartAgain())
		b.reconnect(t)

		b.count(t, 1, "SELECT count(*) FROM rule_nats_publish_history WHERE message_id = $1", event)
		var kept int
		require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT count(*) FROM written_last WHERE round = $1", round).Scan(&kept))
		lost += 1 - kept
	}
}
