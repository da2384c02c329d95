package main

import "time"

// attempt is what report is told about one try, or about a row that was
// published again. The body of a success is never told, nor a payload unless
// the database asks for it.
type attempt struct {
	Path         string  `json:"path"`
	QueueID      *int64  `json:"queue_id,omitempty"`
	WebhookID    int32   `json:"webhook_id"`
	MessageID    string  `json:"message_id"`
	Redelivery   int     `json:"redelivery"`
	Try          int     `json:"try"`
	Result       string  `json:"result"`
	Status       *int    `json:"status"`
	StartedMSAgo int64   `json:"started_ms_ago"` // set when the report leaves
	DurationMS   float64 `json:"duration_ms"`
	Error        *string `json:"error,omitempty"`
	Answer       *string `json:"answer,omitempty"`
	RetryAfterMS *int64  `json:"retry_after_ms,omitempty"` // when the endpoint said it
	Stream       *string `json:"stream,omitempty"`
	Sequence     *uint64 `json:"sequence,omitempty"`
	Payload      *string `json:"payload,omitempty"`
	Traceparent  string  `json:"traceparent,omitempty"` // goes with the payload

	started time.Time
}

func newAttempt(e *event, o outcome) attempt {
	a := attempt{
		Path:       e.path(),
		WebhookID:  e.webhookID,
		MessageID:  e.messageID,
		Redelivery: e.redelivery,
		Try:        e.try,
		Result:     o.result,
		DurationMS: float64(o.duration.Microseconds()) / 1000,
		Error:      optional(o.err),
		Answer:     optional(o.answer),
		started:    o.started,
	}
	if e.queueID != 0 {
		a.QueueID = &e.queueID
	}
	if o.retryAfter > 0 {
		ms := o.retryAfter.Milliseconds()
		a.RetryAfterMS = &ms
	}
	if o.status != 0 {
		a.Status = &o.status
	}
	if e.stream != "" {
		a.Stream, a.Sequence = &e.stream, &e.sequence
	}
	return a
}

func (a attempt) size() int { return len(deref(a.Payload)) }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
