package nats

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func newTestPool(t *testing.T, f *fake, change ...func(*Config)) *Pool {
	t.Helper()
	config := Config{
		URLs: []string{"nats://" + f.listen.Addr().String()}, AuthType: "none", JetStream: true, MaxReconnects: -1,
		ConnectionTimeout: 300 * time.Millisecond, PublishTimeout: 300 * time.Millisecond, ReconnectDelay: 20 * time.Millisecond,
	}
	for _, f := range change {
		f(&config)
	}
	p := NewPool(config, "test", "source", nil)
	t.Cleanup(p.Close)
	return p
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
	case <-time.After(2 * time.Second):
		require.Fail(t, "no outcomes")
		return nil
	}
}

func TestABatchIsAckedOrGivenUpAndTheNextOneFailsAtOnce(t *testing.T) {
	f := newFake(t)
	p := newTestPool(t, f)
	for _, outcome := range send(t, p, 200) {
		require.Equal(t, Acked, outcome.Kind, "%+v", outcome)
	}
	f.mute.Store(true)
	for _, outcome := range send(t, p, 50) {
		require.Equal(t, Unknown, outcome.Kind)
		require.Equal(t, CodeNoAnswer, outcome.Code)
	}
	began := time.Now()
	require.Equal(t, Rejected, send(t, p, 1)[0].Kind)
	require.Less(t, time.Since(began), 100*time.Millisecond)

	f.mute.Store(false)
	f.cut()
	require.Eventually(t, func() bool { return send(t, p, 1)[0].Kind == Acked }, 5*time.Second, 10*time.Millisecond)
}

func TestASilentServerIsWaitedForOnce(t *testing.T) {
	f := newFake(t)
	f.mute.Store(true)
	p := newTestPool(t, f)
	began := time.Now()
	require.Equal(t, CodeAway, send(t, p, 1)[0].Code)
	require.GreaterOrEqual(t, time.Since(began), 250*time.Millisecond)
	began = time.Now()
	for range 20 {
		require.Equal(t, CodeAway, send(t, p, 1)[0].Code)
	}
	require.Less(t, time.Since(began), 200*time.Millisecond)
}

func TestAKnownOutageIsAnsweredWithoutAnotherGoroutine(t *testing.T) {
	f := newFake(t)
	p := newTestPool(t, f)
	require.Equal(t, Acked, send(t, p, 1)[0].Kind)
	require.NoError(t, f.listen.Close())
	f.cut()
	require.Eventually(t, func() bool { return !p.stands() }, 5*time.Second, time.Millisecond)
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
