package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rule_engine/nats/wire"
)

const publishTimeout = 2 * time.Second

// runQueue claims rows until taking ends.
func (w *worker) runQueue() {
	l := newListener(w.taking, w.db, time.Duration(w.settings.PollMS)*time.Millisecond, w.windows.room)
	defer l.close()
	for {
		n, err := w.slots.queue.take(w.taking)
		if err != nil {
			return
		}
		streams := []string{}
		if w.link.reaches() {
			streams = append(streams, w.cfg.stream)
		}
		if w.load.wait(w.taking) != nil {
			return
		}
		// Not cut off by SIGTERM at once: rows whose answer is lost stay leased.
		rows, start, err := w.db.claim(w.asking, n, streams, w.windows.rooms)
		if err != nil && w.asking.Err() == nil {
			w.claims.say("cannot claim", err.Error())
		}
		var publish []claimed
		posts := 0
		for _, row := range rows {
			if row.action == "publish" {
				publish = append(publish, row)
				continue
			}
			posts++
			w.metrics.taken.WithLabelValues("queue").Inc()
			if !w.cfg.doStream {
				w.stats.took(uint64(row.try), 0)
			}
			w.load.add(len(row.payload))
			w.windows.add(row.webhookID)
			w.busy.Go(func() {
				defer w.load.remove(len(row.payload))
				w.carryRow(row, start)
			})
		}
		w.publish(publish, start)
		w.slots.queue.give(n - posts)
		if l.next(w.taking, len(rows)) != nil {
			return
		}
	}
}

func (w *worker) carryRow(row claimed, start time.Time) {
	var trace string
	if t := header(row.headers).Get(wire.HeaderTraceparent); wire.ValidTraceparent(t) {
		trace = t
	}
	e := &event{
		queueID: row.queueID, webhookID: row.webhookID, messageID: row.messageID,
		redelivery: row.redelivery, try: row.try, body: []byte(row.payload),
		trace: trace,
	}
	e.leased(start, w.lease)
	w.held.add(e)
	defer w.held.remove(e)
	free := sync.OnceFunc(func() { w.slots.queue.give(1) })
	w.tell(e, w.send(e, free), func() {
		free()
		w.windows.put(e.webhookID)
	})
}

// publishing is a row on its way back to NATS.
type publishing struct {
	claimed
	header nats.Header
	// maybe says that a copy may be in the stream since so long ago; stored is the
	// one that was found.
	maybe  bool
	since  time.Duration
	stored *jetstream.PubAck
}

func newPublishing(rows []claimed) []*publishing {
	all := make([]*publishing, len(rows))
	for i, row := range rows {
		p := &publishing{claimed: row, header: header(row.headers)}
		p.since, p.maybe = unanswered(p.header)
		all[i] = p
	}
	return all
}

// publish brings rows back to NATS, in their order: after one that was not
// taken all later ones are given back, after one that was refused those of its
// webhook. It ends before the next claim, else newer rows could overtake those
// given back.
func (w *worker) publish(claims []claimed, start time.Time) {
	if len(claims) == 0 {
		return
	}
	rows := newPublishing(claims)
	w.lookUp(rows)
	attempts := make([]attempt, len(rows))
	stopped, refusing := false, map[int32]bool{}
	for i, row := range rows {
		o := outcome{result: "released", started: time.Now()}
		e := &event{queueID: row.queueID, webhookID: row.webhookID, messageID: row.messageID,
			redelivery: row.redelivery, try: row.try}
		e.leased(start, w.lease)
		stopped = stopped || w.taking.Err() != nil || e.left() < w.enough(publishTimeout)
		if !stopped && !refusing[row.webhookID] {
			ack, err := w.publishRow(row)
			switch {
			case err == nil:
				o.result, e.stream, e.sequence = "published", ack.Stream, ack.Sequence
			case tooLarge(err):
				// No waiting makes it smaller, and the rest must not wait for it.
				o.result, o.err = "failed", "larger than NATS takes: "+plain(oneLine(err.Error()), keptOfAnswer)
			case refused(err):
				// The database makes it wait, and ends that when it goes on for long.
				refusing[row.webhookID] = true
				o.err = plain(oneLine(err.Error()), keptOfAnswer)
				w.nats.say("nats refuses an event of the queue", o.err, "subject", row.subject)
			default:
				// It may be in the stream all the same; the next publish has the same
				// Nats-Msg-Id and is then known as a double.
				stopped = true
				w.link.pause(time.Second)
				w.nats.say("cannot publish from the queue", err.Error(), "subject", row.subject)
			}
		}
		o.duration = time.Since(o.started)
		w.metrics.published.WithLabelValues(o.result).Inc()
		attempts[i] = newAttempt(e, o)
	}
	busy, wait := w.reportPublished(attempts)
	if len(busy) > 0 {
		// The others' claims and reports go on; until then these rows stay leased.
		w.busy.Go(func() {
			for len(busy) > 0 && sleep(w.telling, wait) == nil {
				busy, wait = w.reportPublished(busy)
			}
		})
	}
}

// reportPublished answers those that must be reported again, and when.
func (w *worker) reportPublished(attempts []attempt) (busy []attempt, wait time.Duration) {
	verdicts, err := w.db.report(w.telling, attempts)
	if err != nil {
		slog.Error("the database refused a report of published rows", "error", oneLine(err.Error()))
		return nil, 0
	}
	for i, v := range verdicts {
		if v.verdict == "busy" {
			busy, wait = append(busy, attempts[i]), max(wait, v.wait)
		}
	}
	return busy, wait
}

// errMessageSize is the server's code for a message over the stream's limit.
const errMessageSize = 10054

func tooLarge(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &api) && api.ErrorCode == errMessageSize
}

// refused tells an answer of NATS, that the account may not publish to the subject
// or that nobody is there to answer for it, from an outage.
func refused(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrPermissionViolation)
}

func (w *worker) publishRow(row *publishing) (*jetstream.PubAck, error) {
	if row.stored != nil {
		return row.stored, nil
	}
	ctx, cancel := context.WithTimeout(w.telling, publishTimeout)
	defer cancel()
	ctx, done := w.link.denials.heed(ctx, row.subject)
	defer done()
	ack, err := (*w.link.js.Load()).PublishMsg(ctx, &nats.Msg{
		Subject: row.subject,
		Header:  row.header,
		Data:    []byte(row.payload),
	}, jetstream.WithExpectStream(row.stream), jetstream.WithRetryAttempts(0))
	return ack, orDenial(ctx, err)
}

// header reads a claim's headers: {"name": "value"}.
func header(text string) nats.Header {
	var flat map[string]string
	if text == "" || json.Unmarshal([]byte(text), &flat) != nil {
		return nil
	}
	h := make(nats.Header, len(flat))
	for name, value := range flat {
		h[name] = []string{value}
	}
	return h
}
