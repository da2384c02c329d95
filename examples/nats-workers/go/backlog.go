package main

import "sync"

const (
	// manyPending messages behind the last one are a backlog. Fewer are passed in no time.
	manyPending = 500
	// lookedAt is from how many messages, the last ones, a worker tells whose backlog it is.
	lookedAt = 1024
	// large is the part of them, one in so many, with which a webhook holds up others.
	large = 64
)

// backlog is what the group's consumer has before it, as the messages tell that it delivers.
type backlog struct {
	mu      sync.Mutex
	pending uint64
	recent  [lookedAt]delivered // the last messages, a ring
	at      int
	counts  map[int32]int // of each webhook's in it
	again   int           // of those in it that came before
}

type delivered struct {
	webhookID int32
	again     bool
}

// came notes a message, how many are behind it, and whether it came before: such come before what is new.
func (b *backlog) came(webhookID int32, pending uint64, again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts == nil {
		b.counts = map[int32]int{}
	}
	b.pending = pending
	b.count(b.recent[b.at], -1)
	b.recent[b.at] = delivered{webhookID, again}
	b.count(b.recent[b.at], 1)
	b.at = (b.at + 1) % lookedAt
}

func (b *backlog) count(m delivered, n int) {
	if m.again {
		b.again += n
	}
	if b.counts[m.webhookID] += n; b.counts[m.webhookID] <= 0 {
		delete(b.counts, m.webhookID)
	}
}

// over notes that nothing is there to be delivered.
func (b *backlog) over() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending, b.recent, b.counts, b.again = 0, [lookedAt]delivered{}, nil, 0
}

// holdsUp tells whether a few webhooks' messages stand before all others': many that wait, or so many of an open
// transaction that nearly all that comes has come before. Where many webhooks have their part in a backlog, each gets its
// turn as it is.
func (b *backlog) holdsUp() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending < manyPending && b.again < lookedAt/2 {
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
