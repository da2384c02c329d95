package main

import (
	"context"
	"time"
)

// slots bounds how many events a path holds that have not been sent yet, so
// that no more is taken than can be sent.
type slots chan struct{}

func newSlots(n int) slots {
	s := make(slots, n)
	for range n {
		s <- struct{}{}
	}
	return s
}

// linger bounds the wait for company of a slot that became free alone. Under
// load slots come back one by one, and a request to NATS or Postgres for each
// would cost more than the event.
const linger = 500 * time.Microsecond

// take waits for a free slot and answers how many it took, in all at most cap(s).
func (s slots) take(ctx context.Context) (int, error) {
	select {
	case <-s:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		// With both at hand select chooses at random. The slot taken is not missed:
		// nothing more is taken.
		return 0, ctx.Err()
	}
	n := 1 + s.takeFree(cap(s)-1)
	enough := max(1, cap(s)/4)
	if n >= enough {
		return n, nil
	}
	late := time.NewTimer(linger)
	defer late.Stop()
	for n < enough {
		select {
		case <-s:
			n++
		case <-late.C:
			return n, nil
		}
	}
	return n + s.takeFree(cap(s)-n), nil
}

func (s slots) takeFree(most int) int {
	for n := range most {
		select {
		case <-s:
		default:
			return n
		}
	}
	return most
}

func (s slots) give(n int) {
	for range n {
		s <- struct{}{}
	}
}
