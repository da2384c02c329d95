package flow

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// inStream waits until so many messages lie in the stream; where nothing was published there is none.
func (b *bundle) inStream(t *testing.T, want uint64) {
	t.Helper()
	_, js := natsserver.Connect(t, b.NATSURL())
	stream, err := js.Stream(t.Context(), system.Stream)
	if want == 0 && errors.Is(err, jetstream.ErrStreamNotFound) {
		return
	}
	require.NoError(t, err)
	var got uint64
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		info, err := stream.Info(t.Context())
		require.NoError(t, err)
		if got = info.State.Msgs; got == want {
			return
		}
		if time.Now().After(deadline) {
			for consumer := range stream.ListConsumers(t.Context()).Info() {
				t.Logf("consumer %s: %d pending, %d delivered and not acknowledged", consumer.Name, consumer.NumPending, consumer.NumAckPending)
			}
			require.Equal(t, want, got, "messages in the stream")
		}
	}
}

// leasesRunOut makes now the moment at which the leases of a dead worker and the server's wait for
// its acks are over: more than a minute would pass else. No worker may run.
func (b *bundle) leasesRunOut(t *testing.T) {
	t.Helper()
	// The server may still be at the last call of one that was killed.
	b.count(t, 0, "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", system.Carrier)
	for _, table := range []string{"rule_webhook_queue", "rule_webhook_receipts"} {
		b.must(t, "UPDATE "+table+" SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL")
	}
	_, js := natsserver.Connect(t, b.NATSURL())
	stream, err := js.Stream(t.Context(), system.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return // nothing was published
	}
	require.NoError(t, err)
	consumer, err := stream.Consumer(t.Context(), system.Group)
	require.NoError(t, err)
	ackWait := consumer.CachedInfo().Config.AckWait

	consumer = b.waitForAcks(t, 100*time.Millisecond)
	// The last delivery of each message, new or back from the dead worker; only that one counts. NATS may still be at the
	// last acks of the dead one, so how many there are is asked each time.
	held := map[uint64]jetstream.Msg{}
	for deadline := time.Now().Add(patience); ; {
		info, err := consumer.Info(t.Context())
		require.NoError(t, err)
		if info.NumPending == 0 && info.NumAckPending <= len(held) {
			break
		}
		require.True(t, time.Now().Before(deadline), "of %d messages %d come back", info.NumAckPending+int(info.NumPending), len(held))
		batch, err := consumer.Fetch(info.NumAckPending+int(info.NumPending), jetstream.FetchMaxWait(300*time.Millisecond))
		require.NoError(t, err)
		for msg := range batch.Messages() {
			metadata, err := msg.Metadata()
			require.NoError(t, err)
			held[metadata.Sequence.Stream] = msg
		}
	}
	b.waitForAcks(t, ackWait)
	for _, msg := range held {
		require.NoError(t, msg.Nak())
	}
}

// waitForAcks changes how long the server waits for an ack before it hands a message out again.
func (b *bundle) waitForAcks(t *testing.T, so time.Duration) jetstream.Consumer {
	t.Helper()
	_, js := natsserver.Connect(t, b.NATSURL())
	consumer, err := js.Consumer(t.Context(), system.Stream, system.Group)
	require.NoError(t, err)
	config := consumer.CachedInfo().Config
	config.AckWait = so
	consumer, err = js.UpdateConsumer(t.Context(), system.Stream, config)
	require.NoError(t, err)
	return consumer
}
