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

	"rule_engine/test/proxy"
)

// Fifty backends publish without a pause while NATS is away and when it comes back. Each may knock
// once in a reconnect delay.
func TestFiftyBackendsDoNotHammerANATSThatIsAwayOrComesBack(t *testing.T) {
	const (
		backends = 50
		delay    = time.Second
		away     = 4 * time.Second
	)
	b := setup(t)
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
	var knocksAway int
	require.NoError(t, b.nats.Kill())
	began := time.Now()
	var restart sync.WaitGroup
	restart.Go(func() {
		time.Sleep(away) // what is measured
		knocksAway = line.Accepted() - backends/2
		back.Store(b.nats.StartAgain() == nil)
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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
	took := time.Since(began) - away
	restart.Wait()
	require.True(t, back.Load())
	knocks := line.Accepted() - backends/2 - knocksAway
	t.Logf("%d connections were tried in the %v that NATS was away, %d until each of %d backends had published again, %v after it was started",
		knocksAway, away, knocks, backends, took.Round(time.Millisecond))
	// One each at once and one each delay.
	require.LessOrEqual(t, knocksAway, backends*int(1+away/delay))
	require.LessOrEqual(t, knocks, backends*int(2+took/delay))
	require.Less(t, took, 5*time.Second)
}
