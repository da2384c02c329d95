package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// crowd is how many of the consumer's places may be taken before the database is told that they are scarce.
	crowd = maxAckPending / 4
	// full is how many leave it none worth speaking of. Until there are fewer than relieved that stays so: each time
	// anew all that is behind the consumer would be read once more.
	full       = maxAckPending / 10 * 9
	relieved   = maxAckPending / 10 * 8
	crowdEvery = time.Second
)

// watchCrowd keeps an eye on how many messages the group holds.
func (w *worker) watchCrowd(ctx context.Context, consumer jetstream.Consumer) {
	made := consumer.CachedInfo().Created
	for {
		asking, cancel := context.WithTimeout(ctx, apiWait)
		info, err := consumer.Info(asking)
		cancel()
		// What keeps NATS from answering ends the fetches, too.
		if err == nil {
			if !info.Created.Equal(made) {
				// Its stream may have been made anew.
				made = info.Created
				w.link.incarnation.forget()
			}
			w.crowded.Store(info.NumAckPending > crowd)
			w.halted.Store(haltedAt(w.halted.Load(), info.NumAckPending, info.Delivered.Stream))
		}
		if sleep(ctx, crowdEvery) != nil {
			return
		}
	}
}

// haltedAt is the last message that a consumer delivered which has no places left, else 0. before is what it was.
func haltedAt(before uint64, pending int, delivered uint64) uint64 {
	switch {
	case pending >= full:
		return delivered
	case pending < relieved:
		return 0
	}
	return before
}
