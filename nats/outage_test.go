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

func pausing(c *Config) { c.ReconnectDelay = 400 * time.Millisecond }

func TestWhatOneSessionFoundOutTheOthersKnow(t *testing.T) {
	f, b := newFake(t), &board{}
	f.mute.Store(true)
	one, two := sharing(t, f, b, pausing), sharing(t, f, b, pausing)
	require.Equal(t, "NATS is away: timed out", send(t, one, 1)[0].Text)
	require.EqualValues(t, 1, f.tried.Load())
	began := time.Now()
	outcome := send(t, two, 1)[0]
	require.Less(t, time.Since(began), 100*time.Millisecond)
	require.Equal(t, Rejected, outcome.Kind)
	require.Equal(t, "NATS is away: timed out, as another session found", outcome.Text)
	require.EqualValues(t, 1, f.tried.Load(), "and without a try")

	// Each pause has one try, whoever makes it, and nobody waits for it.
	for time.Since(began) < 2*time.Second {
		for _, p := range []*Pool{one, two} {
			at := time.Now()
			require.Equal(t, CodeAway, send(t, p, 1)[0].Code)
			require.Less(t, time.Since(at), 100*time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond)
	}
	require.LessOrEqual(t, f.tried.Load(), int64(5))
	require.Greater(t, f.tried.Load(), int64(2))

	// Once one of them has connected the other does so at its next publish.
	f.mute.Store(false)
	require.Eventually(t, func() bool { return send(t, one, 1)[0].Kind == Acked }, 5*time.Second, 5*time.Millisecond)
	require.Equal(t, Acked, send(t, two, 1)[0].Kind)
}

func TestClientsThatLostTheirConnectionsKnockInTurnAndReturnTogether(t *testing.T) {
	f, b := newFake(t), &board{}
	const sessions = 10
	pools := make([]*Pool, sessions)
	for i := range pools {
		pools[i] = sharing(t, f, b, pausing)
		require.Equal(t, Acked, send(t, pools[i], 1)[0].Kind)
	}
	f.mute.Store(true)
	f.cut()
	time.Sleep(time.Second) // each may have tried before it was known
	before := f.tried.Load()
	time.Sleep(2 * time.Second) // what is measured
	require.LessOrEqual(t, f.tried.Load()-before, int64(6))

	f.mute.Store(false)
	f.cut()
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.told == Stands
	}, 5*time.Second, time.Millisecond)
	began := time.Now()
	for _, p := range pools {
		require.Eventually(t, func() bool { return send(t, p, 1)[0].Kind == Acked }, 5*time.Second, 5*time.Millisecond)
	}
	require.Less(t, time.Since(began), 300*time.Millisecond, "no further pause")
}

func TestASessionThatEndsDuringItsTurnKeepsItForItsLeaseOnly(t *testing.T) {
	f, b := newFake(t), &board{}
	p := sharing(t, f, b)
	b.Away(Refused, 0)
	_, try := p.heard()
	require.True(t, try)
	require.Equal(t, CodeAway, send(t, p, 1)[0].Code)
	require.Zero(t, f.tried.Load())
	require.Eventually(t, func() bool { return send(t, p, 1)[0].Kind == Acked }, 5*time.Second, 5*time.Millisecond)
}

func TestWhatIsWrongWithSettingsIsNoOutageForOthers(t *testing.T) {
	f, b := newFake(t), &board{}
	p := sharing(t, f, b, func(c *Config) { c.AuthType = "nkey" })
	require.Equal(t, CodeSettings, send(t, p, 1)[0].Code)
	require.Equal(t, Nothing, b.told)
}
