package main

import (
	"log/slog"
	"sync"
	"time"
)

const sayAgain = 30 * time.Second

// complaint says what goes on for a while once, and again every half minute.
type complaint struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// say takes why apart from what: two causes that take turns, or one that is told
// in ever other words, would fill the log.
func (c *complaint) say(what, why string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.last[what]; ok && time.Since(at) < sayAgain {
		return
	}
	if c.last == nil {
		c.last = map[string]time.Time{}
	}
	c.last[what] = time.Now()
	if why != "" {
		what += ": " + oneLine(why)
	}
	slog.Warn(what, args...)
}
