package flow

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

func TestAStreamHasOneConsumerHoweverManyWebhooksAndWorkersThereAre(t *testing.T) {
	b := setup(t)
	webhooks := map[string]int32{}
	for _, name := range names("webhook", 5) {
		webhooks[name] = b.webhook(t, name, "nats")
	}
	for n := range 3 {
		b.worker(t, fmt.Sprintf("CONSUMER_NAME=worker-%d", n), "QUEUE_GROUP=postmen")
	}
	var events []string
	for name, id := range webhooks {
		for _, event := range names(name, 4) {
			published(t, b.application, id, event)
			events = append(events, event)
		}
	}
	b.arrived(t, events...)
	b.count(t, 3, "SELECT count(*) FROM rule_nats_consumer_stats WHERE active AND queue_group = 'postmen'")
	b.settled(t)

	_, js := natsserver.Connect(t, b.NATSURL())
	stream, err := js.Stream(t.Context(), system.Stream)
	require.NoError(t, err)
	var all []jetstream.ConsumerConfig
	consumers := stream.ListConsumers(t.Context())
	for info := range consumers.Info() {
		all = append(all, info.Config)
	}
	require.NoError(t, consumers.Err())
	require.Len(t, all, 1)
	require.Equal(t, "postmen", all[0].Durable)
	require.Empty(t, all[0].DeliverSubject, "it is a pull consumer")
}
