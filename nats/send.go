package nats

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rule_engine/nats/wire"
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
		done:     done,
	}
	go s.run(func() error { return s.start() })
}

// sending is a batch on its way. It goes in rounds: all messages are handed to
// the connection, all acks awaited. When some did not come, everything from the
// first of them on is sent again under the same ids, so that order holds, as
// long as the publish time-out lasts.
type sending struct {
	pool     *Pool
	messages []Message
	outcomes []Outcome
	done     func([]Outcome)
	ended    atomic.Bool
	link     *link
	deadline time.Time
	rounds   int
	// made says that the missing stream was made, which is tried once.
	made bool
	// open counts the messages of this round whose outcome is not in.
	open atomic.Int32
}

// run is the only way in which a batch gets a goroutine: whatever happens in
// it, done is called.
func (s *sending) run(f func() error) {
	if err := protect(f); err != nil {
		for i := range s.outcomes {
			if s.outcomes[i].Kind == Unknown {
				s.outcomes[i] = Outcome{Kind: Unknown, Code: CodeInternal, Text: err.Error()}
			}
		}
		guard(s.end)
	}
}

func (s *sending) end() {
	if s.ended.CompareAndSwap(false, true) {
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
	s.deadline = time.Now().Add(s.pool.config.PublishTimeout)
	for i := range s.messages {
		if limit := s.link.conn.MaxPayload(); int64(len(s.messages[i].Data)) > limit {
			s.rejectAll(rejected(CodeTooLarge, "payload of %d bytes is over the server's max_payload of %d",
				len(s.messages[i].Data), limit))
			return nil
		}
	}
	if !s.pool.config.JetStream {
		s.publishCore()
		return nil
	}
	s.round(0)
	return nil
}

func (s *sending) rejectAll(outcome Outcome) {
	for i := range s.outcomes {
		s.outcomes[i] = outcome
	}
	s.end()
}

// publishCore is for a configuration without JetStream: an answered PING after
// the messages says that the server has read them.
func (s *sending) publishCore() {
	for i, m := range s.messages {
		err := s.link.conn.PublishMsg(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		if err != nil {
			s.outcomes[i] = away(err)
			continue
		}
		s.outcomes[i] = Outcome{Kind: Acked}
	}
	if err := s.link.conn.FlushTimeout(time.Until(s.deadline)); err != nil {
		for i := range s.outcomes {
			if s.outcomes[i].Kind == Acked {
				s.outcomes[i] = afterSend(err, s.messages[i].Subject)
			}
		}
	}
	s.end()
}

// round sends everything from a message on. Outcomes come in on the client's
// goroutines, possibly before it returns.
func (s *sending) round(from int) {
	s.rounds++
	s.open.Store(int32(len(s.messages) - from))
	for i := from; i < len(s.messages); i++ {
		m := &nats.Msg{Subject: s.messages[i].Subject, Header: s.messages[i].Header, Data: s.messages[i].Data}
		s.link.flight.add(m, s, i)
		if _, err := s.link.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0)); err != nil {
			s.link.flight.take(m)
			s.settle(i, s.notHanded(i, err))
		}
	}
}

// notHanded is the outcome of a message that the connection did not take: in a
// later round an earlier copy of it may still have arrived.
func (s *sending) notHanded(i int, err error) Outcome {
	if s.rounds > 1 && s.outcomes[i].Code == CodeNoAnswer {
		return afterSend(err, s.messages[i].Subject)
	}
	return away(err)
}

// settle notes what became of a message in this round. An ack of an earlier
// round stands: that the same message is a duplicate now is our own doing.
func (s *sending) settle(i int, outcome Outcome) {
	if s.outcomes[i].Kind != Acked {
		outcome.resent = s.outcomes[i].resent || s.outcomes[i].Code == CodeNoAnswer
		if outcome.resent && outcome.Kind == Rejected {
			// The copy that was not answered may be in the stream all the same.
			outcome.Kind, outcome.Code = Unknown, CodeNoAnswer
		}
		s.outcomes[i] = outcome
	}
	if s.open.Add(-1) == 0 {
		s.endRound()
	}
}

// endRound must not block: it runs on the client's goroutines.
func (s *sending) endRound() {
	for i, outcome := range s.outcomes {
		if outcome.resent && outcome.Duplicate {
			go s.run(func() error { s.recognize(i); s.endRound(); return nil })
			return
		}
		if outcome.Kind == Unknown && time.Now().Before(s.deadline) {
			go s.run(func() error { s.again(i); return nil })
			return
		}
		if outcome.Code == CodeNoStream && !s.made {
			s.made = true
			go s.run(func() error { return s.makeStream(i) })
			return
		}
	}
	s.end()
}

// again sends once more as soon as there is a connection, within the deadline.
func (s *sending) again(from int) {
	for !s.link.conn.IsConnected() {
		if time.Now().After(s.deadline) {
			s.end()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.round(from)
}

// recognize looks whether the copy that a message sent twice is a duplicate of
// is its own first one. Where that cannot be seen it stays a duplicate.
func (s *sending) recognize(i int) {
	outcome := &s.outcomes[i]
	outcome.resent = false
	ctx, cancel := context.WithDeadline(context.Background(), s.deadline)
	defer cancel()
	stream, err := s.link.js.Stream(ctx, outcome.Stream)
	if err != nil {
		return
	}
	held, err := stream.GetMsg(ctx, outcome.Sequence)
	if err != nil {
		return
	}
	for _, name := range []string{wire.HeaderMsgID, wire.HeaderTransaction} {
		if !slices.Equal(held.Header[name], s.messages[i].Header[name]) {
			return
		}
	}
	outcome.Duplicate = false
}

// makeStream makes the stream that an enabled row of rule_nats_streams has for
// the subject, and sends again.
func (s *sending) makeStream(from int) error {
	for i := range s.pool.config.Streams {
		stream := &s.pool.config.Streams[i]
		if !stream.covers(s.messages[from].Subject) {
			continue
		}
		ctx, cancel := context.WithDeadline(context.Background(), s.deadline)
		defer cancel()
		if err := s.pool.create(ctx, s.link.js, stream); err != nil {
			s.outcomes[from].Text += ", and stream " + stream.Name + " could not be made: " + explain(err)
			s.end()
			return nil
		}
		s.round(from)
		return nil
	}
	s.end()
	return nil
}

// flight knows which batch a message that the client gives back belongs to.
type flight struct {
	mu      sync.Mutex
	members map[*nats.Msg]member
}

type member struct {
	batch *sending
	index int
}

func (f *flight) add(m *nats.Msg, batch *sending, index int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.members == nil {
		f.members = make(map[*nats.Msg]member)
	}
	f.members[m] = member{batch, index}
}

func (f *flight) take(m *nats.Msg) (member, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found, ok := f.members[m]
	delete(f.members, m)
	return found, ok
}

func (f *flight) onAck(_ jetstream.JetStream, m *nats.Msg, ack *jetstream.PubAck) {
	guard(func() {
		if found, ok := f.take(m); ok {
			found.batch.settle(found.index, Outcome{
				Kind: Acked, Stream: ack.Stream, Sequence: ack.Sequence, Duplicate: ack.Duplicate,
			})
		}
	})
}

func (f *flight) onError(_ jetstream.JetStream, m *nats.Msg, err error) {
	guard(func() {
		if found, ok := f.take(m); ok {
			found.batch.settle(found.index, afterSend(err, m.Subject))
		}
	})
}
