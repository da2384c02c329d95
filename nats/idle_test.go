package nats

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAPoolThatIsNotUsedClosesItsConnectionAndTheNextUseOpensOne(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newTestPool(t, f, func(c *Config) { c.IdleTimeout = 2 * time.Second })
	for range 2 {
		require.Equal(t, Acked, send(t, p, 1)[0].Kind)
		require.Equal(t, 1, p.Stats().Total)
		require.Eventually(t, func() bool { return f.open.Load() == 0 }, patience, 5*time.Millisecond)
		require.Equal(t, 0, p.Stats().Total)
	}
}

func TestAPublishThatBeginsAsItsPoolIsClosedForIdlenessIsAcked(t *testing.T) {
	f := newFake(t)
	p := newTestPool(t, f, func(c *Config) { c.IdleTimeout = time.Millisecond })
	for i := range 300 {
		require.Equal(t, Acked, send(t, p, 3)[2].Kind)
		time.Sleep(time.Millisecond - time.Duration(i)*time.Microsecond)
	}
}

func TestAPoolIsNotClosedWhileItWaitsForAnAck(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newTestPool(t, f, func(c *Config) { c.IdleTimeout = 2 * time.Second })
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	f.mute.Store(true)
	done := make(chan []Outcome, 1)
	p.Send([]Message{{Subject: "a", Header: map[string][]string{"Nats-Msg-Id": {"1"}}}}, func(outcomes []Outcome) { done <- outcomes })
	time.Sleep(3 * p.config.IdleTimeout / 2)
	require.EqualValues(t, 1, f.open.Load())
	require.Equal(t, 1, p.Stats().Total)
	f.mute.Store(false)
	f.cut()
	<-done
}

func TestAPoolThatRestsForgetsWhatFailedWhileItsConnectionStood(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newTestPool(t, f, func(c *Config) {
		c.IdleTimeout = 5 * time.Second
		c.MaxConnections = 2
		c.ConnectionTimeout = 2 * time.Second
	})
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	first := p.carrier()
	// In doubt, the server answers neither the PING nor the second connection.
	f.mute.Store(true)
	p.failOver(first)
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.attempt == nil
	}, patience, time.Millisecond)
	f.mute.Store(false)
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	require.Same(t, first, p.carrier())
	require.Eventually(t, func() bool { return f.open.Load() == 0 }, patience, 5*time.Millisecond)
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
}

func TestAnIdlePoolKeepsAConnectionThatIsLostUntilItStandsAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newTestPool(t, f, brief, func(c *Config) { c.IdleTimeout = 2 * time.Second })
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	f.mute.Store(true)
	f.cut()
	require.Eventually(t, func() bool { return !p.stands() }, patience, time.Millisecond)
	time.Sleep(2 * p.config.IdleTimeout)
	f.mute.Store(false)
	require.Eventually(t, p.stands, patience, time.Millisecond)
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	require.Eventually(t, func() bool { return f.open.Load() == 0 }, patience, 5*time.Millisecond)
}
