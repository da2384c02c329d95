package main

import (
	"log/slog"
	"sync"
	"time"
)

// complaint says what goes on for a while once, and again every half minute
// or when its cause changes.
type complaint struct {
	mu   sync.Mutex
	last string
	at   time.Time
}

func (c *complaint) say(text string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text == c.last && time.Since(c.at) < 30*time.Second {
		return
	}
	c.last, c.at = text, time.Now()
	slog.Warn(text, args...)
}

func (c *complaint) over() {
	c.mu.Lock()
	c.last = ""
	c.mu.Unlock()
}
