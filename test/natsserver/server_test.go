package natsserver

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func publish(t *testing.T, url string) (uint64, error) {
	t.Helper()
	_, js := Connect(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err != nil {
		return 0, err
	}
	ack, err := js.Publish(ctx, "s", nil)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func requireSequence(t *testing.T, url string, want uint64) {
	t.Helper()
	got, err := publish(t, url)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestAStoppedServerComesBackWithItsStreams(t *testing.T) {
	s := Run(t)
	requireSequence(t, s.URL(), 1)

	s.Stop()
	_, err := nats.Connect(s.URL())
	require.Error(t, err)

	require.NoError(t, s.StartAgain())
	requireSequence(t, s.URL(), 2)
}

func TestAProcessIsFrozenKilledAndStartedAgain(t *testing.T) {
	p := RunProcess(t)
	requireSequence(t, p.URL(), 1)

	_, js := Connect(t, p.URL())
	require.NoError(t, p.Freeze())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := js.Publish(ctx, "s", nil)
	require.Error(t, err)
	require.NoError(t, p.Thaw())

	require.NoError(t, p.Kill())
	require.NoError(t, p.StartAgain())
	_, err = publish(t, p.URL())
	require.NoError(t, err)
}
