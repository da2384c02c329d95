package settings

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
)

func TestALimitThatSomebodySetInNATSAndThatLosesEventsIsNamed(t *testing.T) {
	b := setup(t)
	b.works(t)
	warnings := func(answer map[string]any) any { return answer["streams"].([]any)[0].(map[string]any)["warnings"] }
	require.Nil(t, warnings(b.health(t)))
	_, js := natsserver.Connect(t, b.nats.URL())
	stream, err := js.Stream(t.Context(), "WEBHOOKS")
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	config.MaxMsgsPerSubject, config.MaxAge, config.Discard = 3, time.Hour, jetstream.DiscardOld
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	const perSubject = "max_msgs_per_subject of 3, set in NATS, drops events that were not delivered"
	require.Equal(t, []any{perSubject, "max_age of 1h0m0s, set in NATS, drops events that were not delivered",
		"max_bytes of 1073741824, set in NATS, drops events that were not delivered"}, warnings(b.health(t)))
	// It mends what is in its row.
	require.Equal(t, []any{perSubject}, warnings(b.json(t, "SELECT rule_nats_init()")))
	require.Equal(t, []any{perSubject}, warnings(b.health(t)))
}
