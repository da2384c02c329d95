package main

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// mostLoad bounds the bytes of payloads in hand: slots count events, and
	// a thousand of a megabyte each would be more than a worker should need.
	mostLoad = 128 << 20
	// mostFetch bounds one request to NATS, which ends a connection that has not
	// taken 64 MB; what was under way is then back after the ack wait only.
	mostFetch = 32 << 20
	// mostBatch bounds the bytes of one call to the database, but for its last
	// member: jsonb takes 256 MB in an array, and a call has callTimeout.
	mostBatch = 16 << 20

	lookForRoom = 5 * time.Millisecond
)

// load counts the bytes of the payloads that the process holds.
type load struct{ bytes atomic.Int64 }

func (l *load) add(n int)    { l.bytes.Add(int64(n)) }
func (l *load) remove(n int) { l.bytes.Add(-int64(n)) }

// wait waits until something more may be taken.
func (l *load) wait(ctx context.Context) error {
	for l.bytes.Load() >= mostLoad {
		if err := sleep(ctx, lookForRoom); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// room waits until an event of the largest size may be taken, and answers how
// many may be asked for: one at least, also where a request for one may bring
// more than mostFetch. A load of nothing takes one of any size.
func (l *load) room(ctx context.Context, largest int) (int, error) {
	size := int64(max(largest, 1))
	for {
		held := l.bytes.Load()
		if held <= 0 || held+size <= mostLoad {
			return int(max(1, min(mostFetch, mostLoad-held)/size)), ctx.Err()
		}
		if err := sleep(ctx, lookForRoom); err != nil {
			return 0, err
		}
	}
}
