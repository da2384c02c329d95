package main

import "time"

// attempt is what report is told about one try, or about a row that was
// published again. The body of a success is never told, nor a payload unless
// the database asks for it. The members stand as jsonb keeps them, by length
// and then by letter, so that Postgres has nothing to sort.
type attempt struct {
	Try          int     `json:"try"`
	Path         string  `json:"path"`
	Error        *string `json:"error,omitempty"`
	Answer       *string `json:"answer,omitempty"`
	Result       string  `json:"result"`
	Status       *int    `json:"status"`
	Payload      *string `json:"payload,omitempty"`
	QueueID      *int64  `json:"queue_id,omitempty"`
	MessageID    string  `json:"message_id"`
	Redelivery   int     `json:"redelivery"`
	WebhookID    int32   `json:"webhook_id"`
	DurationMS   float64 `json:"duration_ms"`
	Traceparent  string  `json:"traceparent,omitempty"`    // goes with the payload
	RetryAfterMS *int64  `json:"retry_after_ms,omitempty"` // when the endpoint said it
	StartedMSAgo int64   `json:"started_ms_ago"`           // set when the report leaves

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
	return a
}

func (a attempt) size() int { return len(deref(a.Payload)) }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
