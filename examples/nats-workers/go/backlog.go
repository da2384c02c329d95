package main

import "sync"

const (
	// manyPending messages behind the last one are a backlog. Fewer are passed in no time.
	manyPending = 500
	// lookedAt is from how many messages, the last ones, a worker tells whose backlog it is.
	lookedAt = 256
	// large is the part of them, one in so many, with which a webhook holds up others.
	large = 16
)

// backlog is what the group's consumer has before it, as the messages tell that it delivers.
type backlog struct {
	mu      sync.Mutex
	pending uint64
	recent  [lookedAt]int32 // the webhooks of the last messages, a ring
	at      int
	counts  map[int32]int // how often each stands in it
}

// came notes a message, and how many are behind it.
func (b *backlog) came(webhookID int32, pending uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts == nil {
		b.counts = map[int32]int{}
	}
	b.pending = pending
	old := b.recent[b.at]
	if b.counts[old]--; b.counts[old] <= 0 {
		delete(b.counts, old)
	}
	b.recent[b.at] = webhookID
	b.counts[webhookID]++
	b.at = (b.at + 1) % lookedAt
}

// over notes that nothing is behind.
func (b *backlog) over() {
	b.mu.Lock()
	b.pending = 0
	b.mu.Unlock()
}

// holdsUp tells whether a few webhooks' messages stand before all others'. Where many have their part in a
// backlog, each gets its turn as it is.
func (b *backlog) holdsUp() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending < manyPending {
		return false
	}
	theirs := 0
	for id, n := range b.counts {
		if id != 0 && n >= lookedAt/large {
			theirs += n
		}
	}
	return theirs >= lookedAt/2
}

// of tells whether the webhook is one of those.
func (b *backlog) of(webhookID int32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts[webhookID] >= lookedAt/large
}
