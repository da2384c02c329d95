package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func TestALeaseIsCountedFromBeforeTheCallAndEndsForGoodWhenLost(t *testing.T) {
	e := &event{}
	require.Negative(t, e.left(), "an event without a lease is not sent")
	ends := func(at time.Time) {
		t.Helper()
		most := time.Until(at)
		left := e.left()
		require.LessOrEqual(t, left, most)
		require.GreaterOrEqual(t, left, time.Until(at))
	}
	now := time.Now()
	e.leased(now.Add(-time.Second), 3*time.Second)
	ends(now.Add(2 * time.Second))
	now = time.Now()
	e.renewed(now, 5*time.Second)
	ends(now.Add(5 * time.Second))
	e.unlease()
	e.renewed(time.Now(), 5*time.Second)
	require.Negative(t, e.left())
}

func TestHoldsTravelAsTheContractSays(t *testing.T) {
	h := holds{Queue: []int64{7}, Receipts: []receipt{{1, "m", 0}}}
	text, err := json.Marshal(h)
	require.NoError(t, err)
	require.JSONEq(t, `{"queue": [7], "receipts": [[1, "m", 0]]}`, string(text))
	var back holds
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, h, back)
}

func TestAnAttemptTellsNoAnswerOfASuccessAndNoPayload(t *testing.T) {
	e := anEvent()
	e.queueID = 5
	text, err := json.Marshal(newAttempt(e, outcome{result: "answered", status: 200, duration: 1500 * time.Microsecond}))
	require.NoError(t, err)
	require.JSONEq(t, `{"path": "queue", "queue_id": 5, "webhook_id": 7, "message_id": "order-1", "redelivery": 0,
		"try": 1, "result": "answered", "status": 200, "started_ms_ago": 0, "duration_ms": 1.5}`, string(text))
}

func TestADifferentConsumerIsNamedByItsField(t *testing.T) {
	c := &config{group: "g", subject: "webhooks.>"}
	field, _ := difference(c.consumerConfig(), c.consumerConfig())
	require.Empty(t, field)
	for field, change := range map[string]func(*jetstream.ConsumerConfig){
		"filter_subject":  func(h *jetstream.ConsumerConfig) { h.FilterSubject = "other" },
		"ack_policy":      func(h *jetstream.ConsumerConfig) { h.AckPolicy = jetstream.AckNonePolicy },
		"ack_wait":        func(h *jetstream.ConsumerConfig) { h.AckWait = time.Second },
		"max_deliver":     func(h *jetstream.ConsumerConfig) { h.MaxDeliver = 5 },
		"max_ack_pending": func(h *jetstream.ConsumerConfig) { h.MaxAckPending = 1 },
		"backoff":         func(h *jetstream.ConsumerConfig) { h.BackOff = []time.Duration{time.Second} },
	} {
		have := c.consumerConfig()
		change(&have)
		said, loses := difference(c.consumerConfig(), have)
		require.Contains(t, said, field+" ")
		require.Equal(t, slices.Contains([]string{"filter_subject", "ack_policy", "max_deliver"}, field), loses, field)
		have.HeadersOnly = true
		_, loses = difference(c.consumerConfig(), have)
		require.True(t, loses, "also behind %s", field)
	}
}

func TestAMessageThatWasGivenBackIsNotInHandWhenItComesAgain(t *testing.T) {
	w := newWorker(&config{batch: 64})
	again := anEvent()
	first := anEvent()
	first.msg = &early{raw: &jetstream.RawStreamMsg{}, again: func(uint64, time.Duration) {
		require.True(t, w.held.addMessage(again), "it is here again at once")
	}}
	again.msg = first.msg
	require.True(t, w.held.addMessage(first))
	require.False(t, w.held.addMessage(again))

	w.nak(first, time.Millisecond)
	w.held.remove(first)
	require.Equal(t, []*event{again}, w.held.all())
	require.False(t, w.held.addMessage(anEvent()))
}
