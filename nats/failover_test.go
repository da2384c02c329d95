package nats

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnEventWhoseServerGoesSilentIsAckedByAnotherWithinItsTime(t *testing.T) {
	t.Parallel()
	first, second := newFake(t), newFake(t)
	with := func(connections int, in time.Duration) func(*Config) {
		return func(c *Config) {
			c.URLs = append(c.URLs, "nats://"+second.listen.Addr().String())
			c.MaxConnections = connections
			c.ConnectionTimeout, c.PublishTimeout = 2*time.Second, in
		}
	}
	// Half of the time is gone when the silence is noticed.
	one, two := newTestPool(t, first, with(1, 2*time.Second)), newTestPool(t, first, with(2, 10*time.Second))
	for _, p := range []*Pool{one, two} {
		require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	}
	require.Zero(t, second.open.Load())
	first.mute.Store(true)
	for _, outcome := range send(t, two, 20) {
		require.Equal(t, Acked, outcome.Kind, "%+v", outcome)
	}
	require.Equal(t, Stats{Total: 1, Healthy: 1, Requests: 21}, two.Stats())
	require.Eventually(t, func() bool { return first.open.Load() == 1 }, patience, 5*time.Millisecond, "the silent one is closed")

	require.Equal(t, Unknown, send(t, one, 1)[0].Kind, "with one connection it waits for the silent one")
}

func TestAConnectionThatAnswersInTheEndStaysWhenNoOtherComesAbout(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newTestPool(t, f, brief, func(c *Config) { c.MaxConnections = 2 })
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	before := p.carrier()
	f.mute.Store(true)
	require.Equal(t, Unknown, send(t, p, 1)[0].Kind)
	refusedAtOnce(t, p)
	require.Same(t, before, p.carrier())
	f.mute.Store(false)
	f.cut()
	require.Eventually(t, func() bool { return send(t, p, 1)[0].Kind == Acked }, patience, 10*time.Millisecond)
}
