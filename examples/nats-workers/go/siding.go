package main

import (
	"sync"
	"time"
)

// siding bounds how many events of slow endpoints there are beside those that have slots.
type siding chan struct{}

// mostAside is so many that a hundred endpoints which hang at once leave the slots free.
const mostAside = 2048

// enter moves an event aside, where there is room.
func (s siding) enter() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s siding) leave() { <-s }

// passing is for events of slow endpoints when the siding is full, too. The worker
// passes them over, without a look of the database, to come to what stands behind
// them in the stream; they come again at a rate at which they can be moved.
type passing struct {
	mu   sync.Mutex
	last time.Time // when the last of them comes again
}

const (
	comeAgain      = 2 * time.Second // at the earliest
	comeAgainEvery = 200 * time.Microsecond
	mostPassed     = maxAckPending * 3 / 4 // others need places, too
)

// over says in how long an event comes again, or that too many are to come already.
// All those of one second come at one moment: the server looks through all that is
// not settled at each moment that it was given.
func (p *passing) over(now time.Time) (wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.Before(now.Add(comeAgain)) {
		p.last = now.Add(comeAgain)
	}
	if p.last.Sub(now) > comeAgain+mostPassed*comeAgainEvery {
		return 0, false
	}
	p.last = p.last.Add(comeAgainEvery)
	return p.last.Truncate(time.Second).Add(time.Second).Sub(now), true
}

// shunt frees an event's slot when it has waited for as long as patience lasts,
// until end is called.
func (s siding) shunt(free func()) (end func()) {
	var mu sync.Mutex
	aside, ended := false, false
	late := time.AfterFunc(patience, func() {
		mu.Lock()
		defer mu.Unlock()
		if !ended && s.enter() {
			aside = true
			free()
		}
	})
	return func() {
		late.Stop()
		mu.Lock()
		defer mu.Unlock()
		ended = true
		if aside {
			s.leave()
		}
	}
}
