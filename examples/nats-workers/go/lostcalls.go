package main

import (
	"math/rand/v2"
	"sync"
	"time"
)

// lostCalls remembers the claims that were not answered. What they leased, if
// they came to Postgres at all, is given back by a heartbeat that names them.
type lostCalls struct {
	mu    sync.Mutex
	until map[int64]time.Time
}

const (
	// mostCall keeps the numbers within what the database reads as a count.
	mostCall = 1_000_000_000_000_000
	// namedFor is longer than the lease of most of what such a call can have
	// leased. Named more than once, since a server that hung may do it late.
	namedFor = 2 * time.Minute
)

// newCall answers a number that no other claim has, of an earlier process of the same name either.
func newCall() int64 { return 1 + rand.Int64N(mostCall-1) }

func (l *lostCalls) add(call int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil {
		l.until = map[int64]time.Time{}
	}
	l.until[call] = time.Now().Add(namedFor)
}

func (l *lostCalls) all() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var calls []int64
	for call, until := range l.until {
		if time.Now().After(until) {
			delete(l.until, call)
			continue
		}
		calls = append(calls, call)
	}
	return calls
}
