package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rule_engine/nats/wire"
)

const (
	// headerUnanswered is what claim tells of a row, in ms: a copy of the event may
	// have been stored at any time since then, and the stream soon does not know
	// its id any more. It does not travel.
	headerUnanswered = "Rule-Engine-Unanswered-Ms"
	// lookFor bounds the look into the stream, which is made within the rows' lease.
	lookFor = 5 * time.Second
	// clockSlack is what the clocks of Postgres, NATS and this machine may differ by.
	clockSlack = 5 * time.Second
)

// unanswered takes out of a row's headers since when a copy of it may be in the stream.
func unanswered(h nats.Header) (since time.Duration, maybe bool) {
	text := h[headerUnanswered]
	delete(h, headerUnanswered)
	if len(text) == 0 {
		return 0, false
	}
	ms, err := strconv.ParseInt(text[0], 10, 64)
	return time.Duration(ms) * time.Millisecond, err == nil
}

// lookUp finds which rows the stream holds already, by their Nats-Msg-Id. What
// was delivered meanwhile is no row any more, since the row is its receipt. A
// look that fails finds less: a second copy costs room, and is not delivered.
func (w *worker) lookUp(rows []*publishing) {
	type place struct{ stream, subject string }
	places := map[place][]*publishing{}
	for _, row := range rows {
		if row.maybe {
			at := place{row.stream, row.subject}
			places[at] = append(places[at], row)
		}
	}
	ctx, cancel := context.WithTimeout(w.telling, lookFor)
	defer cancel()
	ctx, done := w.link.denials.heed(ctx, "$JS.API.")
	defer done()
	for at, some := range places {
		stream, err := (*w.link.js.Load()).Stream(ctx, at.stream)
		if err == nil {
			err = w.lookAt(ctx, stream, at.subject, some)
		}
		if err = orDenial(ctx, err); err != nil {
			w.nats.say("cannot look up what was not answered", err.Error(), "stream", at.stream)
		}
	}
}

// lookAt reads the messages on one subject from the time on at which the oldest of the rows can have been stored.
func (w *worker) lookAt(ctx context.Context, stream jetstream.Stream, subject string, rows []*publishing) error {
	wanted := map[string]*publishing{}
	var age time.Duration
	for _, row := range rows {
		wanted[row.header.Get(wire.HeaderMsgID)] = row
		age = max(age, row.since)
	}
	info := stream.CachedInfo()
	sequence, err := firstSince(ctx, stream, w.link.now().Add(-age-clockSlack), info.State.FirstSeq, info.State.LastSeq)
	for err == nil && len(wanted) > 0 {
		var msg *jetstream.RawStreamMsg
		if msg, err = stream.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(subject)); err != nil {
			break
		}
		id := msg.Header.Get(wire.HeaderMsgID)
		if row := wanted[id]; row != nil {
			row.stored = &jetstream.PubAck{Stream: rows[0].stream, Sequence: msg.Sequence}
			delete(wanted, id)
		}
		sequence = msg.Sequence + 1
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}

// firstSince is the first sequence of a message that was stored at a time or
// later; one past the last when there is none. Messages that are gone leave gaps.
func firstSince(ctx context.Context, stream jetstream.Stream, since time.Time, first, last uint64) (uint64, error) {
	for end := last + 1; first < end; {
		middle := first + (end-first)/2
		msg, err := stream.GetMsg(ctx, middle, jetstream.WithGetMsgSubject(">"))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			end = middle
		case err != nil:
			return 0, err
		case msg.Time.Before(since):
			first = msg.Sequence + 1
		default:
			end = middle
		}
	}
	return max(first, 1), nil
}
