package main

import (
	"sync"
	"time"
)

const (
	// manyPending messages behind the last one are a backlog. Fewer are passed in no time,
	// unless they are large or slow: then the last one has waited for as long as longWait.
	manyPending = 500
	longWait    = time.Second
	// lookedAt is from how many messages at most, the last ones, a worker tells whose backlog it is,
	// and leastSeen from how many at least.
	lookedAt  = 1024
	leastSeen = 64
	// large is the part of them, one in so many, with which a webhook holds up others; of few it takes some.
	large = 64
	some  = 4
	// manyAgain are so many that come before what is new, again and again.
	manyAgain = 128
	// lately is how long a webhook holds up others by whatever part, after a message of it was not for its endpoint then: moved
	// to the queue, or to come again.
	lately = 5 * time.Second
)

// backlog is what the group's consumer has before it, as the messages tell that it delivers.
type backlog struct {
	mu     sync.Mutex
	long   bool
	recent [lookedAt]delivered // the last messages, a ring
	at     int
	seen   int                 // how many there are in it
	counts map[int32]int       // of each webhook's that nobody has read past
	again  int                 // of those that came before
	passed int                 // of those that were read past a backlog
	moved  map[int32]time.Time // when that was last so of a webhook's message

	// What is read past: from begun, before end, but for what was lately left to the consumer of each webhook.
	begun, end uint64
	left       map[int32]span
}

// span is from the first to the last message of a webhook that were left to the consumer with none between them that was not.
type span struct {
	first, last uint64
	open        bool
}

func (s span) has(sequence uint64) bool { return s.first <= sequence && sequence <= s.last }

type delivered struct {
	webhookID int32
	again     bool
	passed    bool
}

// came notes a message, how old it is and how many are behind it, and whether it came before: such come before what
// is new.
func (b *backlog) came(webhookID int32, sequence uint64, age time.Duration, pending uint64, again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts == nil {
		b.counts = map[int32]int{}
	}
	b.long = pending >= manyPending || pending > 0 && !again && age >= longWait
	if b.seen == lookedAt {
		b.count(b.recent[b.at], -1)
	} else {
		b.seen++
	}
	b.recent[b.at] = delivered{webhookID, again, b.begun <= sequence && sequence < b.end && !b.left[webhookID].has(sequence)}
	b.count(b.recent[b.at], 1)
	b.at = (b.at + 1) % lookedAt
}

func (b *backlog) count(m delivered, n int) {
	if m.again {
		b.again += n
	}
	if m.passed {
		b.passed += n
		return
	}
	if b.counts[m.webhookID] += n; b.counts[m.webhookID] <= 0 {
		delete(b.counts, m.webhookID)
	}
}

// move notes that a message of the webhook is moved to the queue, or comes again when its endpoint may be back.
func (b *backlog) move(webhookID int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.moved == nil {
		b.moved = map[int32]time.Time{}
	}
	b.moved[webhookID] = time.Now()
}

// over notes that nothing is there to be delivered.
func (b *backlog) over() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.long, b.at, b.seen, b.counts, b.again, b.passed, b.moved = false, 0, 0, nil, 0, 0, nil
}

// holdsUp tells whether messages of a few webhooks, of some whose endpoints are behind or away, or such as were read past them,
// stand before all others': many that wait or take long, or so many of an open transaction that nearly all that comes has come
// before. Where many webhooks have their part in a backlog and take it, each gets its turn as it is.
func (b *backlog) holdsUp() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen < leastSeen || !b.long && b.again < max(manyAgain, b.seen/2) {
		return false
	}
	theirs := b.passed
	for id, n := range b.counts {
		if id != 0 && b.theirs(id, n) {
			theirs += n
		}
	}
	return theirs >= b.seen/2
}

func (b *backlog) theirs(webhookID int32, n int) bool {
	return n >= max(some, b.seen/large) || time.Since(b.moved[webhookID]) < lately
}

// leaves tells whether the webhook is one of those, whose messages are left to the consumer.
func (b *backlog) leaves(webhookID int32, sequence uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.left[webhookID]
	theirs := b.theirs(webhookID, b.counts[webhookID])
	switch {
	case theirs && left.open:
		left.first, left.last = min(left.first, sequence), max(left.last, sequence)
	case theirs:
		left = span{sequence, sequence, true}
	case left.open:
		left.open = false
	default:
		return false
	}
	b.left[webhookID] = left
	return theirs
}

// reads notes from where on messages are read past the backlog, and up to where they were.
func (b *backlog) reads(begun, end uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if begun != b.begun {
		b.begun, b.left = begun, map[int32]span{}
	}
	b.end = end
}
