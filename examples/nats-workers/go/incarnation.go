package main

import (
	"context"
	"sync"
	"time"
)

// An ack names its message by the sequence alone, and a stream that is made anew begins with 1 again: one in
// memory after each restart of its server. The ack of what was in hand would take a message from it that nobody has
// seen. So a message is settled only while the stream is the one that it came from.

// incarnation is which of the streams of its name there is now.
type incarnation struct {
	mu         sync.Mutex
	made       int64  // when it was made, in ns since 1970; 0: not known
	reconnects uint64 // when it was looked at: after the next one it may be another

	looking sync.Mutex
	looked  time.Time // when that was done last
}

func (i *incarnation) see(made time.Time, reconnects uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made, i.reconnects = made.UnixNano(), reconnects
}

// forget has it looked at before anything else is settled.
func (i *incarnation) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made = 0
}

// made is when the stream was made that there is now; 0: not known.
func (l *link) made() int64 {
	i := &l.incarnation
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.reconnects != l.reconnects() {
		return 0
	}
	return i.made
}

func (l *link) reconnects() uint64 { return l.nc.Load().Stats().Reconnects }

// incarnation says which stream there is, and asks NATS where that is not known. 0: it does not answer.
func (w *worker) incarnation(ctx context.Context) int64 {
	i, began := &w.link.incarnation, time.Now()
	if made := w.link.made(); made != 0 {
		return made
	}
	i.looking.Lock()
	defer i.looking.Unlock()
	// One asks for all that wait.
	if i.looked.Before(began) && w.link.connected() {
		_, _ = w.findStream(ctx)
		i.looked = time.Now()
	}
	return w.link.made()
}

// present tells whether a message may be settled. One that may not comes again, where it still is, and the
// database knows what became of it.
func (w *worker) present(e *event) bool { return w.incarnation(w.telling) == e.made }
