package hazards

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEveryCancelIsAnsweredWhereGoRuns(t *testing.T) {
	b := setup(t)
	s := b.sessionWithGo(t)
	cancels := func(n int, sql, wait string) {
		t.Helper()
		for i := range n {
			done := s.start(sql)
			s.awaits(t, b.admin, wait)
			b.admin.do(t, "SELECT pg_cancel_backend($1)", s.pid)
			err := endOf(done, stall)
			if err == errStalled {
				require.Failf(t, "not answered in time", "cancel %d of %d", i+1, n)
			}
			requireState(t, "57014", err)
		}
	}
	b.admin.do(t, "SELECT pg_advisory_lock(1)")
	cancels(100, "SELECT pg_sleep(60)", "Timeout")
	cancels(100, s.publishSQL()+"SELECT pg_advisory_lock(1)", "Lock")
	s.publish(t, nil)
}

func TestStatementTimeoutsFireWhereGoRuns(t *testing.T) {
	b := setup(t)
	s := b.sessionWithGo(t)
	b.admin.do(t, "SELECT pg_advisory_lock(1)")
	var slowest time.Duration
	for i := range 60 {
		began := time.Now()
		// The first is timed by the latch's own time-out, the second by a signal alone.
		sql := []string{"SELECT pg_sleep(60)", "SELECT pg_advisory_lock(1)"}[i%2]
		// Of this statement alone: another could run into it, too.
		requireState(t, "57014", endOf(s.start("BEGIN; SET LOCAL statement_timeout = '20ms'; "+sql), stall))
		slowest = max(slowest, time.Since(began))
		s.do(t, "ROLLBACK")
	}
	t.Logf("60 time-outs of 20 ms, the slowest took %v", slowest.Round(100*time.Microsecond))
	s.publish(t, nil)
}
