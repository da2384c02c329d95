package nats

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func ofStream(c *Config) {
	c.Streams = []Stream{{Name: "S", Subjects: []string{"a"}, DuplicateWindow: time.Minute}}
}

func TestAStreamThatDoesNotAnswerIsWaitedForOnceAndWhatWasNotSentIsNotUnknown(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newTestPool(t, f, brief, ofStream, func(c *Config) { c.ReconnectDelay = 200 * time.Millisecond })
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	f.quiet.Store(true)
	f.leaderless.Store(true)
	require.Equal(t, Unknown, send(t, p, 1)[0].Kind)
	require.Eventually(t, func() bool { return p.carrier().ready() }, patience, time.Millisecond)
	began := time.Now()
	for range 50 {
		require.Equal(t, "NATS is away: stream S does not answer", refusedAtOnce(t, p).Text)
		time.Sleep(10 * time.Millisecond)
	}
	require.LessOrEqual(t, f.asked.Load(), 2+time.Since(began).Milliseconds()/200, "one look in a reconnect delay")
	stored := f.seq.Load()

	f.quiet.Store(false)
	f.leaderless.Store(false)
	require.Eventually(t, func() bool { return send(t, p, 1)[0].Kind == Acked }, patience, 10*time.Millisecond)
	require.Equal(t, stored+1, f.seq.Load(), "what was reported as failed is not sent")
}

func TestAStreamWhoseLeaderIsElectedIsUsedSoonWhateverTheReconnectDelay(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newTestPool(t, f, brief, ofStream, func(c *Config) { c.ReconnectDelay = 10 * time.Minute })
	f.quiet.Store(true)
	f.leaderless.Store(true)
	require.Equal(t, Unknown, send(t, p, 1)[0].Kind)
	require.Eventually(t, func() bool {
		return send(t, p, 1)[0].Code == CodeAway && f.asked.Load() > 1
	}, patience, 10*time.Millisecond)
	f.quiet.Store(false)
	f.leaderless.Store(false)
	require.Eventually(t, func() bool { return send(t, p, 1)[0].Kind == Acked }, patience, 10*time.Millisecond)
}

func TestWhereALookWasWrongTheNextOneWaits(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newTestPool(t, f, brief, ofStream, func(c *Config) { c.ReconnectDelay = 10 * time.Minute })
	f.quiet.Store(true)
	answers := func() bool { return p.carrier().ready() && p.quiet([]Message{{Subject: "a"}}) == nil }
	require.Equal(t, Unknown, send(t, p, 1)[0].Kind)
	require.Eventually(t, answers, patience, time.Millisecond, "it says so")
	require.Equal(t, Unknown, send(t, p, 1)[0].Kind)
	require.Never(t, answers, 200*time.Millisecond, 10*time.Millisecond)
	require.Equal(t, CodeAway, send(t, p, 1)[0].Code)
	require.EqualValues(t, 1, f.asked.Load())
}

func TestALeaderNeedsAMajority(t *testing.T) {
	peers := func(n int, change func(i int, p *jetstream.PeerInfo)) *jetstream.ClusterInfo {
		c := &jetstream.ClusterInfo{Leader: "l"}
		for i := range n {
			p := &jetstream.PeerInfo{Active: time.Second}
			change(i, p)
			c.Replicas = append(c.Replicas, p)
		}
		return c
	}
	require.True(t, quorum(nil))
	require.True(t, quorum(peers(2, func(i int, p *jetstream.PeerInfo) { p.Offline = i == 0 })))
	require.False(t, quorum(peers(2, func(_ int, p *jetstream.PeerInfo) { p.Offline = true })))
	require.False(t, quorum(peers(2, func(_ int, p *jetstream.PeerInfo) { p.Active = time.Minute })))
	require.False(t, quorum(peers(4, func(i int, p *jetstream.PeerInfo) { p.Offline = i < 3 })))
	require.False(t, quorum(&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{{}}}))
}
