package settings

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

func TestAServerWithoutRoomForTheStream(t *testing.T) {
	b := setup(t, func(o *server.Options) { o.JetStreamMaxStore = 1 << 20 })
	b.refusedPublish(t, "no_stream", "stream WEBHOOKS could not be made: insufficient storage resources available")
	init := b.json(t, "SELECT rule_nats_init()")
	require.Equal(t, false, init["success"])
	require.Contains(t, init["message"], "insufficient storage")
	b.exec(t, "UPDATE rule_nats_streams SET max_bytes = 1 << 19")
	b.works(t)
}

func TestAStreamWhoseBytesAreUsedUp(t *testing.T) {
	b := setup(t)
	b.exec(t, "UPDATE rule_nats_streams SET max_bytes = 1000")
	b.works(t)
	require.Eventually(t, func() bool { return b.publish(t)["error_code"] == "stream_full" }, patience, time.Millisecond)
	b.refusedPublish(t, "stream_full", "the stream does not take it: maximum bytes exceeded")
	b.exec(t, "UPDATE rule_nats_streams SET max_bytes = 100000")
	require.Equal(t, true, b.json(t, "SELECT rule_nats_init()")["success"])
	b.works(t)
}

func TestAServerWithoutJetStream(t *testing.T) {
	b := setup(t, withoutJetStream)
	b.refusedPublish(t, "no_stream", `no stream takes subject "webhooks.orders"`)
	b.set(t, "jetstream_enabled = false")
	b.works(t)
}

func TestAHostThatHasNoAddress(t *testing.T) {
	b := setup(t)
	b.set(t, "nats_url = 'nats://nobody.invalid:4222', connection_timeout_ms = 900")
	b.refused(t, "nats_away", "")
	b.set(t, "nats_cluster_urls = ARRAY[$1]", b.nats.URL())
	require.Eventually(t, func() bool { return b.publish(t)["success"] == true }, patience, 50*time.Millisecond)
}
