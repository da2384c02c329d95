package main

import (
	"log/slog"
	"sync"
	"time"
)

// outage is what the log was last told of a Postgres that does not answer.
type outage struct {
	mu   sync.Mutex
	call string // the one that is waited for; "" when none is
	at   time.Time
}

func (o *outage) failed(call string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.at.IsZero() && time.Since(o.at) < sayAgain {
		return
	}
	o.call, o.at = call, time.Now()
	slog.Warn("waiting for postgres", "call", call, "error", oneLine(err.Error()))
}

// answered says that Postgres is there when it is the call that was waited for:
// others may be answered all the time.
func (o *outage) answered(call string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.call == call {
		o.call = ""
		slog.Info("postgres is there")
	}
}
