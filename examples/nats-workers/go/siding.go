package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// siding is where events are that take long, beside those that have slots. What waits for the
// database finds room there or keeps its slot. What waits for its endpoint always goes there: of
// such, windows take in no more than its share is.
type siding struct {
	most  int64
	taken atomic.Int64
}

// mostAside is so many that endpoints which hang have some requests each under way. It is no less
// than what a few slow ones use that are sent all that they may be.
const mostAside = 2048

func newSiding(batch int) *siding { return &siding{most: int64(max(mostAside, 8*batch))} }

// places is how many an event takes: with large ones all places together are half of mostLoad.
func (s *siding) places(size int) int64 { return 1 + int64(size)*s.most/(mostLoad/2) }

// enter moves an event aside, where there is room.
func (s *siding) enter(size int) bool {
	n := s.places(size)
	if s.taken.Add(n) <= s.most {
		return true
	}
	s.taken.Add(-n)
	return false
}

func (s *siding) add(size int)   { s.taken.Add(s.places(size)) }
func (s *siding) leave(size int) { s.taken.Add(-s.places(size)) }

// share is how many events of one endpoint may be in hand while it answers nothing: the fewer the more
// there are aside. Each of a few gets many, and however many there are, each gets one.
func (s *siding) share() int { return int(max(1, (s.most-s.taken.Load())/2)) }

// shunt frees an event's slot when it has waited for as long as patience lasts and there is room,
// until end is called.
func (s *siding) shunt(size int, free func()) (end func()) {
	return afterPatience(new(sync.Mutex), func() bool {
		aside := s.enter(size)
		if aside {
			free()
		}
		return aside
	}, func() { s.leave(size) })
}

// afterPatience calls begin when patience is over, unless end was called before, and back at the end
// of what has begun. Each holds the lock.
func afterPatience(mu sync.Locker, begin func() bool, back func()) (end func()) {
	begun, ended := false, false
	late := time.AfterFunc(patience, func() {
		mu.Lock()
		defer mu.Unlock()
		begun = !ended && begin()
	})
	return func() {
		late.Stop()
		mu.Lock()
		defer mu.Unlock()
		ended = true
		if begun {
			back()
		}
	}
}
