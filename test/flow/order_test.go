package flow

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

func TestEventsOfAKeyAreSentOneAfterTheOther(t *testing.T) {
	for backend, setup := range map[string]func(*testing.T) *bundle{
		"native": func(t *testing.T) *bundle { return setup(t) }, "pgmq": setupPgmq,
	} {
		t.Run(backend, func(t *testing.T) { keepsTheOrderOfKeys(t, setup(t)) })
	}
}

// keepsTheOrderOfKeys has two workers deliver to an endpoint that fails now and then.
func keepsTheOrderOfKeys(t *testing.T, b *bundle) {
	const keys = 20
	events := 50
	id := b.webhook(t, "orders", "queue")
	b.must(t, "UPDATE rule_webhooks SET order_key = '{customer}', retry_backoff_multiplier = 1 WHERE webhook_id = $1", id)

	var mu sync.Mutex
	arrived := make([]int, keys) // of each key, up to which event
	var wrong []string
	b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		var key, event int
		_, err := fmt.Sscanf(r.ID(), "%d-%d", &key, &event)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || event != arrived[key]+1 {
			wrong = append(wrong, r.ID())
		}
		if rand.IntN(5) == 0 {
			return endpoint.Answer{Status: 503}
		}
		arrived[key] = event
		return endpoint.Answer{}
	})
	publish := func(from, to int) {
		b.must(t, `SELECT rule_webhook_call_unified($1, jsonb_build_object('customer', key), key || '-' || event)
			FROM generate_series($2::integer, $3::integer) event, generate_series(0, $4::integer) key`, id, from, to, keys-1)
	}
	publish(1, events/2)
	b.worker(t, "CONSUMER_NAME=one")
	b.worker(t, "CONSUMER_NAME=two")
	publish(events/2+1, events)
	for deadline := time.Now().Add(patience); b.sum(t, "SELECT count(DISTINCT worker) FROM rule_webhook_attempts") < 2; time.Sleep(20 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "one of the two delivers nothing")
		events++
		publish(events, events)
	}

	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, event := range arrived {
			if event < events {
				return len(wrong) > 0
			}
		}
		return true
	}, 3*patience, 20*time.Millisecond)
	require.Empty(t, wrong)
	b.settled(t)
	b.count(t, keys*events, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
}
