package nats

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Message is an event as it goes to NATS.
type Message struct {
	Subject string
	Header  map[string][]string
	Data    []byte
}

// Send sends a batch over one connection, in order, and calls done once, from
// another goroutine, with an outcome for each message. It returns at once and
// takes no longer than the connection time-out and the publish time-out.
func (p *Pool) Send(messages []Message, done func([]Outcome)) {
	p.requests.Add(int64(len(messages)))
	s := &sending{
		pool:     p,
		messages: messages,
		outcomes: make([]Outcome, len(messages)),
		waits:    make([]bool, len(messages)),
		done:     done,
	}
	go s.run(func() error { return s.start() })
}

// sending is a batch on its way. It goes in rounds: all messages are handed to
// the connection, all acks awaited. When some did not come, everything from the
// first of them on is sent again under the same ids, so that order holds, as
// long as the publish time-out lasts. What has no ack by then is unknown.
type sending struct {
	pool     *Pool
	messages []Message
	done     func([]Outcome)
	link     *link
	deadline time.Time

	mu       sync.Mutex
	outcomes []Outcome
	// waits are the messages of this round whose outcome is not in, open counts them.
	waits  []bool
	open   int
	rounds int
	// made says that the missing stream was made, which is tried once.
	made bool
	// claimed says that duplicates of one's own making have been looked for.
	claimed bool
	ended   bool
}

// run is the only way in which a batch gets a goroutine: whatever happens in
// it, done is called.
func (s *sending) run(f func() error) {
	if err := protect(f); err != nil {
		s.giveUp(CodeInternal, err.Error())
	}
}

// giveUp ends the batch. What has no outcome yet may be in the stream.
func (s *sending) giveUp(code, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, waits := range s.waits {
		if (waits && s.outcomes[i].Kind != Acked) || s.outcomes[i].Code == "" && s.outcomes[i].Kind == Unknown {
			s.outcomes[i] = Outcome{Kind: Unknown, Code: code, Text: text}
		}
	}
	s.end()
}

// end calls back, once. The lock is held; an outcome that comes later finds
// ended and leaves the outcomes alone.
func (s *sending) end() {
	if !s.ended {
		s.ended = true
		s.done(s.outcomes)
	}
}

func (s *sending) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.pool.config.ConnectionTimeout)
	defer cancel()
	var err error
	if s.link, err = s.pool.connection(ctx, false); err != nil {
		s.rejectAll(away(err))
		return nil
	}
	limit := s.link.maxPayload.Load()
	for i := range s.messages {
		if size := int64(len(s.messages[i].Data)); size > limit {
			s.rejectAll(tooLarge(size, limit))
			return nil
		}
	}
	s.deadline = time.Now().Add(s.pool.config.PublishTimeout)
	// The client waits for its locks and for the socket without a look at the
	// time; the caller must not.
	time.AfterFunc(s.pool.config.PublishTimeout, func() { guard(s.expire) })
	if !s.pool.config.JetStream {
		s.publishCore()
		return nil
	}
	if err := s.link.hears(); err != nil {
		s.rejectAll(away(err))
		return nil
	}
	s.round(0)
	return nil
}

// expire ends a batch whose time is over.
func (s *sending) expire() {
	s.mu.Lock()
	late := !s.ended
	s.mu.Unlock()
	if late {
		s.link.doubt(s.pool.config.ConnectionTimeout)
		s.giveUp(CodeNoAnswer, "no ack: timed out")
	}
}

func (s *sending) rejectAll(outcome Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.outcomes {
		s.outcomes[i] = outcome
	}
	s.end()
}

// round sends everything from a message on. Outcomes come in on the client's
// goroutines, possibly before it returns.
func (s *sending) round(from int) {
	if !s.begin(from) {
		return
	}
	for i := from; i < len(s.messages) && !s.over(); i++ {
		m := &nats.Msg{Subject: s.messages[i].Subject, Header: s.messages[i].Header, Data: s.messages[i].Data}
		s.link.flight.add(m, s, i)
		if _, err := s.link.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0)); err != nil {
			s.link.flight.take(m)
			s.settle(i, s.notHanded(&s.messages[i], err))
		}
	}
}

func (s *sending) begin(from int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rounds++
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
		return tooLarge(int64(len(m.Data)), s.link.maxPayload.Load())
	case timedOut(err):
		s.link.doubt(s.pool.config.ConnectionTimeout)
	}
	return away(s.pool.named(err))
}

func tooLarge(size, limit int64) Outcome {
	return rejected(CodeTooLarge, "payload of %d bytes is over the server's max_payload of %d", size, limit)
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
		outcome.Resent = s.outcomes[i].Resent || s.outcomes[i].Code == CodeNoAnswer
		if outcome.Resent && outcome.Kind == Rejected {
			// The copy that was not answered may be in the stream all the same.
			outcome.Kind, outcome.Code = Unknown, CodeNoAnswer
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
		if outcome.Code == CodeNoAnswer && s.pool.config.JetStream {
			if !time.Now().Before(s.deadline) {
				s.link.doubt(s.pool.config.ConnectionTimeout)
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
		if outcome.Duplicate && outcome.Resent && !s.claimed {
			s.claimed = true
			go s.run(func() error { s.claim(); return nil })
			return
		}
	}
	s.end()
}

// again sends once more as soon as there is a connection, within the deadline.
func (s *sending) again(from int) {
	for !s.link.standing.Load() {
		if s.over() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.round(from)
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
		if err := s.pool.create(ctx, s.link, stream); err != nil {
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
