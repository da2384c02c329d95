package nats

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestThatTheClientGaveUpIsKnownHoweverOftenTheConnectionCameAndWent(t *testing.T) {
	f := newFake(t)
	p := newTestPool(t, f)
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	l := p.carrier()
	// Whoever follows the client's state is held up meanwhile.
	l.mu.Lock()
	for range 12 {
		before := l.conn.Stats().Reconnects
		f.cut()
		require.Eventually(t, func() bool { return l.conn.Stats().Reconnects > before }, patience, time.Millisecond)
		_ = l.conn.ForceReconnect()
	}
	l.conn.Close()
	l.mu.Unlock()
	require.Eventually(t, l.over.Load, patience, 5*time.Millisecond)
	require.Eventually(t, func() bool { return send(t, p, 1)[0].Kind == Acked }, patience, 5*time.Millisecond, "another connection is opened")
}

func TestAConnectionThatHadStoodIsSoonMadeAnewAndOneThatHadNotIsNotHammered(t *testing.T) {
	t.Parallel()
	const delay = 10 * time.Second
	f := newFake(t)
	p := newTestPool(t, f, func(c *Config) { c.ReconnectDelay = delay })
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	p.carrier().since.Store(time.Now().Add(-delay).UnixNano())
	began := time.Now()
	f.cut()
	require.Eventually(t, func() bool { return f.tried.Load() == 2 && send(t, p, 1)[0].Kind == Acked }, delay, 10*time.Millisecond)
	require.Less(t, time.Since(began), delay)

	f.cut()
	require.Never(t, func() bool { return f.tried.Load() > 2 }, delay/4+time.Second, 10*time.Millisecond)
}
