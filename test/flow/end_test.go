package flow

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// A try may take a minute here, and a worker that is told to end has half of one: what has not been answered by then
// is given back, and was no try.
func TestSIGTERMEndsAWorkerInTimeWhateverItsEndpointsDo(t *testing.T) {
	b := setup(t)
	inStream, inQueue := b.webhook(t, "orders", "nats"), b.webhook(t, "bills", "queue")
	b.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000")
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Hang: true} })
	events := []string{"streamed", "queued"}
	published(t, b.application, inStream, events[0])
	publish(t, b.application, inQueue, events[1])
	first := b.worker(t)
	b.Endpoint.Wait(t, len(events), patience)
	require.NoError(t, first.Stop())
	b.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'again' AND try = 1 AND status IS NULL AND duration_ms > 15000")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_receipts WHERE state = 'waiting' AND retry_count = 0 AND lease_losses = 0")
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_queue WHERE status = 'pending' AND retry_count = 0 AND lease_losses = 0")

	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{} })
	b.worker(t)
	b.arrived(t, append(events, events...)...)
	b.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND try = 1")
	b.settled(t)
	b.count(t, len(b.Endpoint.Requests()), "SELECT count(*) FROM rule_webhook_attempts")
}

// What was fetched while Postgres is away is another worker's as soon as this one ends, and not only when its ack wait is over.
func TestSIGTERMGivesBackWhatPostgresHasNotJudged(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	line, env := b.databaseLine(t)
	published(t, b.application, id, "first")
	w := b.worker(t, env)
	b.arrived(t, "first")
	b.settled(t)
	line.Refuse(true)
	line.Cut()
	events := names("event", 3)
	for _, event := range events {
		published(t, b.application, id, event)
	}
	require.Eventually(t, func() bool {
		_, pending := b.consumer(t, b.NATS.URL())
		return pending == len(events)
	}, patience, 10*time.Millisecond)
	require.NoError(t, w.Stop())

	b.worker(t)
	b.arrived(t, append(events, "first")...)
	b.settled(t)
}

// Whoever asks a second time does not want to wait for endpoints. It is then as if the worker had been killed.
func TestASecondSignalEndsAWorkerAtOnceAndLosesNothing(t *testing.T) {
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(second.String(), func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", "nats")
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Hang: true} })
			b.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000 WHERE webhook_id = $1", id)
			published(t, b.application, id, "event")
			w := b.worker(t)
			b.Endpoint.Wait(t, 1, patience)
			require.NoError(t, w.Signal(syscall.SIGTERM))
			require.Eventually(t, func() bool { return strings.Contains(w.Log(), "stopping") }, patience, 10*time.Millisecond)
			require.NoError(t, w.Signal(second))
			// What is under way may go on for 20 s after the first one.
			require.ErrorContains(t, w.Wait(10*time.Second), "signal: "+second.String())

			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{} })
			b.leasesRunOut(t)
			b.worker(t)
			b.arrived(t, "event", "event")
			b.settled(t)
		})
	}
}

func TestAnEventWhoseWorkersDieIsRunAloneAndBecomesADeadLetter(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer { return endpoint.Answer{Hang: r.ID() == "bad"} })
			b.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000")
			neighbours := names("neighbour", 5)
			publish(t, b.application, id, "bad")
			for n := range 4 {
				w := b.worker(t)
				if n == 0 {
					for _, event := range neighbours {
						publish(t, b.application, id, event)
					}
					b.count(t, len(neighbours), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
				}
				b.Endpoint.Wait(t, len(neighbours)+n+1, patience)
				w.Kill()
				b.leasesRunOut(t)
				b.must(t, "UPDATE rule_webhook_queue SET next_retry_at = now() WHERE status = 'pending'")
			}
			b.worker(t)

			b.count(t, 1, "SELECT count(*) FROM rule_webhook_dead_letters WHERE message_id = 'bad' AND error_message LIKE 'poison%'")
			b.settled(t)
			require.Len(t, b.Endpoint.Requests(), len(neighbours)+4)
			b.count(t, len(neighbours), "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered' AND try = 1")
		})
	}
}

// Who may publish to the stream says what is sent, and the database where to.
func TestNothingInAMessageChoosesWhereItGoes(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "first") // makes the stream
	elsewhere := endpoint.Run(t)
	nc, _ := natsserver.Connect(t, b.NATS.URL())
	source := b.sourceID(t)
	require.NoError(t, nc.PublishMsg(&nats.Msg{
		Subject: "webhooks.orders",
		Data:    []byte(`{"webhook_url": "` + elsewhere.URL() + `", "url": "` + elsewhere.URL() + `"}`),
		Header: nats.Header{
			"Rule-Engine-Source": {source}, "Rule-Engine-Webhook-Id": {"1"}, "Rule-Engine-Message-Id": {"second"},
			"Rule-Engine-Webhook-Name": {elsewhere.URL()}, "Rule-Engine-Webhook-Url": {elsewhere.URL()}, "Host": {"elsewhere"},
			"Location": {elsewhere.URL()}, "Authorization": {"Bearer theirs"}, "Cookie": {"theirs=1"},
		},
	}))
	require.Equal(t, int32(1), id)
	b.worker(t)

	b.arrived(t, "first", "second")
	b.settled(t)
	require.Empty(t, elsewhere.Requests())
	first, second := b.Endpoint.Requests()[0], b.Endpoint.Requests()[1]
	require.Equal(t, first.Path, second.Path)
	for _, name := range []string{"Host", "Location", "Authorization", "Cookie"} {
		require.Equal(t, first.Header.Get(name), second.Header.Get(name), name)
	}
}

// Within the half minute that Kubernetes gives it.
func TestSIGTERMEndsAWorkerInTimeWhilePostgresAndNATSStandStill(t *testing.T) {
	t.Parallel()
	nats := natsserver.RunProcess(t)
	b := begun(t, system.RunWith(t, nats.URL()))
	inStream, inQueue := b.webhook(t, "orders", "nats"), b.webhook(t, "bills", "queue")
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Delay: 100 * time.Millisecond} })
	for _, event := range names("event", 200) {
		published(t, b.application, inStream, event)
		publish(t, b.application, inQueue, event)
	}
	w := b.worker(t)
	b.Endpoint.Wait(t, 100, patience)
	defer b.freeze(t)()
	require.NoError(t, nats.Freeze())
	require.NoError(t, w.Signal(syscall.SIGTERM))
	// It takes 27 s, and what a busy machine adds.
	require.NoError(t, w.Wait(40*time.Second))
}
