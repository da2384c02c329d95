package flow

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/proxy"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

func saysNamesake(w *worker.Process) bool { return strings.Contains(w.Log(), "CONSUMER_NAME") }

// Postgres takes one for the other.
func TestTwoProcessesOfOneNameBothSayThatEachNeedsItsOwn(t *testing.T) {
	b := setup(t)
	first, second := b.worker(t, "CONSUMER_NAME=one"), b.worker(t, "CONSUMER_NAME=one")
	other := b.worker(t, "CONSUMER_NAME=other")
	require.Eventually(t, func() bool { return saysNamesake(first) && saysNamesake(second) }, 2*patience, 50*time.Millisecond)
	require.False(t, saysNamesake(other), other.Log())
}

func TestAProcessThatWasKilledAndStartedAgainIsNoSecondOneOfItsName(t *testing.T) {
	for _, sources := range []string{"stream,queue", "queue"} {
		t.Run("after one of "+sources, func(t *testing.T) {
			b := setup(t)
			first := b.worker(t, "CONSUMER_NAME=one", "WORKER_SOURCES="+sources)
			b.count(t, 1, "SELECT count(instance) FROM rule_nats_consumer_stats")
			var dead int64
			require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT instance FROM rule_nats_consumer_stats WHERE instance IS NOT NULL").Scan(&dead))
			first.Kill()
			second := b.worker(t, "CONSUMER_NAME=one")
			// In three heartbeats two processes would have heard of each other.
			var since time.Time
			heard := "SELECT count(*) FROM rule_nats_consumer_stats WHERE instance <> $1 AND instance_at > $2"
			b.count(t, 1, heard, dead, since)
			require.NoError(t, b.admin.QueryRow(t.Context(),
				"SELECT instance_at FROM rule_nats_consumer_stats WHERE instance <> $1", dead).Scan(&since))
			require.Eventually(t, func() bool {
				var n int
				return b.admin.QueryRow(t.Context(), heard, dead, since.Add(14*time.Second)).Scan(&n) == nil && n == 1
			}, 2*patience, 50*time.Millisecond)
			require.False(t, saysNamesake(second), second.Log())
		})
	}
}

// What an answer that was lost may have leased is given to who asks again; here it is the other one's.
func TestOnceTwoProcessesOfOneNameKnowOfEachOtherALostAnswerBringsNoEventTwice(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000")
	goOn := make(chan struct{})
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Until: goOn} })
	ofFirst, ofSecond := proxy.Run(t, b.NATS.URL()), proxy.Run(t, b.NATS.URL())
	ofSecond.Refuse(true)
	line, env := b.databaseLine(t)
	var told atomic.Int32
	line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
		if fromServer && bytes.Contains(piece, []byte("a worker is delivering it")) && told.Add(1) == 1 {
			return proxy.Reset
		}
		return proxy.Pass
	})
	first := b.worker(t, "CONSUMER_NAME=one", "NATS_URL="+ofFirst.URL())
	second := b.worker(t, "CONSUMER_NAME=one", "NATS_URL="+ofSecond.URL(), env)
	require.Eventually(t, func() bool { return saysNamesake(first) && saysNamesake(second) }, 2*patience, 50*time.Millisecond)

	published(t, b.application, id, "event")
	b.Endpoint.Wait(t, 1, patience)
	ofFirst.Refuse(true)
	ofFirst.Cut()
	ofSecond.Refuse(false)
	nc, js := natsserver.Connect(t, b.NATS.URL())
	consumer, err := js.Consumer(t.Context(), system.Stream, system.Group)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		if told.Load() == 0 {
			// As one that is not in progress any more comes again in time; to the first one, perhaps, whose end is not seen yet.
			taken, err := consumer.Info(t.Context())
			require.NoError(t, err)
			require.NoError(t, nc.Publish(fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.0.0", system.Stream, system.Group,
				taken.Delivered.Stream, taken.Delivered.Consumer), []byte("-NAK")))
		}
		// It asks again.
		return told.Load() >= 2 || len(b.Endpoint.Requests()) > 1
	}, 2*patience, 500*time.Millisecond)

	close(goOn)
	b.arrived(t, "event")
	b.settled(t)
	b.arrived(t, "event")
}
