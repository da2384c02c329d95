package main

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// event is one payload for one webhook while this process has it.
type event struct {
	queueID    int64 // 0 on the stream path
	webhookID  int32
	messageID  string
	redelivery int
	try        int
	body       []byte // the payload's bytes as they came; never parsed
	trace      string

	stream   string
	sequence uint64
	made     int64         // the incarnation of its stream
	msg      jetstream.Msg // nil on the queue path

	taken time.Time // when the call began that gave its lease
	// leaseEnd is the monotonic end of the lease in nanoseconds since began;
	// 0 while there is none to renew. The heartbeat writes it, too.
	leaseEnd atomic.Int64
}

// began anchors leases to the process's own monotonic clock: a clock that
// somebody sets right must not stretch a lease.
var began = time.Now()

// leased notes a lease taken by a call that began at start. It is
// counted from before the call: the database counted from later.
func (e *event) leased(start time.Time, length time.Duration) {
	e.taken = start
	e.leaseEnd.Store(int64(start.Sub(began) + length))
}

// renewed notes that the lease was renewed by a call that began at start. It may have been
// given back, or found lost, while the call was under way: that stays.
func (e *event) renewed(start time.Time, length time.Duration) {
	if old := e.leaseEnd.Load(); old != 0 {
		e.leaseEnd.CompareAndSwap(old, int64(start.Sub(began)+length))
	}
}

// left is how long the lease still holds.
func (e *event) left() time.Duration {
	return time.Duration(e.leaseEnd.Load()) - time.Since(began)
}

// unlease makes the heartbeat leave the event alone: its lease is being given
// back, or was found lost.
func (e *event) unlease() { e.leaseEnd.Store(0) }

func (e *event) path() string {
	if e.msg != nil {
		return "stream"
	}
	return "queue"
}

// holdings is all that the process has not settled.
type holdings struct {
	mu     sync.Mutex
	events map[*event]struct{}
	places map[streamPlace]bool // of those of the stream
}

// streamPlace is a message's.
type streamPlace struct {
	made     int64
	sequence uint64
}

func (e *event) place() streamPlace { return streamPlace{e.made, e.sequence} }

func newHoldings() *holdings {
	return &holdings{events: map[*event]struct{}{}, places: map[streamPlace]bool{}}
}

func (h *holdings) add(e *event) {
	h.mu.Lock()
	h.events[e] = struct{}{}
	h.mu.Unlock()
}

// addMessage answers false for a message that is held already: the database takes
// a second question about it for the first, whose answer was lost.
func (h *holdings) addMessage(e *event) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.places[e.place()] {
		return false
	}
	h.places[e.place()] = true
	h.events[e] = struct{}{}
	return true
}

// remove may come after another copy of the message was added: that one stays.
func (h *holdings) remove(e *event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, held := h.events[e]; !held {
		return
	}
	delete(h.events, e)
	if e.msg != nil {
		delete(h.places, e.place())
	}
}

// recall has what is in hand of deleted webhooks given back untried: no lease of it is left.
func (h *holdings) recall(webhookIDs map[int32]bool) {
	for _, e := range h.all() {
		if webhookIDs[e.webhookID] {
			e.unlease()
		}
	}
}

func (h *holdings) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.events)
}

func (h *holdings) all() []*event {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*event, 0, len(h.events))
	for e := range h.events {
		all = append(all, e)
	}
	return all
}
