package flow

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

// saysOfItsConsumer waits until a worker has warned in these words, in one line.
func saysOfItsConsumer(t *testing.T, w *worker.Process, words ...string) {
	t.Helper()
	for i, word := range words {
		words[i] = regexp.QuoteMeta(word)
	}
	line := regexp.MustCompile("(?m)^.*level=WARN.*" + strings.Join(words, ".*"))
	require.Eventually(t, func() bool { return line.MatchString(w.Log()) }, patience, 20*time.Millisecond, "nothing says %s", line)
}

func changeable(t *testing.T) (b *bundle, js jetstream.JetStream, change func(func(*jetstream.ConsumerConfig))) {
	t.Helper()
	b = setup(t)
	_, js = natsserver.Connect(t, b.NATS.URL())
	return b, js, func(change func(*jetstream.ConsumerConfig)) {
		t.Helper()
		consumer, err := js.Consumer(t.Context(), system.Stream, system.Group)
		require.NoError(t, err)
		config := consumer.CachedInfo().Config
		change(&config)
		_, err = js.UpdateConsumer(t.Context(), system.Stream, config)
		require.NoError(t, err)
	}
}

func TestARunningWorkerTakesNothingFromAConsumerThatLosesEventsByNowAndSaysWhy(t *testing.T) {
	for field, how := range map[string]struct {
		change func(*jetstream.ConsumerConfig)
		says   string
	}{
		"max_deliver":    {func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 1 }, "max_deliver 1 instead of -1"},
		"filter_subject": {func(c *jetstream.ConsumerConfig) { c.FilterSubject = "webhooks.other" }, "filter_subject webhooks.other instead of webhooks.>"},
		"headers_only":   {func(c *jetstream.ConsumerConfig) { c.HeadersOnly = true }, "headers_only true instead of "},
	} {
		t.Run(field, func(t *testing.T) {
			b, js, change := changeable(t)
			id := b.webhook(t, "orders", "nats")
			published(t, b.application, id, "before")
			w := b.worker(t)
			b.arrived(t, "before")

			var right jetstream.ConsumerConfig
			change(func(c *jetstream.ConsumerConfig) {
				right = *c
				how.change(c)
			})
			saysOfItsConsumer(t, w, "waiting for the stream", "QUEUE_GROUP", "the consumer "+system.Group+" of the stream "+system.Stream+" has "+how.says)
			consumer, err := js.Consumer(t.Context(), system.Stream, system.Group)
			require.NoError(t, err)
			var info *jetstream.ConsumerInfo
			require.Eventually(t, func() bool {
				info, err = consumer.Info(t.Context())
				return err == nil && info.NumWaiting == 0
			}, patience, 20*time.Millisecond)
			published(t, b.application, id, "meanwhile")
			now, err := consumer.Info(t.Context())
			require.NoError(t, err)
			require.Equal(t, info.Delivered.Consumer, now.Delivered.Consumer)

			_, err = js.UpdateConsumer(t.Context(), system.Stream, right)
			require.NoError(t, err)
			b.arrived(t, "before", "meanwhile")
			b.settled(t)
		})
	}
}

func TestARunningWorkerGoesOnWithAConsumerThatLosesNothingAndSaysWhatWasChanged(t *testing.T) {
	b, _, change := changeable(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "before")
	w := b.worker(t)
	b.arrived(t, "before")
	change(func(c *jetstream.ConsumerConfig) { c.AckWait = 50 * time.Second })
	saysOfItsConsumer(t, w, "the consumer was changed", "ack_wait 50s instead of ")
	published(t, b.application, id, "after")
	b.arrived(t, "before", "after")

	// Also where it has to look for it anew.
	b.NATS.Stop()
	require.NoError(t, b.NATS.StartAgain())
	require.Eventually(t, func() bool { waiting, _ := b.consumes(t, system.Group); return waiting > 0 }, patience, 20*time.Millisecond)
	published(t, b.Postgres.Connect(t, system.Database, system.Application), id, "restarted")
	b.arrived(t, "before", "after", "restarted")
	b.settled(t)
}

func TestARunningWorkerSaysThatItsConsumerIsPausedAndUntilWhen(t *testing.T) {
	b, js, _ := changeable(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "before")
	w := b.worker(t)
	b.arrived(t, "before")
	until := time.Now().Add(time.Hour).UTC()
	_, err := js.PauseConsumer(t.Context(), system.Stream, system.Group, until)
	require.NoError(t, err)
	saysOfItsConsumer(t, w, "the consumer is paused: until "+until.Format(time.RFC3339))
	published(t, b.application, id, "paused")
	_, err = js.ResumeConsumer(t.Context(), system.Stream, system.Group)
	require.NoError(t, err)
	b.arrived(t, "before", "paused")
	b.settled(t)
	require.NotContains(t, w.Log(), "waiting for the stream")
}
