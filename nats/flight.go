package nats

import (
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

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

// takeAll takes the messages on a subject, or all.
func (f *flight) takeAll(subject string) []member {
	f.mu.Lock()
	defer f.mu.Unlock()
	var taken []member
	for m, found := range f.members {
		if subject == "" || m.Subject == subject {
			taken = append(taken, found)
			delete(f.members, m)
		}
	}
	return taken
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

// denied is called when the account may not publish to a subject: no message on
// it was taken, and none is answered.
func (f *flight) denied(why *deniedError) {
	for _, found := range f.takeAll(why.subject) {
		found.batch.settle(found.index, rejected(CodeDenied, "%s", why))
	}
}

// deaf is called when the account cannot hear acks. What is in flight may be in
// the stream.
func (f *flight) deaf(why *deniedError) {
	for _, found := range f.takeAll("") {
		found.batch.settle(found.index, Outcome{Kind: Unknown, Code: CodeDenied, Text: clean("no ack can come: " + why.Error())})
	}
}
