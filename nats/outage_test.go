package nats

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// board is what two pools of a test tell each other.
type board struct {
	mu   sync.Mutex
	told Told
	at   time.Time
}

func (b *board) Known(lease time.Duration) (Told, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told <= Stands || lease == 0 || time.Now().Before(b.at) {
		return b.told, false
	}
	b.at = time.Now().Add(lease)
	return b.told, true
}

func (b *board) Away(told Told, pause time.Duration) { b.set(told, time.Now().Add(pause)) }
func (b *board) Back()                               { b.set(Stands, time.Now()) }

func (b *board) set(told Told, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told, b.at = told, at
}

func sharing(t *testing.T, f *fake, b *board, change ...func(*Config)) *Pool {
	t.Helper()
	p := newTestPool(t, f, change...)
	p.outage = b
	return p
}

const pause = 3 * time.Second

func pausing(c *Config) { c.ReconnectDelay = pause }

func TestWhatOneSessionFoundOutTheOthersKnow(t *testing.T) {
	t.Parallel()
	f, b := newFake(t), &board{}
	f.mute.Store(true)
	one, two := sharing(t, f, b, brief, pausing), sharing(t, f, b, brief, pausing)
	began := time.Now()
	require.Equal(t, "NATS is away: timed out", send(t, one, 1)[0].Text)
	require.EqualValues(t, 1, f.tried.Load())
	require.Equal(t, "NATS is away: timed out, as another session found", refusedAtOnce(t, two).Text)
	require.EqualValues(t, 1, f.tried.Load(), "and without a try")

	// Each pause has one try, whoever makes it, and nobody waits for it.
	for f.tried.Load() < 3 {
		for _, p := range []*Pool{one, two} {
			refusedAtOnce(t, p)
		}
		require.Less(t, time.Since(began), patience)
		time.Sleep(5 * time.Millisecond)
	}
	require.LessOrEqual(t, f.tried.Load(), 1+int64(time.Since(began)/pause))

	// Once one of them has connected the other does so at its next publish.
	f.mute.Store(false)
	require.Eventually(t, func() bool { return send(t, one, 1)[0].Kind == Acked }, patience, 5*time.Millisecond)
	require.Equal(t, Acked, send(t, two, 1)[0].Kind)
}

func TestClientsThatLostTheirConnectionsKnockInTurnAndReturnTogether(t *testing.T) {
	t.Parallel()
	f, b := newFake(t), &board{}
	const sessions = 10
	pools := make([]*Pool, sessions)
	for i := range pools {
		pools[i] = sharing(t, f, b, brief, pausing)
		require.Equal(t, Acked, send(t, pools[i], 1)[0].Kind)
	}
	before, away := f.tried.Load(), time.Now()
	f.mute.Store(true)
	f.cut()
	time.Sleep(3 * pause) // what is measured
	// Each may have tried before it was known.
	require.LessOrEqual(t, f.tried.Load()-before, sessions+1+int64(time.Since(away)/pause))

	f.mute.Store(false)
	f.cut()
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.told == Stands
	}, patience, time.Millisecond)
	began := time.Now()
	for _, p := range pools {
		require.Eventually(t, func() bool { return send(t, p, 1)[0].Kind == Acked }, patience, 5*time.Millisecond)
	}
	require.Less(t, time.Since(began), pause, "no further pause")
}

func TestASessionThatEndsDuringItsTurnKeepsItForItsLeaseOnly(t *testing.T) {
	t.Parallel()
	f, b := newFake(t), &board{}
	p := sharing(t, f, b, brief)
	b.Away(Refused, 0)
	_, try := p.heard()
	require.True(t, try)
	refusedAtOnce(t, p)
	require.Zero(t, f.tried.Load())
	require.Eventually(t, func() bool { return send(t, p, 1)[0].Kind == Acked }, patience, 5*time.Millisecond)
}

func TestWhatIsWrongWithSettingsIsNoOutageForOthers(t *testing.T) {
	f, b := newFake(t), &board{}
	p := sharing(t, f, b, func(c *Config) { c.AuthType = "nkey" })
	require.Equal(t, CodeSettings, send(t, p, 1)[0].Code)
	require.Equal(t, Nothing, b.told)
}
