package nats

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Message is an event as it goes to NATS.
type Message struct {
	Subject string
	Header  map[string][]string
	Data    []byte
}

// Send sends a batch over one connection, in order, and calls done once, with
// an outcome for each message: before it returns where NATS or the stream is known
// to be away, else from another goroutine. It returns at once and takes no longer
// than the connection time-out and the publish time-out.
func (p *Pool) Send(messages []Message, done func([]Outcome)) {
	p.requests.Add(int64(len(messages)))
	p.begin()
	s := &sending{
		pool:     p,
		messages: messages,
		outcomes: make([]Outcome, len(messages)),
		waits:    make([]bool, len(messages)),
		done: func(outcomes []Outcome) {
			p.end()
			done(outcomes)
		},
	}
	err := p.known()
	if err == nil {
		err = p.quiet(messages)
	}
	if err != nil {
		s.rejectAll(away(err))
		return
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
	// link is the connection of this round; again may take another.
	link     atomic.Pointer[link]
	deadline time.Time
	// againUntil is until when a message may be sent again.
	againUntil time.Time

	mu sync.Mutex
	// timer calls expire.
	timer    *time.Timer
	outcomes []Outcome
	// waits are the messages of this round whose outcome is not in, open counts them.
	waits []bool
	open  int
	// sentAgain says that messages were sent once more, after the server had answered
	// a PING.
	sentAgain bool
	// made says that the missing stream was made, which is tried once.
	made bool
	// unmade says that nobody answered when it was to be made, or has yet.
	unmade bool
	// claimed says that duplicates of one's own making have been looked for.
	claimed bool
	ended   bool
}

// run is the only way in which a batch gets a goroutine: whatever happens in
// it, done is called.
func (s *sending) run(f func() error) {
	if err := protect(f); err != nil {
		s.giveUp(CodeInternal, clean(err.Error()))
	}
}

// giveUp ends the batch. What has no outcome yet may be in the stream.
func (s *sending) giveUp(code, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
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
	if s.ended {
		return
	}
	s.ended = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.note()
	s.done(s.outcomes)
}

// note tells the pool which streams answer and which do not.
func (s *sending) note() {
	if !s.pool.config.JetStream {
		return
	}
	last := ""
	for i := range s.outcomes {
		subject := s.messages[i].Subject
		if subject == last {
			continue
		}
		switch o := &s.outcomes[i]; {
		case o.Kind == Acked:
			s.pool.acked(subject)
		case o.Code == CodeNoAnswer && (s.sentAgain || o.pending), o.Code == CodeNoStream && s.unmade:
			s.pool.fellQuiet(subject)
		default:
			continue
		}
		last = subject
	}
}

func (s *sending) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.pool.config.ConnectionTimeout)
	defer cancel()
	link, err := s.pool.connection(ctx, false)
	if err != nil {
		s.rejectAll(away(err))
		return nil
	}
	s.link.Store(link)
	limit := link.maxPayload.Load()
	for i := range s.messages {
		if size := int64(len(s.messages[i].Data)); size > limit {
			s.rejectAll(tooLarge(size, limit))
			return nil
		}
	}
	began := time.Now()
	s.deadline = began.Add(s.pool.config.PublishTimeout)
	s.againUntil = began.Add(min(s.pool.config.PublishTimeout, s.window()/2))
	// The client waits for its locks and for the socket without a look at the
	// time; the caller must not.
	s.mu.Lock()
	s.timer = time.AfterFunc(s.pool.config.PublishTimeout, func() { guard(s.expire) })
	s.mu.Unlock()
	if !s.pool.config.JetStream {
		s.publishCore()
		return nil
	}
	if err := link.hears(); err != nil {
		s.rejectAll(away(err))
		return nil
	}
	s.round(0)
	return nil
}

// window is how long the stream knows the messages' ids. What was not answered
// for half of that is not sent again from here: it goes the fallback's way, where
// it is looked up in the stream first.
func (s *sending) window() time.Duration {
	shortest := defaultWindow
	for i := range s.pool.config.Streams {
		stream := &s.pool.config.Streams[i]
		if slices.ContainsFunc(s.messages, func(m Message) bool { return stream.covers(m.Subject) }) {
			shortest = min(shortest, stream.DuplicateWindow)
		}
	}
	return shortest
}

// defaultWindow is NATS', for streams that rule_nats_streams does not know.
const defaultWindow = 2 * time.Minute

// expire ends a batch whose time is over.
func (s *sending) expire() {
	s.mu.Lock()
	late := !s.ended
	s.mu.Unlock()
	if late {
		s.pool.doubt(s.link.Load())
		s.giveUp(CodeNoAnswer, "no ack: timed out")
	}
}

func (s *sending) rejectAll(outcome Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	for i := range s.outcomes {
		s.outcomes[i] = outcome
	}
	s.end()
}
