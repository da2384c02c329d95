package backends

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/process"
	"rule_engine/test/system"
)

const many = 200

func TestTwoHundredBackendsThatConnectAndPublishAtOnceAreAllAnsweredTruly(t *testing.T) {
	b := setup(t)
	sessions := make([]*pgx.Conn, many)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	t.Cleanup(func() {
		for _, conn := range sessions {
			if conn != nil {
				_ = conn.Close(context.Background())
			}
		}
	})
	var acked, queued atomic.Int32
	began := time.Now()
	each(t, sessions, func(i int, _ *pgx.Conn) (err error) {
		if sessions[i], err = pgx.Connect(ctx, b.Postgres.DSN(system.Database, system.Application)); err != nil {
			return err
		}
		answer, err := b.publish(ctx, sessions[i], fmt.Sprintf("first-%d", i))
		switch {
		case err != nil:
			return err
		case answer["success"] == true:
			acked.Add(1)
		case answer["fallback"] == "queue":
			queued.Add(1)
		default:
			return fmt.Errorf("neither in the stream nor in the queue: %v", answer)
		}
		return nil
	})
	t.Logf("%d backends connected and published in %v: %d acked, %d went to the queue",
		many, time.Since(began).Round(time.Millisecond), acked.Load(), queued.Load())
	require.EqualValues(t, many, acked.Load()+queued.Load())
	require.Equal(t, int(queued.Load()), b.count(t, "SELECT count(*) FROM rule_webhook_queue"))
	require.GreaterOrEqual(t, b.stored(t), int(acked.Load()))
	require.Equal(t, many, b.count(t, "SELECT count(*) FROM rule_nats_publish_history"))

	// Whoever was not answered then is once there is less to do.
	require.Eventually(t, func() bool {
		var left atomic.Int32
		each(t, sessions, func(i int, conn *pgx.Conn) error {
			answer, err := b.publish(ctx, conn, fmt.Sprintf("second-%d", i))
			if err == nil && answer["success"] != true {
				left.Add(1)
			}
			return err
		})
		return left.Load() == 0
	}, 5*time.Minute, 500*time.Millisecond, "all are connected in the end")
	b.footprints(t, sessions)
}

// footprints prints what backends take up: the median of them, and the sum.
func (b *bundle) footprints(t *testing.T, sessions []*pgx.Conn) {
	t.Helper()
	plain := b.sessions(t, 1)[0]
	without, err := process.FootprintOf(int(plain.PgConn().PID()))
	require.NoError(t, err)
	var dirty, promised, space, threads []float64
	for _, conn := range sessions {
		has, err := process.FootprintOf(int(conn.PgConn().PID()))
		require.NoError(t, err)
		dirty = append(dirty, has.Dirty/1024)
		promised = append(promised, has.Promised/1024)
		space = append(space, has.Space/1024)
		threads = append(threads, has.Threads)
	}
	for _, row := range []struct {
		what    string
		without float64
		with    []float64
	}{
		{"private dirty MB", without.Dirty / 1024, dirty},
		{"MB that count with vm.overcommit_memory = 2", without.Promised / 1024, promised},
		{"MB of address space", without.Space / 1024, space},
		{"threads", without.Threads, threads},
	} {
		sum := 0.0
		for _, v := range row.with {
			sum += v
		}
		t.Logf("%s: %.1f without Go; with it %.1f (median), %.1f (most), %.0f (all %d)",
			row.what, row.without, slices.Sorted(slices.Values(row.with))[len(row.with)/2], slices.Max(row.with), sum, len(row.with))
	}
}
