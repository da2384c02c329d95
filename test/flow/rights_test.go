package flow

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// needed is what the README says that a worker's account must be allowed to publish.
var needed = []string{
	"$JS.API.STREAM.INFO." + system.Stream,
	"$JS.API.CONSUMER.INFO." + system.Stream + "." + system.Group,
	"$JS.API.CONSUMER.CREATE." + system.Stream + "." + system.Group + ".>",
	"$JS.API.CONSUMER.MSG.NEXT." + system.Stream + "." + system.Group,
	"$JS.ACK." + system.Stream + "." + system.Group + ".>",
}

// setupRights has a worker's account that may publish what is needed and to these subjects. env lets a worker have it.
func setupRights(t *testing.T, subjects ...string) (b *bundle, env string) {
	t.Helper()
	t.Parallel()
	nats := natsserver.Run(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "postgres", Password: "p"},
			{Username: "worker", Password: "p", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: slices.Concat(needed, subjects)},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
		}
	})
	as := func(user string) string { return strings.Replace(nats.URL(), "nats://", "nats://"+user+":p@", 1) }
	return begun(t, system.RunWith(t, as("postgres"))), "NATS_URL=" + as("worker")
}

func TestWhatAWorkersAccountMayNotPublishGoesToItsEndpointAfterAMinute(t *testing.T) {
	b, account := setupRights(t)
	id := b.webhook(t, "orders", "nats")
	w := b.worker(t, account)
	published(t, b.application, id, "first")
	b.arrived(t, "first")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE path = 'stream' AND outcome = 'delivered'")

	b.must(t, "UPDATE rule_nats_config SET enabled = false")
	events := names("event", 3)
	for _, event := range events {
		require.Equal(t, "queue", publish(t, b.application, id, event)["nats"]["fallback"])
	}
	b.must(t, "UPDATE rule_nats_config SET enabled = true")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_queue WHERE message_id = 'event-1' AND error_message LIKE '%Publish to%' AND route = 'publish'")
	b.must(t, "UPDATE rule_webhook_queue SET created_at = now() - interval '61 s'")
	at := time.Now()
	b.arrived(t, append(events, "first")...)
	require.Less(t, time.Since(at), patience/2, "no time-out is waited for")
	b.count(t, 3, "SELECT count(*) FROM rule_webhook_attempts WHERE path = 'queue' AND outcome = 'delivered'")
	require.Equal(t, 1, strings.Count(w.Log(), `Publish to \"webhooks.orders`), w.Log())
	require.Less(t, strings.Count(w.Log(), "\n"), 8, w.Log())
}
