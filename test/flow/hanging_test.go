package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
)

// A provider's outage: more requests hang, one to each event, than a worker lets hang beside those that it has yet to send.
func TestHundredsOfEndpointsThatHangAtOnceDelayNobodyElse(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				return endpoint.Answer{Hang: strings.HasPrefix(r.Path, "/dead")}
			})
			const hanging, events = 300, 12
			well := b.webhook(t, "well", mode)
			publish(t, b.application, well, "before") // makes the stream
			var dead []int32
			for n := range hanging {
				dead = append(dead, b.webhook(t, fmt.Sprint("dead-", n), mode))
			}
			b.must(t, "UPDATE rule_webhooks SET timeout_ms = 300000 WHERE webhook_id = ANY ($1)", dead)
			b.wait(t, mode, dead, events)
			b.worker(t)
			require.Eventually(t, func() bool {
				paths := map[string]bool{}
				for _, r := range b.Endpoint.Requests() {
					paths[r.Path] = true
				}
				return len(paths) == hanging+1
			}, 4*patience, 100*time.Millisecond, "all have to hang")

			for _, event := range names("well", 20) {
				publish(t, b.application, well, event)
			}
			// There may be two thousand requests to make before.
			require.Eventually(t, func() bool { return b.deliveredTo(t, well) == 21 }, 4*patience, 50*time.Millisecond)
			b.count(t, 0, "SELECT count(*) FROM rule_webhook_attempts WHERE webhook_id <> $1", well)
		})
	}
}

// wait lets so many events of each webhook wait for a worker, in turn.
func (b *bundle) wait(t *testing.T, mode string, webhooks []int32, events int) {
	t.Helper()
	if mode == "queue" {
		b.must(t, `SELECT count(rule_webhook_enqueue(w, '{}'))
			FROM generate_series(1, $2::integer) n, unnest($1::integer[]) w`, webhooks, events)
		return
	}
	source := b.sourceID(t)
	nc, _ := natsserver.Connect(t, b.NATS.URL())
	for n := range events {
		for _, w := range webhooks {
			require.NoError(t, nc.PublishMsg(&nats.Msg{Subject: "webhooks.waits", Data: []byte("{}"), Header: nats.Header{
				"Rule-Engine-Source": {source}, "Rule-Engine-Webhook-Id": {fmt.Sprint(w)},
				"Rule-Engine-Message-Id": {fmt.Sprint("waits-", w, "-", n+1)}}}))
		}
	}
	require.NoError(t, nc.Flush())
}
