package main

import (
	"crypto/rand"
	"encoding/json"
	"math"
	"time"

	"rule_engine/nats"
	"rule_engine/nats/wire"
)

// event is one call of a publish function on its way.
type event struct {
	webhookID   int32
	webhookName string
	byName      bool
	messageID   string
	// named says that the caller gave the message id, be it an empty one.
	named         bool
	payload       []byte
	payloadHandle uint64

	webhook *webhook
	toNATS  bool
	// toQueue says that the webhook's mode puts the event into the queue.
	toQueue bool

	started     time.Time
	ended       time.Time
	outcome     nats.Outcome
	republished bool

	queueID      int64
	queueStatus  string
	queuedBefore bool
	// queueFull says why the queue did not take the event.
	queueFull string
}

// acceptedBytes is what the queue takes of one payload, as rule_webhook_enqueue()
// does (_rule_payload_accepted).
const acceptedBytes = 8 << 20

func (ev *event) latencyMS() float64 {
	return math.Round(float64(ev.ended.Sub(ev.started).Nanoseconds())/1000) / 1000
}

// load finds the event's webhook and refuses what the caller got wrong, before
// anything is sent or written.
func (e *engine) load(ev *event, byMode bool) error {
	w, err := e.webhookOf(ev)
	if err != nil {
		return err
	}
	ev.webhook = w
	if !ev.named {
		ev.messageID = rand.Text()
	} else if err := wire.CheckMessageID(ev.messageID); err != nil {
		return mistake(stateInvalid, "A message id is 1 to 255 bytes, without control characters and without white space at its ends.",
			"message_id is not valid: %v", err)
	}
	ev.toNATS = !byMode || w.mode != "queue"
	ev.toQueue = byMode && w.mode != "nats"
	if !ev.toNATS {
		if w.enabled && len(ev.payload) > acceptedBytes {
			return mistake(stateLimit, "Send a reference to what is large, and let the receiver fetch it.",
				"the payload has more than %d bytes as text", acceptedBytes)
		}
		return nil
	}
	const enable = "rule_webhook_enable_nats() enables it and sets a subject."
	if !w.natsEnabled {
		return mistake(statePrerequisite, enable, "NATS is not enabled for webhook %q", w.name)
	}
	if w.subject == "" {
		return mistake(statePrerequisite, enable, "webhook %q has no NATS subject", w.name)
	}
	if err := wire.CheckSubject(w.subject); err != nil {
		return mistake(stateInvalid,
			"A subject is tokens joined by dots, without spaces or wildcards, at most 255 bytes, such as 'webhooks.orders'.",
			"NATS subject %q of webhook %q is not valid: %v", w.subject, w.name, err)
	}
	return nil
}

// message is the event as it goes to NATS from a call.
func (ev *event) message(source string, c call) nats.Message {
	header := wire.Event{
		Source:      source,
		WebhookID:   ev.webhook.id,
		WebhookName: ev.webhook.name,
		MessageID:   ev.messageID,
		Transaction: c.transaction,
		Traceparent: c.traceparent,
		Republish:   ev.republished,
	}.Header()
	return nats.Message{Subject: ev.webhook.subject, Header: header, Data: ev.payload}
}

// skipped answers for a webhook that its operator has disabled: that must not
// make an application's INSERT fail.
func (ev *event) skipped() map[string]any {
	return map[string]any{
		"success": false, "skipped": true, "webhook_name": ev.webhook.name,
		"reason": "the webhook is disabled",
	}
}

// natsAnswer says how the event fared with NATS.
func (ev *event) natsAnswer() map[string]any {
	answer := map[string]any{
		"success":      ev.outcome.Kind == nats.Acked,
		"webhook_name": ev.webhook.name,
		"subject":      ev.webhook.subject,
		"message_id":   ev.messageID,
		"latency_ms":   ev.latencyMS(),
	}
	if ev.outcome.Kind == nats.Acked {
		answer["duplicate"] = ev.outcome.Duplicate
		if ev.outcome.Stream != "" {
			answer["stream"] = ev.outcome.Stream
			answer["sequence"] = ev.outcome.Sequence
		}
		if ev.republished {
			answer["republished"] = true
		}
		return answer
	}
	answer["error"] = ev.outcome.Text
	answer["error_code"] = ev.outcome.Code
	answer["unknown"] = ev.outcome.Kind == nats.Unknown
	switch {
	case ev.queueFull != "":
		answer["fallback"] = "full"
		answer["queue_id"] = nil
	case ev.queueID != 0:
		answer["fallback"] = "queue"
		answer["queue_id"] = ev.queueID
	default:
		answer["fallback"] = "record"
	}
	return answer
}

func (ev *event) queueAnswer() map[string]any {
	if ev.queueFull != "" {
		return map[string]any{
			"success": false, "queue_id": nil, "status": "full", "error": ev.queueFull, "message_id": ev.messageID,
		}
	}
	answer := map[string]any{
		"success": true, "queue_id": ev.queueID, "status": ev.queueStatus, "message_id": ev.messageID,
	}
	if ev.queuedBefore {
		answer["duplicate"] = true
	}
	return answer
}

// answer is the function's result, JSON.
func (ev *event) answer(byMode bool) (string, error) {
	var result map[string]any
	switch {
	case !byMode && !ev.webhook.enabled:
		result = ev.skipped()
	case !byMode:
		result = ev.natsAnswer()
	default:
		result = map[string]any{}
		if ev.toQueue {
			result["queue"] = ev.skipped()
			if ev.webhook.enabled {
				result["queue"] = ev.queueAnswer()
			}
		}
		if ev.toNATS {
			result["nats"] = ev.skipped()
			if ev.webhook.enabled {
				result["nats"] = ev.natsAnswer()
			}
		}
	}
	encoded, err := json.Marshal(result)
	return string(encoded), err
}
