package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	aheadEvery = 10 * time.Millisecond
	// catchUpEvery is for a reader that has not reached the stream's end.
	catchUpEvery = 2 * time.Millisecond
	// mostAhead bounds what is asked for at a time, and so what reading ahead costs the server.
	mostAhead = 64
	// mostLater bounds the messages that wait to be read once more, mostOfOthers how many there may be for one
	// of another process's part to come in.
	mostLater, mostOfOthers = 4096, 2048
	// Behind the stream's end by outrun, and by more than mostBehind messages, it is no use to read: what was stored
	// meanwhile is left to the consumer.
	outrun     = time.Second
	mostBehind = 5000
	// lookBack is with how many of the last messages reading begins: some were stored while the backlog was not yet seen.
	lookBack = 4096
	// standIn is how long a process leaves another one's part to it before it looks what has become of that: a process that
	// lives need not get as far, be able to read or be of a version that does.
	standIn = 2 * time.Second
	// aheadPause is for a server that does not let itself be read, and between two backlogs.
	aheadPause = 10 * time.Second
)

// place is this process's among those that take from the stream: each reads all, and carries its part, and later what is
// left of that of one other.
type place struct{ index, of uint64 }

// turn is how many come before the process with a message.
func (p place) turn(sequence uint64) uint64 { return (sequence%p.of + p.of - p.index) % p.of }

// places is how the database tells them, by stream.
type places map[string][2]uint64

func (w *worker) takePlace(given places) {
	if p, ok := given[w.cfg.stream]; ok && p[0] < p[1] {
		w.place.Store(&place{p[0], p[1]})
	} else {
		w.place.Store(nil)
	}
}

// readAhead reads past a backlog what a few webhooks' messages would hold up until each of them is sent or moved.
// What was read so is carried as if the consumer had delivered it. The consumer does deliver it when its turn
// comes, and the database knows then what became of it; so all that goes wrong here is made good by the consumer.
func (w *worker) readAhead(ctx context.Context, consumer jetstream.Consumer) {
	var r *reading
	for sleep(ctx, aheadEvery) == nil {
		if w.place.Load() == nil || !w.heldUp() {
			continue
		}
		if r == nil || time.Since(r.ended) > aheadPause {
			r = &reading{consumer: consumer, subject: w.cfg.subject}
		}
		err := w.passBacklog(ctx, r)
		r.ended = time.Now()
		if err != nil && ctx.Err() == nil {
			w.nats.say("cannot read past a backlog", err.Error(), "stream", w.cfg.stream)
			_ = sleep(ctx, aheadPause)
		}
	}
}

func (w *worker) heldUp() bool { return w.halted.Load() > 0 || w.backlog.holdsUp() }

// passBacklog reads the last of what is stored and what comes from now on, while there is a backlog, or what is behind a
// consumer that has halted.
func (w *worker) passBacklog(ctx context.Context, r *reading) error {
	for n := 1; w.heldUp(); {
		halted := w.halted.Load()
		if now := w.link.now(); r.stream == nil || halted == 0 && min(now.Sub(r.last), now.Sub(r.looked)) > outrun {
			stream, err := w.findStream(w.taking)
			if err != nil {
				return err
			}
			if end := stream.CachedInfo().State.LastSeq + 1; r.stream == nil || end > r.next+mostBehind {
				if err := r.begin(ctx, end); err != nil {
					return err
				}
			}
			r.stream, r.looked = stream, w.link.now()
		}
		if halted > 0 && !r.halted {
			r.begun, r.next = halted+1, halted+1
		}
		r.halted = halted > 0
		room, err := w.load.room(ctx, int(w.link.nc.Load().MaxPayload()))
		if err != nil {
			return err
		}
		found, more, err := r.read(ctx, min(n, room))
		if err != nil {
			return err
		}
		w.backlog.reads(r.begun, r.next)
		for _, raw := range found {
			if err := w.carryEarly(ctx, raw, r); err != nil {
				return err
			}
		}
		wait := aheadEvery
		if more {
			n, wait = min(2*n, mostAhead), catchUpEvery
		} else {
			n, r.last = 1, w.link.now()
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	return nil
}

// begin goes to the last messages before the stream's end that the consumer has still to deliver. One that it has delivered may
// be done with for so long that the database has forgotten it, and would be sent again.
func (r *reading) begin(ctx context.Context, end uint64) error {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	info, err := r.consumer.Info(ctx)
	if err != nil {
		return err
	}
	r.next = min(end, max(r.next, info.Delivered.Stream+1, end-min(end, lookBack)))
	r.begun = r.next
	return nil
}

// carryEarly sets a message on its way that is for this process and not of the backlog itself.
func (w *worker) carryEarly(ctx context.Context, msg read, r *reading) error {
	e, m := w.open(&early{raw: msg.RawStreamMsg, stream: w.cfg.stream, again: r.again}, w.link.made())
	at := w.place.Load()
	if at == nil || w.halted.Load() == 0 && w.backlog.leaves(e.webhookID, msg.Sequence) {
		return nil
	}
	if turn := at.turn(msg.Sequence); turn > 0 && !msg.again {
		if turn == 1 {
			r.look(dated{msg.Sequence, time.Now().Add(standIn), true}, mostOfOthers)
		}
		return nil
	}
	select {
	case <-w.slots.ahead:
	case <-ctx.Done():
		return ctx.Err()
	}
	w.load.add(len(e.body))
	w.busy.Go(func() {
		defer w.load.remove(len(e.body))
		w.carry(e, m, w.slots.ahead)
	})
	return nil
}

// reading is how far a stream was read.
type reading struct {
	consumer jetstream.Consumer
	stream   jetstream.Stream
	subject  string
	begun    uint64    // all was read from here on
	next     uint64    // nothing was read from here on
	last     time.Time // when the newest that was read was stored, on the server's clock
	looked   time.Time // when the stream's end was looked up, on that clock
	halted   bool      // it follows a consumer that has halted
	ended    time.Time // when there was no backlog any more; soon after that it goes on where it was

	mu    sync.Mutex
	later []dated // to be read once more
}

// read is a message of the stream. Where it was to be read again it is this process's, whoever's it was.
type read struct {
	*jetstream.RawStreamMsg
	again bool
}

type dated struct {
	sequence uint64
	at       time.Time
	again    bool
}

// again has a message read once more after a while, where there is room.
func (r *reading) again(sequence uint64, wait time.Duration) {
	r.look(dated{sequence, time.Now().Add(wait), true}, mostLater)
}

func (r *reading) look(d dated, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.later) < most {
		r.later = append(r.later, d)
	}
}

// due takes out those whose time has come.
func (r *reading) due(most int) (due []dated) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := r.later[:0]
	for _, d := range r.later {
		if len(due) < most && time.Now().After(d.at) {
			due = append(due, d)
		} else {
			left = append(left, d)
		}
	}
	r.later = left
	return due
}

// read answers up to n new messages and those that were to be read again, and whether there may be more new ones.
func (r *reading) read(ctx context.Context, n int) (messages []read, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	due := r.due(mostAhead)
	found := make([]*jetstream.RawStreamMsg, n+len(due))
	errs := make([]error, len(found))
	var asked sync.WaitGroup
	for i := range found {
		asked.Go(func() {
			switch {
			case i == 0:
				// The one that passes a gap, however large.
				found[i], errs[i] = r.stream.GetMsg(ctx, r.next, jetstream.WithGetMsgSubject(r.subject))
			case i < n:
				found[i], errs[i] = r.stream.GetMsg(ctx, r.next+uint64(i))
			default:
				found[i], errs[i] = r.stream.GetMsg(ctx, due[i-n].sequence)
			}
			if errors.Is(errs[i], jetstream.ErrMsgNotFound) {
				errs[i] = nil
			}
		})
	}
	asked.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, false, err
	}
	expected := r.next + uint64(n)
	r.pass(found[:n])
	for i, raw := range found {
		twice := i > 0 && i < n && raw != nil && found[0] != nil && raw.Sequence == found[0].Sequence
		if raw != nil && !twice && matchesAny(r.subject, []string{raw.Subject}) {
			messages = append(messages, read{raw, i >= n && due[i-n].again})
		}
	}
	return messages, r.next >= expected, nil
}

// pass moves on behind the last of the new messages. One that was not there while another behind it was may have been
// stored in that moment, and is read again.
func (r *reading) pass(found []*jetstream.RawStreamMsg) {
	first, end := r.next, r.next
	for _, raw := range found {
		if raw != nil && raw.Sequence >= end {
			end, r.last = raw.Sequence+1, raw.Time
		}
	}
	for i := range found {
		sequence := first + uint64(i)
		if found[i] == nil && sequence < end && (found[0] == nil || sequence > found[0].Sequence) {
			r.look(dated{sequence: sequence}, mostLater)
		}
	}
	r.next = end
}
