package flow

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/system"
)

// Records may wait 100 ms for others to be written with. Single events would each wait for all of that; the rest is for
// the write and for looking. It is not parallel, and one round of several is enough, since a busy machine is late by itself.
func TestATryIsInSQLSoonAfterItsAnswer(t *testing.T) {
	const rounds, soon = 5, 200 * time.Millisecond
	for _, mode := range []string{"nats", "queue"} {
		t.Run(mode, func(t *testing.T) {
			b := bundleOf(t, system.Run(t))
			id := b.webhook(t, "orders", mode)
			b.worker(t)
			publish(t, b.application, id, "first") // makes the stream
			b.arrived(t, "first")
			var medians []time.Duration
			for round := range rounds {
				medians = append(medians, b.recordedAfter(t, id, names(fmt.Sprintf("event-%d", round), 20)))
				if medians[round] <= soon {
					t.Logf("medians: %v", medians)
					return
				}
			}
			require.Fail(t, "records are late", "medians: %v", medians)
		})
	}
}

// recordedAfter publishes one event after the other and answers the median of the times between an answer and its record.
func (b *bundle) recordedAfter(t *testing.T, webhook int32, events []string) time.Duration {
	t.Helper()
	var late []time.Duration
	for _, event := range events {
		before := len(b.Endpoint.Requests())
		publish(t, b.application, webhook, event)
		answered := b.Endpoint.Wait(t, before+1, patience)[before].At
		b.count(t, 1, "SELECT count(*) FROM rule_webhook_attempts WHERE message_id = $1", event)
		late = append(late, time.Since(answered))
	}
	slices.Sort(late)
	return late[len(late)/2]
}
