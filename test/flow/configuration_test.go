package flow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

func TestOfNATSURLOnlyTheServerIsLogged(t *testing.T) {
	t.Parallel()
	const token = "hunter2"
	nats := natsserver.Run(t, func(o *server.Options) { o.Authorization = token })
	url := strings.Replace(nats.URL(), "nats://", "nats://"+token+"@", 1)
	b := bundleOf(t, system.RunWith(t, url))
	id := b.webhook(t, "orders", "nats")
	w := b.worker(t)
	published(t, b.application, id, "first")
	b.arrived(t, "first")
	require.Contains(t, w.Log(), fmt.Sprintf("server=127.0.0.1:%d", nats.Port))
	require.NotContains(t, w.Log(), token)
}
