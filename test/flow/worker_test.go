package flow

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
)

func TestAKilledWorkerLosesNothing(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Hang: true} })
			events := names("event", 12)
			for _, event := range events {
				publish(t, b.application, id, event)
			}
			first := b.worker(t, "BATCH_SIZE=4", "CONSUMER_NAME=first")
			b.Endpoint.Wait(t, 4, patience)
			first.Kill()
			b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{} })
			b.leasesRunOut(t)

			b.worker(t, "CONSUMER_NAME=second")
			b.count(t, len(events), `SELECT count(*) FROM rule_webhook_attempts
				WHERE outcome = 'delivered' AND worker = 'second'`)
			b.settled(t)
			got := idsOf(b.Endpoint.Requests())
			for _, event := range events {
				require.Contains(t, got, event)
			}
		})
	}
}

func TestSIGTERMGivesBackWhatIsNotDone(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	asked, goOn := 0, make(chan struct{})
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer {
		if asked++; asked <= 3 {
			return endpoint.Answer{}
		}
		return endpoint.Answer{Until: goOn}
	})
	events := names("event", 20)
	for _, event := range events {
		published(t, b.application, id, event)
	}
	first := b.worker(t, "BATCH_SIZE=3", "CONSUMER_NAME=first")
	b.Endpoint.Wait(t, 4, patience)
	require.NoError(t, first.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return strings.Contains(first.Log(), "stopping") }, patience, 10*time.Millisecond)
	close(goOn)
	require.NoError(t, first.Wait(patience))
	atStop := len(b.Endpoint.Requests())
	require.Less(t, atStop, len(events), "the first worker must not have been quicker than its end")

	// No lease of the first one is waited for: each would last a minute.
	b.worker(t, "CONSUMER_NAME=second")
	b.arrived(t, events...)
	b.settled(t)
	b.arrived(t, events...)
	b.count(t, atStop, "SELECT count(*) FROM rule_webhook_attempts WHERE worker = 'first' AND outcome = 'delivered'")
}

func TestRetriesFollowThePolicyAndEndInADeadLetter(t *testing.T) {
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", mode)
			b.must(t, `UPDATE rule_webhooks SET max_retries = 2, give_up_after = '0', retry_delay_ms = 200,
				retry_backoff_multiplier = 2 WHERE webhook_id = $1`, id)
			failures := map[string]int{}
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				failures[r.ID()]++
				if r.ID() == "mended" && failures[r.ID()] > 2 {
					return endpoint.Answer{Status: 204}
				}
				return endpoint.Answer{Status: 503, Body: "not today"}
			})
			b.worker(t)
			publish(t, b.application, id, "mended")
			publish(t, b.application, id, "hopeless")

			b.count(t, 1, "SELECT count(*) FROM rule_webhook_dead_letters WHERE message_id = 'hopeless'")
			b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = 'mended' AND outcome = 'delivered' AND try = 3")
			b.settled(t)
			require.ElementsMatch(t, slices.Concat(slices.Repeat([]string{"mended"}, 3), slices.Repeat([]string{"hopeless"}, 3)),
				idsOf(b.Endpoint.Requests()))
			b.count(t, 1, `SELECT count(*) FROM rule_webhook_attempts
				WHERE message_id = 'hopeless' AND outcome = 'dead' AND try = 3 AND status = 503 AND answer = 'not today'`)
			b.count(t, 1, `SELECT count(*) FROM rule_webhook_queue
				WHERE message_id = 'hopeless' AND status = 'failed' AND payload = '{"id": "hopeless"}'`)
			// A delay is shortened by a fifth at most.
			for _, event := range []string{"mended", "hopeless"} {
				gaps := b.gaps(event)
				require.GreaterOrEqual(t, gaps[0], 150*time.Millisecond, event)
				require.GreaterOrEqual(t, gaps[1], 300*time.Millisecond, event)
			}
		})
	}
}

// gaps are the times between the tries of an event.
func (b *bundle) gaps(id string) []time.Duration {
	var all []time.Duration
	var last time.Time
	for _, r := range b.Endpoint.Requests() {
		if r.ID() != id {
			continue
		}
		if !last.IsZero() {
			all = append(all, r.At.Sub(last))
		}
		last = r.At
	}
	return all
}

func TestAnEndpointThatHangsIsOneFailedTry(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.must(t, "UPDATE rule_webhooks SET timeout_ms = 8000 WHERE webhook_id = $1", id)
	b.Endpoint.Script(endpoint.Answer{Hang: true}, endpoint.Answer{})
	b.worker(t)
	published(t, b.application, id, "slow")

	b.arrived(t, "slow", "slow")
	b.settled(t)
	b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE outcome = 'again' AND status IS NULL AND error_message LIKE '%8000 ms%'")
}

func TestAWorkerStaysOutOfTheNetworkThatNobodyOpened(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	b.must(t, "UPDATE rule_webhooks SET max_retries = 0, give_up_after = '0' WHERE webhook_id = $1", id)
	b.worker(t, "WEBHOOK_ALLOW_NETWORKS=")
	published(t, b.application, id, "inside")

	b.count(t, 1, "SELECT count(*) FROM rule_webhook_dead_letters WHERE message_id = 'inside'")
	require.Empty(t, b.Endpoint.Requests())
}

// As a later version of the extension may.
func TestAVerdictThatAWorkerDoesNotKnowLosesNothing(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	published(t, b.application, id, "event")
	b.must(t, "ALTER FUNCTION rule_worker_admit RENAME TO admit_as_it_was")
	b.must(t, `CREATE FUNCTION rule_worker_admit(p_consumer text, p_messages jsonb, OUT ordinal integer, OUT verdict text, OUT reason text,
		OUT wait_ms integer, OUT try integer) RETURNS SETOF record LANGUAGE sql AS $$ SELECT 1, 'pray', NULL, NULL::integer, NULL::integer $$`)
	b.must(t, "GRANT EXECUTE ON FUNCTION rule_worker_admit TO rule_engine_worker")
	w := b.worker(t)
	require.Eventually(t, func() bool {
		return strings.Contains(w.Log(), "unknown verdict; is this worker older than the extension?")
	},
		patience, 20*time.Millisecond)
	require.True(t, w.Running())
	b.inStream(t, 1)
	require.NoError(t, w.Stop())
	require.Empty(t, b.Endpoint.Requests())

	b.must(t, "DROP FUNCTION rule_worker_admit")
	b.must(t, "ALTER FUNCTION admit_as_it_was RENAME TO rule_worker_admit")
	b.leasesRunOut(t)
	b.worker(t)
	b.arrived(t, "event")
	b.settled(t)
}
