package backends

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/postgres"
	"rule_engine/test/proxy"
)

const (
	backends = 50
	delay    = time.Second
	away     = 4 * time.Second
)

// Each backend may knock at once and once in a reconnect delay.
func TestFiftyBackendsDoNotHammerANATSThatIsAwayOrComesBack(t *testing.T) {
	gone, knocksAway, knocks, took := storm(t)
	require.LessOrEqual(t, knocksAway, backends*int(1+gone/delay))
	require.LessOrEqual(t, knocks, backends*int(2+took/delay))
}

// Each may knock before it is known that NATS is away; from then on all together do once in a reconnect
// delay, until one has found that it is back.
func TestPreloadedFiftyBackendsKnockAsOne(t *testing.T) {
	gone, knocksAway, knocks, took := storm(t, preloaded)
	require.LessOrEqual(t, knocksAway, backends+int(1+gone/delay))
	require.LessOrEqual(t, knocks, backends+int(2+took/delay))
}

// storm has backends publish without a pause while NATS is away and when it comes back, and counts how often they
// knocked, how long it was gone, and how long all took then.
func storm(t *testing.T, opts ...postgres.Option) (gone time.Duration, knocksAway, knocks int, took time.Duration) {
	b := setup(t, opts...)
	line := proxy.Run(t, b.nats.URL())
	b.must(t, "UPDATE rule_nats_config SET nats_url = $1, reconnect_delay_ms = $2", line.URL(), delay.Milliseconds())
	// Half of them were connected before, half have never been.
	sessions := b.sessions(t, backends)
	each(t, sessions[:backends/2], func(i int, conn *pgx.Conn) error {
		answer, err := b.publish(t.Context(), conn, fmt.Sprintf("before-%d", i))
		if err == nil && answer["success"] != true {
			err = fmt.Errorf("%v", answer)
		}
		return err
	})
	require.Equal(t, backends/2, line.Accepted())

	var back atomic.Bool
	began := time.Now()
	require.NoError(t, b.nats.Kill())
	var restart sync.WaitGroup
	restart.Go(func() {
		time.Sleep(away) // what is measured
		knocksAway, gone = line.Accepted()-backends/2, time.Since(began)
		back.Store(b.nats.StartAgain() == nil)
	})
	ctx, cancel := context.WithTimeout(t.Context(), away+2*patience)
	defer cancel()
	each(t, sessions, func(i int, conn *pgx.Conn) error {
		for n := 0; ; n++ {
			answer, err := b.publish(ctx, conn, fmt.Sprintf("storm-%d-%d", i, n))
			if err != nil || answer["success"] == true {
				return err
			}
			time.Sleep(10 * time.Millisecond) // an application that goes on
		}
	})
	restart.Wait()
	took = time.Since(began) - gone
	require.True(t, back.Load())
	knocks = line.Accepted() - backends/2 - knocksAway
	t.Logf("%d connections were tried in the %v that NATS was away, %d until each of %d backends had published again, %v after it was started",
		knocksAway, gone.Round(time.Millisecond), knocks, backends, took.Round(time.Millisecond))
	require.Less(t, took, patience)
	return gone, knocksAway, knocks, took
}
