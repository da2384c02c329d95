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
