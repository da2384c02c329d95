package wire

import (
	"strconv"
	"strings"
)

// Names of headers. NATS compares them by their exact spelling.
const (
	// HeaderMsgID is JetStream's own: messages of one stream with an equal
	// value, within the stream's duplicate window, are stored once.
	HeaderMsgID = "Nats-Msg-Id"

	// HeaderSource is the id of the database that an event comes from.
	HeaderSource = "Rule-Engine-Source"
	// HeaderWebhookID says whose URL and secrets to use.
	HeaderWebhookID = "Rule-Engine-Webhook-Id"
	// HeaderWebhookName is for people who look at a stream. No worker reads it.
	HeaderWebhookName = "Rule-Engine-Webhook-Name"
	// HeaderMessageID is the event's own id, the receiver's webhook-id.
	HeaderMessageID = "Rule-Engine-Message-Id"
	// HeaderTransaction is the full id of the (sub)transaction that published,
	// in decimal. It is there only when that one may still roll back.
	HeaderTransaction = "Rule-Engine-Transaction"
	// HeaderTraceparent is W3C Trace Context's, in its own spelling.
	HeaderTraceparent = "traceparent"
)

// Event is what the headers of one message say.
type Event struct {
	Source      string // this database's source id, a UUID
	WebhookID   int32  // 0 means none
	WebhookName string
	MessageID   string
	Transaction uint64 // 0 means none: the event is committed
	Traceparent string // empty means none

	// Republish is set on the second copy of an event whose id an earlier
	// message of the stream had already taken (by a transaction that rolled
	// back, or one still open). It needs a Transaction.
	Republish bool
}

// MsgID is the value of HeaderMsgID. The source and the webhook are part of it
// because JetStream compares ids over a whole stream: one event to two
// webhooks, or equal ids from two databases, are not doubles.
func (e Event) MsgID() string {
	b := make([]byte, 0, len(e.Source)+len(e.MessageID)+36)
	b = append(b, e.Source...)
	b = append(b, ':')
	b = strconv.AppendInt(b, int64(e.WebhookID), 10)
	if e.Republish {
		// Before the message id: behind it, another message id could end like this.
		b = append(b, 'x')
		b = strconv.AppendUint(b, e.Transaction, 10)
	}
	b = append(b, ':')
	b = append(b, e.MessageID...)
	return string(b)
}

// Header composes the headers of a message. The type is nats.Header's own, so
// that this package needs no client library.
func (e Event) Header() map[string][]string {
	h := make(map[string][]string, 7)
	// One array for all values: this runs once per publish.
	values := make([]string, 0, 7)
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set(HeaderMsgID, e.MsgID())
	set(HeaderSource, e.Source)
	set(HeaderWebhookID, strconv.FormatInt(int64(e.WebhookID), 10))
	set(HeaderWebhookName, e.WebhookName)
	set(HeaderMessageID, e.MessageID)
	if e.Transaction != 0 {
		set(HeaderTransaction, strconv.FormatUint(e.Transaction, 10))
	}
	if ValidTraceparent(e.Traceparent) {
		set(HeaderTraceparent, e.Traceparent)
	}
	return h
}

// Parse reads what a worker needs of a message's headers: webhook id, message id and
// traceparent. What is missing or malformed stays empty, as a stranger's may be.
func Parse(h map[string][]string) (e Event) {
	first := func(name string) string {
		if v := h[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	if id, err := strconv.ParseUint(first(HeaderWebhookID), 10, 31); err == nil {
		e.WebhookID = int32(id)
	}
	if id := first(HeaderMessageID); CheckMessageID(id) == nil {
		e.MessageID = id
	}
	if t := first(HeaderTraceparent); ValidTraceparent(t) {
		e.Traceparent = t
	}
	return e
}

// ValidTraceparent tells whether s is a traceparent of version 00, which is
// all that may be put into a header: the value comes from a session's setting.
func ValidTraceparent(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	trace, parent, flags := s[3:35], s[36:52], s[53:]
	return lowerHex(trace) && lowerHex(parent) && lowerHex(flags) &&
		strings.Trim(trace, "0") != "" && strings.Trim(parent, "0") != ""
}

func lowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
