package nats

import (
	"context"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// claim looks whose the messages are that came back as duplicates after a first
// copy was not answered. A stored one with the same headers, which hold the
// transaction, is that copy: the event is no duplicate, and need not be sent
// under another id. Where the look fails it stays one.
func (s *sending) claim() {
	ctx, cancel := context.WithDeadline(context.Background(), s.deadline)
	defer cancel()
	s.mu.Lock()
	seen := slices.Clone(s.outcomes)
	s.mu.Unlock()
	var mine []int
	for i, outcome := range seen {
		if outcome.Duplicate && outcome.resent && s.stored(ctx, i, outcome) {
			mine = append(mine, i)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	for _, i := range mine {
		s.outcomes[i].Duplicate = false
	}
	s.end()
}

// stored tells whether the message that an outcome speaks of is ours.
func (s *sending) stored(ctx context.Context, i int, outcome Outcome) bool {
	link := s.link.Load()
	stream, err := link.stream(ctx, outcome.Stream)
	if err != nil {
		return false
	}
	var held *jetstream.RawStreamMsg
	err = link.ask(ctx, func(ctx context.Context) (err error) {
		held, err = stream.GetMsg(ctx, outcome.Sequence)
		return err
	})
	if err != nil {
		return false
	}
	for name, values := range s.messages[i].Header {
		if !slices.Equal(held.Header[name], values) {
			return false
		}
	}
	return true
}
