package flow

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/proxy"
	"rule_engine/test/system"
)

// More than the ack wait and a lease: what NATS or Postgres has said into a line that is dead comes
// back after those.
const patienceWithLines = 100 * time.Second

// arrivedLate waits longer than arrived does.
func (b *bundle) arrivedLate(t *testing.T, ids ...string) {
	t.Helper()
	b.Endpoint.Await(len(ids), patienceWithLines)
	b.arrived(t, ids...)
}

// consumer is what NATS says of the group.
func (b *bundle) consumer(t *testing.T, of string) (waiting, pending int) {
	t.Helper()
	_, js := natsserver.Connect(t, of)
	consumer, err := js.Consumer(t.Context(), system.Stream, system.Group)
	require.NoError(t, err)
	info, err := consumer.Info(t.Context())
	require.NoError(t, err)
	return info.NumWaiting, info.NumAckPending
}

func TestWhileNATSIsFrozenOrCutOffTheQueueGoesOnAndAfterwardsTheStreamDoes(t *testing.T) {
	for _, harm := range []string{"frozen", "cut off", "restarted"} {
		t.Run(harm, func(t *testing.T) {
			t.Parallel()
			nats := natsserver.RunProcess(t)
			b := begun(t, system.RunWith(t, nats.URL()))
			// Long enough for a server that stands still on a busy machine, and soon over where it is frozen.
			b.must(t, "UPDATE rule_nats_config SET connection_timeout_ms = 5000, publish_timeout_ms = 5000")
			line := proxy.Run(t, nats.URL())
			inStream, inQueue := b.webhook(t, "orders", "nats"), b.webhook(t, "bills", "queue")
			w := b.worker(t, "NATS_URL="+line.URL())
			published(t, b.application, inStream, "before")
			b.arrived(t, "before")
			b.settled(t)

			switch harm {
			case "frozen":
				require.NoError(t, nats.Freeze())
			case "restarted":
				require.NoError(t, nats.Kill())
			case "cut off":
				line.BlackHole()
				// Nothing is sent to a request that has run out.
				require.Eventually(t, func() bool { waiting, _ := b.consumer(t, nats.URL()); return waiting == 0 }, patience, 50*time.Millisecond)
			}
			meanwhile, queued := names("meanwhile", 5), names("queued", 5)
			for i := range meanwhile {
				publish(t, b.application, inStream, meanwhile[i]) // into the queue, where NATS does not answer
				publish(t, b.application, inQueue, queued[i])
			}
			b.arrived(t, slices.Concat([]string{"before"}, queued)...)

			switch harm {
			case "frozen":
				require.NoError(t, nats.Thaw())
			case "restarted":
				require.NoError(t, nats.StartAgain())
			case "cut off":
				line.Heal()
				line.Cut()
			}
			publish(t, b.application, inStream, "after")
			b.arrivedLate(t, slices.Concat([]string{"before", "after"}, queued, meanwhile)...)
			require.True(t, w.Running())
			b.count(t, 12, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
			require.Len(t, b.Endpoint.Requests(), 12)
		})
	}
}

func TestWhilePostgresIsFrozenOrCutOffAWorkerHoldsWhatItFetchedAndSendsNothingTwice(t *testing.T) {
	for _, harm := range []string{"frozen", "cut off"} {
		t.Run(harm, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", "nats")
			line, env := b.databaseLine(t)
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Delay: 100 * time.Millisecond} })
			// It takes ten seconds over them.
			events := names("event", 200)
			for _, event := range events {
				published(t, b.application, id, event)
			}
			w := b.worker(t, "BATCH_SIZE=2", env)
			b.Endpoint.Wait(t, 4, patience)
			back := line.Heal
			if harm == "frozen" {
				back = b.freeze(t)
			} else {
				line.BlackHole()
				back = func() { line.Heal(); line.Cut() }
			}
			// It sends what it was given, and then nothing more, and fetches nothing more.
			var sent int
			still := 0
			for deadline := time.Now().Add(patience); still < 10; time.Sleep(100 * time.Millisecond) {
				require.True(t, time.Now().Before(deadline), "it goes on sending")
				still++
				if n := len(b.Endpoint.Requests()); n != sent {
					sent, still = n, 0
				}
			}
			require.Less(t, sent, len(events))
			// Those that are carried, at most twice as many as are sent at once, and those that wait to be told. An ack may be on its way.
			require.Eventually(t, func() bool { _, pending := b.consumer(t, b.NATSURL()); return pending <= 2*2+2*2 }, patience, 100*time.Millisecond)

			back()
			b.arrivedLate(t, events...)
			b.settled(t)
			b.arrived(t, events...)
			require.True(t, w.Running())
			b.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND try = 1")
		})
	}
}

// What comes when its request has been given up is back after the ack wait only.
func TestMessagesThatTakeLongOverASlowLineAreWaitedFor(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	events := names("event", 16)
	for _, event := range events {
		publishedBody(t, b.application, id, event, `"`+strings.Repeat("x", 500_000)+`"`)
	}
	line := proxy.Run(t, b.NATS.URL())
	line.Delay(50 * time.Millisecond) // a piece of at most 64 kB: 8 MB take six seconds
	b.worker(t, "NATS_URL="+line.URL())
	b.arrived(t, events...)
	b.settled(t)
	b.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts")
}
