package hazards

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A backend sleeps on its latch, and SIGURG wakes it: the kernel gives the signal to any thread that
// has it open. One taken by a thread of Go is a wake-up that Postgres never sees, and whoever waited
// for it waits on.

func TestLatchWakeupsAreNotLostWhereGoRuns(t *testing.T) {
	b := setup(t)
	s := b.sessionWithGo(t)
	t.Run("idle", func(t *testing.T) { handOffs(t, b.admin, s, 300, "") })
	t.Run("publishing", func(t *testing.T) { handOffs(t, b.admin, s, 300, s.publishSQL()) })
	t.Run("notified", func(t *testing.T) { notifications(t, b.admin, s, 500) })
}

// sigsetjmp restores the mask that Postgres saved before Go was there, so an error can undo what
// was set up for Go, or what Go has set up.
func TestLatchWakeupsAreNotLostAfterAnError(t *testing.T) {
	b := setup(t)
	s := b.sessionWithGo(t)
	s.fails(t, "22012", "SELECT 1 / 0")
	t.Run("idle", func(t *testing.T) { handOffs(t, b.admin, s, 300, "") })
	t.Run("publishing", func(t *testing.T) { handOffs(t, b.admin, s, 300, s.publishSQL()) })
	t.Run("notified", func(t *testing.T) { notifications(t, b.admin, s, 500) })

	b.refuseHistory(t)
	s.fails(t, refusedState, s.publishSQL())
	t.Run("below Go", func(t *testing.T) { handOffs(t, b.admin, s, 300, "") })
}

// handOffs gives an advisory lock to a session that waits for it, n times. Its statement is preceded
// by another one.
func handOffs(t *testing.T, giver, waiter *session, n int, preceded string) {
	t.Helper()
	var slowest time.Duration
	for i := range n {
		giver.do(t, "SELECT pg_advisory_lock(1)")
		got := waiter.start(preceded + "SELECT pg_advisory_lock(1)")
		waiter.awaits(t, giver, "Lock")
		began := time.Now()
		giver.do(t, "SELECT pg_advisory_unlock(1)")
		require.NoErrorf(t, endOf(got, stall), "hand-off %d of %d: the wake-up was lost", i+1, n)
		slowest = max(slowest, time.Since(began))
		waiter.do(t, "SELECT pg_advisory_unlock(1)")
	}
	t.Logf("%d hand-offs, the slowest took %v", n, slowest.Round(100*time.Microsecond))
}

// notifications are heard by an idle session.
func notifications(t *testing.T, sender, listener *session, n int) {
	t.Helper()
	listener.do(t, "LISTEN hazard")
	for i := range n {
		sender.do(t, fmt.Sprintf("NOTIFY hazard, '%d'", i))
		ctx, cancel := context.WithTimeout(t.Context(), stall)
		_, err := listener.WaitForNotification(ctx)
		cancel()
		require.NoErrorf(t, err, "notification %d of %d: the wake-up was lost", i+1, n)
	}
}

// A leader sleeps on its latch until its workers have filled their queues. One that does not wake up
// waits for them as they wait for it.
func TestParallelQueriesEndWhereGoRuns(t *testing.T) {
	b := setup(t)
	b.admin.do(t, `CREATE TABLE numbers AS SELECT repeat('x', 60) AS filled FROM generate_series(1, 20000);
		ALTER TABLE numbers SET (parallel_workers = 2); ANALYZE numbers`)
	s := b.sessionWithGo(t)
	s.do(t, `SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
		SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off`)
	const count = "SELECT count(filled) FROM (SELECT filled FROM numbers OFFSET 0) n"
	rows, err := s.Query(t.Context(), "EXPLAIN "+count)
	require.NoError(t, err)
	var plan strings.Builder
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		plan.WriteString(line)
	}
	require.Contains(t, plan.String(), "Gather")

	queries := func(n int) {
		for i := range n {
			require.NoErrorf(t, endOf(s.start(count), stall), "parallel query %d of %d hangs", i+1, n)
			if i%10 == 0 {
				s.publish(t, nil)
			}
		}
	}
	queries(50)
	s.fails(t, "22012", "SELECT 1 / 0")
	queries(100)
}

// Go's own way to wake the backend. The shim looks after an operation every second all the same,
// so a lost one costs a second.
func TestNoPublishWaitsForAWakeupThatWasLost(t *testing.T) {
	b := setup(t)
	s := b.sessionWithGo(t)
	var slowest time.Duration
	slow := 0
	for range 4000 {
		began := time.Now()
		s.publish(t, nil)
		took := time.Since(began)
		slowest = max(slowest, took)
		if took > 900*time.Millisecond {
			slow++
		}
		// A machine that stands still looks the same, but not time and again.
		require.LessOrEqual(t, slow, 4, "publishes take a second")
	}
	t.Logf("4000 publishes, the slowest took %v", slowest.Round(100*time.Microsecond))
}
