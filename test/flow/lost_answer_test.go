package flow

import (
	"bytes"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/proxy"
)

func TestAnAnswerThatIsLostMakesNoEventWaitForItsLeaseAndCountsAsNoDeath(t *testing.T) {
	for _, c := range []struct {
		name, mode string
		sources    string
		answer     string // is in what is lost
	}{
		{"of claim", "queue", "queue", "event-1"},
		{"of admit", "nats", "stream", "deliver"},
		{"of admit for rows of the queue", "both", "stream", "deliver"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", c.mode)
			// As many as the endpoint gets at once: what waited for it would make way, to where this worker takes nothing from.
			events := names("event", 8)
			for _, event := range events {
				publish(t, b.application, id, event)
			}
			line, env := b.databaseLine(t)
			var lost atomic.Int32
			// Three in a row would be taken for three deaths.
			line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
				if fromServer && bytes.Contains(piece, []byte(c.answer)) && lost.Add(1) <= 3 {
					return proxy.Reset
				}
				return proxy.Pass
			})
			b.worker(t, env, "WORKER_SOURCES="+c.sources)

			// An answer of claim is missed with the next heartbeat. What waits for its lease counts as a loss of one, below.
			b.arrivedLate(t, events...)
			b.settled(t)
			b.arrived(t, events...)
			require.GreaterOrEqual(t, lost.Load(), int32(3))
			b.count(t, len(events), "SELECT count(*) FROM rule_webhook_attempts WHERE try = 1 AND outcome = 'delivered'")
			b.count(t, 0, `SELECT coalesce(sum(lease_losses), 0) FROM (SELECT lease_losses FROM rule_webhook_queue
				UNION ALL SELECT lease_losses FROM rule_webhook_receipts) l`)
		})
	}
}

// What a worker has in hand is not given back for the answer that it lost before, and not sent a second time.
func TestWhatIsInHandStaysThereWhenAnotherAnswerIsLost(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "queue")
	b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Delay: 8 * time.Second} })
	first, second := names("first", 5), names("second", 5)
	b.must(t, "UPDATE rule_webhooks SET timeout_ms = 20000")
	for _, event := range first {
		publish(t, b.application, id, event)
	}
	line, env := b.databaseLine(t)
	var lost atomic.Bool
	line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
		if fromServer && bytes.Contains(piece, []byte("second-1")) && !lost.Swap(true) {
			return proxy.Reset
		}
		return proxy.Pass
	})
	b.worker(t, env, "WORKER_SOURCES=queue")
	b.Endpoint.Wait(t, len(first), patience)
	b.must(t, "SELECT count(rule_webhook_call_unified($1, '{}', m)) FROM unnest($2::text[]) m", id, second)

	b.arrived(t, append(first, second...)...)
	b.settled(t)
	b.arrived(t, append(first, second...)...)
	require.True(t, lost.Load())
}

// The backend of an admit stands still in its commit, as one does whose disk stalls, for longer than its worker waits. What
// the worker is told when it asks again is not what becomes of the event.
func TestAnEventOfAnAdmitThatEndsAfterItsWorkerHasAskedAgainDoesNotWaitForItsLeaseEither(t *testing.T) {
	for name, until := range map[string]string{"while it asks": "calls >= 0", "when it was answered": "calls > 0"} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			id := b.webhook(t, "orders", "nats")
			b.worker(t, "CONSUMER_NAME=one")
			b.worker(t, "CONSUMER_NAME=two")
			published(t, b.application, id, "before")
			b.arrived(t, "before")
			b.must(t, "ALTER SYSTEM SET track_functions = 'all'")
			b.commitsWait(t)
			published(t, b.application, id, "event")
			var pid int
			require.Eventually(t, func() bool {
				return b.admin.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity
					WHERE wait_event = 'SyncRep' AND query LIKE '%rule_worker_admit%'`).Scan(&pid) == nil
			}, patience, 10*time.Millisecond)
			require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
			b.commitsGoOn(t)
			// It is asked after 15 s, and what was called is counted up to ten later.
			require.Eventually(t, func() bool {
				return b.sum(t, "SELECT count(*) FROM pg_stat_user_functions WHERE funcname = '_rule_admitted_before' AND "+until) == 1
			}, 2*patience, 20*time.Millisecond)
			require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))

			b.arrived(t, "before", "event")
			b.settled(t)
			b.arrived(t, "before", "event")
			b.count(t, 0, "SELECT sum(lease_losses) FROM rule_webhook_receipts")
		})
	}
}
