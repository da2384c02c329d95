package nats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// round sends everything from a message on. Outcomes come in on the client's
// goroutines, possibly before it returns.
func (s *sending) round(from int) {
	if !s.begin(from) {
		return
	}
	link := s.link.Load()
	for i := from; i < len(s.messages) && !s.over(); i++ {
		m := &nats.Msg{Subject: s.messages[i].Subject, Header: s.messages[i].Header, Data: s.messages[i].Data}
		link.flight.add(m, s, i)
		if _, err := link.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0)); err != nil {
			link.flight.take(m)
			s.settle(i, s.notHanded(&s.messages[i], err))
		}
	}
}

func (s *sending) begin(from int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = len(s.messages) - from
	for i := from; i < len(s.messages); i++ {
		s.waits[i] = true
	}
	return !s.ended
}

func (s *sending) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// notHanded is the outcome of a message that the connection did not take: a
// write that failed left it cut off, and the client sends it no more.
func (s *sending) notHanded(m *Message, err error) Outcome {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		// It counts the headers too.
		return tooLarge(int64(len(m.Data)), s.link.Load().maxPayload.Load())
	case timedOut(err):
		s.pool.doubt(s.link.Load())
	}
	return away(s.pool.named(err))
}

func tooLarge(size, limit int64) Outcome {
	return rejected(CodeTooLarge, "payload of %d bytes and its headers are over the server's max_payload of %d", size, limit)
}

// settle notes what became of a message in this round. An ack of an earlier
// round stands: that the same message is a duplicate now is our own doing.
func (s *sending) settle(i int, outcome Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.waits[i] {
		return
	}
	s.waits[i] = false
	if s.outcomes[i].Kind != Acked {
		outcome.resent = s.outcomes[i].resent || s.outcomes[i].Code == CodeNoAnswer
		if outcome.resent && outcome.Kind == Rejected {
			// The copy that was not answered may be in the stream all the same. A
			// connection that went away is worth another try, a refusal is not.
			outcome.Kind = Unknown
			if outcome.Code == CodeAway {
				outcome.Code = CodeNoAnswer
			}
		}
		s.outcomes[i] = outcome
	}
	s.open--
	if s.open == 0 {
		s.endRound()
	}
}

// endRound must not block: it runs on the client's goroutines, with the lock.
func (s *sending) endRound() {
	for i, outcome := range s.outcomes {
		if outcome.Code == CodeNoAnswer && !outcome.pending && s.pool.config.JetStream {
			if !time.Now().Before(s.againUntil) {
				s.pool.doubt(s.link.Load())
				break
			}
			go s.run(func() error { s.again(i); return nil })
			return
		}
		if outcome.Code == CodeNoStream && !s.made {
			s.made = true
			go s.run(func() error { s.makeStream(i, outcome.Text); return nil })
			return
		}
		if outcome.Duplicate && outcome.resent && !s.claimed {
			s.claimed = true
			go s.run(func() error { s.claim(); return nil })
			return
		}
	}
	s.end()
}

// again sends once more as soon as a connection answers, if that is soon enough:
// the one that did not, or another in its place.
func (s *sending) again(from int) {
	if l := s.link.Load(); l.standing.Load() {
		s.pool.doubt(l)
	}
	for !s.over() && time.Now().Before(s.againUntil) {
		if l := s.pool.carrier(); l != nil && l.ready() {
			s.link.Store(l)
			s.mu.Lock()
			s.sentAgain = true
			s.mu.Unlock()
			s.round(from)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.giveUp(CodeNoAnswer, "no ack: timed out")
}

// makeStream makes the stream that an enabled row of rule_nats_streams has for
// the subject, and sends again.
func (s *sending) makeStream(from int, missing string) {
	for i := range s.pool.config.Streams {
		stream := &s.pool.config.Streams[i]
		if !stream.covers(s.messages[from].Subject) {
			continue
		}
		ctx, cancel := context.WithDeadline(context.Background(), s.deadline)
		defer cancel()
		s.making(true)
		err := s.pool.create(ctx, s.link.Load(), stream)
		s.making(unanswered(err))
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !s.ended {
				s.outcomes[from].Text = missing + ", and stream " + stream.Name + " could not be made: " + explain(err)
			}
			s.end()
			return
		}
		s.round(from)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
}

// making notes whether an answer is awaited, or was in vain.
func (s *sending) making(unmade bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unmade = unmade
}
