package main

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rule_engine/nats/wire"
)

const (
	ackTimeout = 5 * time.Second
	// So many acks share a ping to the server.
	mostAcked = 500
	// A message that the database cannot judge comes back after this long.
	setAside = time.Minute
	// One that comes again while it is in hand comes back after this long.
	inHandStill = 5 * time.Second
)

// message is what admit is told about a message. What a header does not hold,
// or holds malformed, is for the database to judge. The members stand as jsonb
// keeps them, by length and then by letter, so that Postgres has nothing to sort.
type message struct {
	Early       bool    `json:"early,omitempty"` // read ahead of the consumer, which still has it
	AgeMS       int64   `json:"age_ms"`
	Stream      string  `json:"stream"`
	Crowded     bool    `json:"crowded,omitempty"` // the group holds many messages
	Payload     *string `json:"payload,omitempty"`
	Overflow    bool    `json:"overflow,omitempty"` // more than the worker takes of its webhook
	Repeated    bool    `json:"repeated,omitempty"` // asked before, and the answer may have been lost
	Sequence    uint64  `json:"sequence"`
	SourceID    *string `json:"source_id"`
	MessageID   *string `json:"message_id"`
	WebhookID   *int32  `json:"webhook_id"`
	Traceparent string  `json:"traceparent,omitempty"`
	Transaction *string `json:"transaction"`
}

func (m message) size() int { return len(deref(m.Payload)) }

// carry takes one message of the stream all the way. The message is settled
// with NATS only after the database has said how. from is what its slot is of.
func (w *worker) carry(e *event, m message, from slots) {
	free := sync.OnceFunc(func() { from.give(1) })
	defer free()
	if !w.held.addMessage(e) {
		// It came again while it is in hand.
		w.nak(e, inHandStill)
		return
	}
	defer w.held.remove(e)

	inHand, err := w.windows.take(w.taking, e.webhookID)
	if err != nil {
		w.putAside(e, err)
		return
	}
	lay := sync.OnceFunc(func() { w.windows.put(e.webhookID) })
	aside, unsent := false, func() {}
	if inHand {
		defer lay()
		unsent = sync.OnceFunc(func() { w.windows.unsent(e.webhookID) })
	} else {
		m.Overflow, m.Payload = true, encoded(e.body)
		if aside = w.siding.enter(len(e.body)); aside {
			defer w.siding.leave(len(e.body))
			free()
		}
	}
	v, err := w.judge(e, m, aside, unsent, free)
	if err != nil {
		w.putAside(e, err)
		return
	}
	if v.verdict != "deliver" {
		unsent()
		if v.blocks() {
			w.backlog.move(e.webhookID)
		}
		w.metrics.judged(e.path(), v.verdict)
		w.settle(e, v)
		return
	}
	e.try = v.try
	e.leased(v.start, w.lease)
	if !inHand {
		// It could not be moved.
		w.windows.add(e.webhookID)
		defer lay()
	}
	w.tell(e, w.send(e, free), func() {
		free()
		lay()
	})
}

// open reads a message without judging it.
func (w *worker) open(msg jetstream.Msg, made int64) (*event, message) {
	h := msg.Headers()
	said := wire.Parse(h)
	e := &event{webhookID: said.WebhookID, messageID: said.MessageID, trace: said.Traceparent,
		body: msg.Data(), msg: msg, made: made}
	m := message{
		Crowded:     w.crowded.Load(),
		SourceID:    headerText(h, wire.HeaderSource),
		Transaction: headerText(h, wire.HeaderTransaction),
		Traceparent: said.Traceparent,
	}
	if said.WebhookID != 0 {
		m.WebhookID = &said.WebhookID
	}
	// The one that would be sent, so that the database never judges another.
	// Of a malformed one that is nothing, which is malformed there, too.
	if len(h[wire.HeaderMessageID]) > 0 {
		m.MessageID = &said.MessageID
	}
	if md, err := msg.Metadata(); err == nil {
		e.stream, e.sequence = md.Stream, md.Sequence.Stream
		m.Stream, m.Sequence = md.Stream, md.Sequence.Stream
		m.AgeMS = w.age(md)
		if m.Early = e.early(); !m.Early {
			w.metrics.taken.WithLabelValues("stream").Inc()
			w.stats.took(md.NumDelivered, md.NumPending)
			w.backlog.came(e.webhookID, e.sequence, time.Duration(m.AgeMS)*time.Millisecond, md.NumPending, md.NumDelivered > 1)
		}
	}
	return e, m
}

// age is how long ago a message was published, in ms, on the server's clock.
func (w *worker) age(md *jetstream.MsgMetadata) int64 {
	return max(0, w.link.now().Sub(md.Timestamp).Milliseconds())
}

func headerText(h map[string][]string, name string) *string {
	if v := h[name]; len(v) > 0 {
		s := plain(v[0], 4096)
		return &s
	}
	return nil
}

// tell reports a try and does what the verdict says. The event's slot is free
// for the next one meanwhile: this waits for the database and NATS, not for an
// endpoint. Only when they are slower than the endpoints are slots kept.
func (w *worker) tell(e *event, o outcome, free func()) {
	w.tellers <- struct{}{}
	defer func() { <-w.tellers }()
	free()
	a := newAttempt(e, o)
	v, err := w.reports.ask(w.telling, a)
	for err == nil && (v.verdict == "payload" && a.Payload == nil || v.verdict == "busy") {
		if v.verdict == "payload" {
			a.Payload, a.Traceparent = encoded(e.body), e.trace
		} else if err = w.stand(v.wait); err != nil {
			break
		}
		v, err = w.reports.ask(w.telling, a)
	}
	e.unlease()
	if err != nil {
		w.putAside(e, err)
		return
	}
	if o.result != "released" {
		w.metrics.judged(e.path(), v.verdict)
	}
	if slog.Default().Enabled(w.telling, slog.LevelDebug) {
		slog.Debug("tried", "path", e.path(), "webhook_id", e.webhookID, "message_id", e.messageID, "try", e.try,
			"result", o.result, "status", o.status, "error", o.err, "duration", o.duration, "verdict", v.verdict, "wait", v.wait)
	}
	if v.verdict == "dead" {
		slog.Warn("dead letter", "webhook_id", e.webhookID, "message_id", e.messageID, "try", e.try,
			"status", o.status, "error", o.err)
	}
	w.settle(e, v)
}

// stand waits for a transaction that holds the event in the database. Others
// are told meanwhile, and the heartbeat goes on renewing the lease.
func (w *worker) stand(wait time.Duration) error {
	<-w.tellers
	err := sleep(w.telling, wait)
	w.tellers <- struct{}{}
	return err
}

// settle does with the message what the database decided. A row of the queue
// is settled by the report itself.
func (w *worker) settle(e *event, v verdict) {
	if v.verdict == "drop" && strings.HasPrefix(v.reason, "dead letter:") {
		slog.Warn("dead letter", "webhook_id", e.webhookID, "message_id", e.messageID, "reason", v.reason)
	}
	if v.verdict == "not ours" {
		w.strangers.say("messages of another database in the stream; give each database a stream or a subject_prefix of its own", "",
			"stream", e.stream, "sequence", e.sequence, "reason", v.reason)
	}
	if e.msg == nil {
		if !w.cfg.doStream && (v.verdict == "done" || v.verdict == "dead") {
			w.stats.acknowledged.Add(1)
		}
		return
	}
	switch v.verdict {
	case "done", "drop", "queued", "dead":
		if e.early() {
			return
		}
		if sent, err := w.acks.ask(w.telling, e); err == nil && sent {
			w.stats.acknowledged.Add(1)
		}
		// An ack that failed: the message comes back, and the database knows it.
	case "not ours":
		// To read one again that was read early would take the room of what is ours.
		if !e.early() {
			w.nak(e, v.wait)
		}
	case "again", "wait", "lost":
		w.nak(e, v.wait)
	default:
		slog.Error("unknown verdict; is this worker older than the extension?", "verdict", v.verdict)
		w.nak(e, setAside)
	}
}

// ack tells NATS of messages that the database is done with, and says which
// have reached the server: what left before the answer to a ping has. An answer
// to each ack would cost the server and this process as much as the message.
func (w *worker) ack(ctx context.Context, messages []*event) ([]bool, error) {
	sent := make([]bool, len(messages))
	for i, e := range messages {
		sent[i] = w.present(e) && e.msg.Ack() == nil
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if w.link.nc.Load().FlushWithContext(ctx) != nil {
		clear(sent)
	}
	return sent, nil
}

// putAside is for an event that got no verdict. It is never acked: when the
// process ends another one may have it at once, else it comes back in a while.
func (w *worker) putAside(e *event, err error) {
	wait := setAside
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		wait = 0
	} else {
		slog.Error("the database refused what it was told", "path", e.path(), "webhook_id", e.webhookID,
			"message_id", e.messageID, "sequence", e.sequence, "error", oneLine(err.Error()))
	}
	if e.msg != nil {
		w.nak(e, wait)
	}
}

// nak gives a message back. It is no longer in hand by then: it may be here again at once.
func (w *worker) nak(e *event, wait time.Duration) {
	w.held.remove(e)
	if !e.early() && !w.present(e) {
		return
	}
	if wait <= 0 {
		_ = e.msg.Nak()
		return
	}
	// A lost nak is made good by the ack wait.
	_ = e.msg.NakWithDelay(wait)
}

func encoded(body []byte) *string {
	s := base64.StdEncoding.EncodeToString(body)
	return &s
}
