package nats

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// patience is for a machine on which a goroutine may stand still for a long time.
const patience = time.Minute

// newTestPool makes a pool with time-outs that nothing runs into by being slow; brief is for tests that wait for one.
func newTestPool(t *testing.T, f *fake, change ...func(*Config)) *Pool {
	t.Helper()
	config := Config{
		URLs: []string{"nats://" + f.listen.Addr().String()}, AuthType: "none", JetStream: true, MaxReconnects: -1,
		ConnectionTimeout: patience / 2, PublishTimeout: patience / 2, ReconnectDelay: 20 * time.Millisecond,
	}
	for _, f := range change {
		f(&config)
	}
	p := NewPool(config, "test", "source", nil)
	t.Cleanup(p.Close)
	return p
}

func brief(c *Config) { c.ConnectionTimeout, c.PublishTimeout = 2*time.Second, 2*time.Second }

// refusedAtOnce sends a message whose outcome must be there when Send returns: nobody has waited for anything.
func refusedAtOnce(t *testing.T, p *Pool) Outcome {
	t.Helper()
	var answered []Outcome // not guarded: only Send itself may write it
	p.Send([]Message{{Subject: "a", Header: map[string][]string{"Nats-Msg-Id": {"0"}}, Data: []byte("{}")}},
		func(outcomes []Outcome) { answered = outcomes })
	require.Len(t, answered, 1)
	require.Equal(t, Rejected, answered[0].Kind)
	require.Equal(t, CodeAway, answered[0].Code)
	return answered[0]
}

// send sends n messages as one batch and answers what became of them.
func send(t *testing.T, p *Pool, n int) []Outcome {
	t.Helper()
	messages := make([]Message, n)
	for i := range messages {
		messages[i] = Message{Subject: "a", Header: map[string][]string{"Nats-Msg-Id": {fmt.Sprint(i)}}, Data: []byte("{}")}
	}
	done := make(chan []Outcome, 2)
	p.Send(messages, func(outcomes []Outcome) { done <- outcomes })
	select {
	case outcomes := <-done:
		require.Len(t, outcomes, n)
		return outcomes
	case <-time.After(patience):
		require.Fail(t, "no outcomes")
		return nil
	}
}

func TestABatchIsAckedOrGivenUpAndTheNextOneFailsAtOnce(t *testing.T) {
	f := newFake(t)
	p := newTestPool(t, f, brief)
	for _, outcome := range send(t, p, 200) {
		require.Equal(t, Acked, outcome.Kind, "%+v", outcome)
	}
	f.mute.Store(true)
	for _, outcome := range send(t, p, 50) {
		require.Equal(t, Unknown, outcome.Kind)
		require.Equal(t, CodeNoAnswer, outcome.Code)
	}
	refusedAtOnce(t, p)

	f.mute.Store(false)
	f.cut()
	require.Eventually(t, func() bool { return send(t, p, 1)[0].Kind == Acked }, patience, 10*time.Millisecond)
}

func TestASilentServerIsWaitedForOnce(t *testing.T) {
	f := newFake(t)
	f.mute.Store(true)
	p := newTestPool(t, f, func(c *Config) { c.ConnectionTimeout = 300 * time.Millisecond })
	began := time.Now()
	require.Equal(t, CodeAway, send(t, p, 1)[0].Code)
	require.GreaterOrEqual(t, time.Since(began), 250*time.Millisecond)
	for range 20 {
		refusedAtOnce(t, p)
	}
}

func TestAKnownOutageIsAnsweredWithoutAnotherGoroutine(t *testing.T) {
	f := newFake(t)
	p := newTestPool(t, f)
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	require.NoError(t, f.listen.Close())
	f.cut()
	require.Eventually(t, func() bool { return !p.stands() }, patience, time.Millisecond)
	var answered []Outcome // not guarded: only Send itself may write it
	p.Send(make([]Message, 2), func(outcomes []Outcome) { answered = outcomes })
	require.Len(t, answered, 2)
	require.Equal(t, CodeAway, answered[1].Code)
}

func TestWhatTheServerDeniesIsReadFromItsWords(t *testing.T) {
	said := func(words string) error { return fmt.Errorf("%w: %s", nats.ErrPermissionViolation, words) }
	require.Equal(t, &deniedError{true, "a.b"}, denial(said(`Permissions Violation for Publish to "a.b"`)))
	require.Equal(t, &deniedError{false, "_INBOX.x.*"}, denial(said(`Permissions Violation for Subscription to "_INBOX.x.*"`)))
	require.Equal(t, &deniedError{false, "a"}, denial(said(`Permissions Violation for Subscription to "a" using queue "q"`)))
	require.Nil(t, denial(said(`Permissions Violation for Publish with Reply of "r"`)))
	require.Nil(t, denial(errors.New("something else")))
}
