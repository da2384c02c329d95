package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/nats"
)

func anEvent(outcome nats.Outcome) *event {
	start := time.Unix(0, 0)
	return &event{
		messageID: "m1",
		webhook:   &webhook{id: 1, name: "orders", subject: "webhooks.orders", enabled: true},
		toNATS:    true,
		started:   start, ended: start.Add(1500 * time.Microsecond),
		outcome: outcome,
	}
}

func TestAnAckedEventAnswersWhereItIs(t *testing.T) {
	ev := anEvent(nats.Outcome{Kind: nats.Acked, Stream: "WEBHOOKS", Sequence: 7})
	answer, err := ev.answer(false)
	require.NoError(t, err)
	require.JSONEq(t, `{"success": true, "webhook_name": "orders", "subject": "webhooks.orders", "stream": "WEBHOOKS",
		"sequence": 7, "duplicate": false, "latency_ms": 1.5, "message_id": "m1"}`, answer)
}

func TestWithoutJetStreamThereIsNoStreamAndNoSequence(t *testing.T) {
	answer, err := anEvent(nats.Outcome{Kind: nats.Acked}).answer(false)
	require.NoError(t, err)
	require.NotContains(t, answer, "stream")
	require.NotContains(t, answer, "sequence")
}

func TestAFailedEventAnswersWhereItWentInstead(t *testing.T) {
	ev := anEvent(nats.Outcome{Kind: nats.Unknown, Code: nats.CodeNoAnswer, Text: "no ack: timed out"})
	ev.queueID = 9
	answer, err := ev.answer(false)
	require.NoError(t, err)
	require.JSONEq(t, `{"success": false, "webhook_name": "orders", "subject": "webhooks.orders", "unknown": true,
		"error": "no ack: timed out", "error_code": "no_answer", "fallback": "queue", "queue_id": 9,
		"latency_ms": 1.5, "message_id": "m1"}`, answer)
}

func TestByModeEachPathHasItsAnswer(t *testing.T) {
	ev := anEvent(nats.Outcome{Kind: nats.Acked, Stream: "WEBHOOKS", Sequence: 7})
	ev.toQueue, ev.queueID, ev.queueStatus = true, 3, "pending"
	answer, err := ev.answer(true)
	require.NoError(t, err)
	require.JSONEq(t, `{"queue": {"success": true, "queue_id": 3, "status": "pending", "message_id": "m1"},
		"nats": {"success": true, "webhook_name": "orders", "subject": "webhooks.orders", "stream": "WEBHOOKS",
		"sequence": 7, "duplicate": false, "latency_ms": 1.5, "message_id": "m1"}}`, answer)
}

func TestAFullQueueSaysSoOnBothPaths(t *testing.T) {
	ev := anEvent(nats.Outcome{Kind: nats.Rejected, Code: nats.CodeAway, Text: "connection refused"})
	ev.toQueue, ev.queueFull = true, "the queue holds 5 of at most 5 events"
	answer, err := ev.answer(true)
	require.NoError(t, err)
	require.JSONEq(t, `{"queue": {"success": false, "queue_id": null, "status": "full", "message_id": "m1",
		"error": "the queue holds 5 of at most 5 events"},
		"nats": {"success": false, "webhook_name": "orders", "subject": "webhooks.orders", "unknown": false,
		"error": "connection refused", "error_code": "nats_away", "fallback": "full", "queue_id": null,
		"latency_ms": 1.5, "message_id": "m1"}}`, answer)
}

func TestADisabledWebhookIsSkippedNotFailed(t *testing.T) {
	ev := anEvent(nats.Outcome{})
	ev.webhook.enabled = false
	answer, err := ev.answer(false)
	require.NoError(t, err)
	require.JSONEq(t, `{"success": false, "skipped": true, "webhook_name": "orders", "reason": "the webhook is disabled"}`, answer)
}

func TestScanReadsWhatPostgresPrints(t *testing.T) {
	var name string
	var enabled bool
	var id int32
	missing := "unchanged"
	require.NoError(t, scan([]cell{{text: "a b"}, {text: "t"}, {text: "-7"}, {null: true}}, &name, &enabled, &id, &missing))
	require.Equal(t, "a b", name)
	require.True(t, enabled)
	require.Equal(t, int32(-7), id)
	require.Equal(t, "unchanged", missing)

	require.Error(t, scan([]cell{{text: "x"}}, &id))
	require.Error(t, scan([]cell{{text: "1"}, {text: "2"}}, &id))
}
