package flow

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// An ack names a message by its sequence, which the new stream gives to another one.
func TestTheAckOfAMessageTakesNoneOfAStreamThatWasMadeAnew(t *testing.T) {
	for _, c := range []struct {
		name    string
		storage string
		anew    func(*testing.T, *bundle)
	}{
		{"in memory, by a restart of NATS", "memory", func(t *testing.T, b *bundle) {
			b.NATS.Stop()
			require.NoError(t, b.NATS.StartAgain())
		}},
		{"deleted", "file", func(t *testing.T, b *bundle) {
			_, js := natsserver.Connect(t, b.NATSURL())
			require.NoError(t, js.DeleteStream(t.Context(), system.Stream))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t)
			old, fresh, quick := b.webhook(t, "old", "nats"), b.webhook(t, "fresh", "nats"), b.webhook(t, "quick", "nats")
			b.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000")
			b.must(t, "UPDATE rule_nats_streams SET storage_type = $1", c.storage)
			answers := map[string]chan struct{}{"/old": make(chan struct{}), "/fresh": make(chan struct{})}
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer { return endpoint.Answer{Until: answers[r.Path]} })
			published(t, b.application, old, "old")
			first := b.worker(t)
			b.Endpoint.Wait(t, 1, patience)

			c.anew(t, b)
			require.Eventually(t, func() bool {
				return b.sum(t, "SELECT (rule_nats_init() ->> 'success')::boolean::integer") == 1
			}, patience, 50*time.Millisecond)
			// A session that has not to notice that NATS was away.
			application := b.Postgres.Connect(t, system.Database, system.Application)
			published(t, application, fresh, "fresh")
			b.inStream(t, 1)
			b.Endpoint.Wait(t, 2, patience)
			close(answers["/old"])
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'old' AND outcome = 'delivered'")
			published(t, application, quick, "quick")
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'quick' AND outcome = 'delivered'")
			b.inStream(t, 1)

			first.Kill()
			close(answers["/fresh"])
			b.leasesRunOut(t)
			b.worker(t)
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'fresh' AND outcome = 'delivered'")
			b.settled(t)
			b.arrived(t, "old", "fresh", "fresh", "quick")
		})
	}
}
