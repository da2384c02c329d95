package flow

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

// window is how many requests to an endpoint a worker begins with; it has twice as many of its events in hand.
const window = 8

// slowly lets a worker have events in hand: as many as a window are on the wire and not answered until
// the test says so, with this status, and as many wait behind them.
func (b *bundle) slowly(t *testing.T, mode string, status int) (id int32, events []string, answer chan struct{}) {
	t.Helper()
	id, events, answer = b.webhook(t, "orders", mode), names("event", 2*window), make(chan struct{})
	b.must(t, "UPDATE rule_webhooks SET timeout_ms = 60000 WHERE webhook_id = $1", id)
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Status: status, Until: answer} })
	for _, event := range events {
		publish(t, b.application, id, event)
	}
	b.worker(t)
	b.Endpoint.Wait(t, window, patience)
	b.inHand(t, len(events))
	return id, events, answer
}

func (b *bundle) inHand(t *testing.T, want int) {
	t.Helper()
	b.count(t, want, `SELECT (SELECT count(*) FROM rule_webhook_queue WHERE status = 'processing')
		+ (SELECT count(*) FROM rule_webhook_receipts WHERE state = 'leased')`)
}

// told waits until these many workers know what has changed: until each has asked what it was, and asked again.
func (b *bundle) told(t *testing.T, workers int) {
	t.Helper()
	for range 2 {
		var since time.Time
		require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&since))
		asked := map[string]bool{}
		for deadline := time.Now().Add(patience); len(asked) < workers; time.Sleep(5 * time.Millisecond) {
			require.True(t, time.Now().Before(deadline), "%d of %d workers have asked", len(asked), workers)
			rows, err := b.admin.Query(t.Context(), `SELECT application_name FROM pg_stat_activity
				WHERE query LIKE '%rule_worker_endpoints%' AND pid <> pg_backend_pid() AND query_start > $1 AND state = 'idle'`, since)
			require.NoError(t, err)
			for rows.Next() {
				var name string
				require.NoError(t, rows.Scan(&name))
				asked[name] = true
			}
			require.NoError(t, rows.Err())
		}
	}
}

func TestWhatIsInHandGoesToWhereItsEndpointIsByThen(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id, events, answer := b.slowly(t, mode, 200)

			moved := endpoint.Run(t)
			b.must(t, "SELECT rule_webhook_secret_delete($1, 'signing')", id)
			moved.AddSecret(b.secret(t, id, "another", nil))
			b.must(t, "SELECT rule_webhook_update($1, p_url => $2)", id, moved.URL())
			b.told(t, 1)
			close(answer)

			requests := append(moved.Wait(t, window, patience), b.Endpoint.Requests()...)
			require.ElementsMatch(t, events, idsOf(requests))
			for _, r := range requests {
				require.NoError(t, r.Signature, "each is signed with what its endpoint has")
			}
			b.settled(t)
		})
	}
}

func TestWhatIsInHandIsGivenBackUntriedWhenItsWebhookIsHeldOrDisabled(t *testing.T) {
	for _, c := range []struct{ name, stop, goOn string }{
		{"held", "SELECT rule_webhook_hold($1, 'stop')", "SELECT rule_webhook_resume($1)"},
		{"disabled", "SELECT rule_webhook_update($1, p_enabled => false)", "SELECT rule_webhook_update($1, p_enabled => true)"},
	} {
		for _, mode := range []string{"nats", "queue"} {
			t.Run(c.name+" "+mode, func(t *testing.T) {
				b := setup(t)
				id, events, answer := b.slowly(t, mode, 200)

				b.must(t, c.stop, id)
				// What is given back is so while the requests before it hang.
				b.inHand(t, window)
				b.count(t, 0, "SELECT count(*) FROM rule_webhook_attempts")
				close(answer)

				b.count(t, len(events)-window, "SELECT count(*) FROM rule_webhook_queue WHERE status = 'pending' AND retry_count = 0")
				b.inHand(t, 0)
				b.count(t, window, "SELECT count(*) FROM rule_webhook_attempts")
				require.Len(t, b.Endpoint.Requests(), window)
				b.must(t, c.goOn, id)
				b.arrived(t, events...)
				b.settled(t)
			})
		}
	}
}

func TestWhatIsInHandIsNotSentAnyMoreWhenItsWebhookIsDeleted(t *testing.T) {
	for _, c := range []struct {
		name, mode string
		again      bool // it is made again with its id at once
	}{{"nats", "nats", false}, {"queue", "queue", false}, {"made again", "queue", true}} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t)
			id, events, answer := b.slowly(t, c.mode, 200)
			deadLetters := fmt.Sprintf(
				"SELECT count(*) FROM rule_webhook_queue WHERE status = 'failed' AND error_message LIKE 'no such webhook: %d; message %%'", id)
			remake := fmt.Sprintf("INSERT INTO rule_webhooks (webhook_id, webhook_name, webhook_url) VALUES (%d, 'again', '%s')", id, b.Endpoint.URL())

			if c.again {
				b.must(t, fmt.Sprintf("DO $$ BEGIN PERFORM rule_webhook_delete(%d); %s; END $$", id, remake))
			} else {
				b.must(t, "SELECT rule_webhook_delete($1)", id)
			}
			b.told(t, 1)
			if c.mode == "nats" {
				b.count(t, len(events)-window, deadLetters)
			}
			close(answer)
			if c.mode == "nats" {
				b.count(t, len(events), deadLetters)
			}
			if !c.again {
				b.must(t, remake)
			}

			// Behind what is in hand.
			publish(t, b.application, id, "after")
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'delivered'")
			requests := idsOf(b.Endpoint.Requests())
			require.Len(t, requests, window+1)
			require.Equal(t, "after", requests[window])
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts")
			b.settled(t)
		})
	}
}

// The requests of one worker fail; the other, whose requests hang, hears of it.
func TestWhatEachWorkerHasInHandIsGivenBackUntriedWhenTheBreakerOpens(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id, events, answer := b.slowly(t, mode, 503)
			begun := idsOf(b.Endpoint.Requests())
			var back atomic.Bool
			fail := make(chan struct{})
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				if back.Load() {
					return endpoint.Answer{}
				}
				return endpoint.Answer{Status: 503, Until: fail}
			})
			b.worker(t, "CONSUMER_NAME=another")
			more := names("more", 2*window)
			for _, event := range more {
				publish(t, b.application, id, event)
			}
			b.Endpoint.Wait(t, 2*window, patience)

			close(fail)
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_endpoints WHERE breaker_state <> 'closed'")
			// The one that the breaker lets through may be behind the requests that hang.
			b.count(t, 1, "SELECT count(*) FROM rule_webhooks w WHERE ("+inHand+") <= $1", window+1)
			b.count(t, 0, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = ANY ($1)", begun)
			close(answer)
			b.inHand(t, 0)
			waited := 0
			for _, r := range b.Endpoint.Requests() {
				if slices.Contains(events, r.ID()) && !slices.Contains(begun, r.ID()) {
					waited++
				}
			}
			// The breaker itself lets one through after a second, and after twice as long each time.
			require.LessOrEqual(t, waited, b.sum(t, "SELECT 1 + log(2, open_ms / 1000)::integer FROM rule_webhook_endpoints"))

			back.Store(true)
			// It may be a minute until the breaker lets the next one through.
			require.Eventually(t, func() bool { return b.deliveredTo(t, id) == len(events)+len(more) }, 4*patience, 50*time.Millisecond)
			b.settled(t)
			b.count(t, len(b.Endpoint.Requests()), "SELECT count(*) FROM rule_webhook_attempts")
			b.count(t, 0, `SELECT count(*) FROM (SELECT max(try) - count(*) AS missing FROM rule_webhook_attempts GROUP BY message_id) a
				WHERE missing <> 0`)
		})
	}
}
