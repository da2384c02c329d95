package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// crowd is how many of the consumer's places may be taken before the database is told that they are scarce.
	crowd = maxAckPending / 4
	// full is how many leave it none worth speaking of.
	full       = maxAckPending / 10 * 9
	crowdEvery = time.Second
)

// watchCrowd keeps an eye on how many messages the group holds.
func (w *worker) watchCrowd(ctx context.Context, consumer jetstream.Consumer) {
	for {
		asking, cancel := context.WithTimeout(ctx, apiWait)
		info, err := consumer.Info(asking)
		cancel()
		// What keeps NATS from answering ends the fetches, too.
		if err == nil {
			w.crowded.Store(info.NumAckPending > crowd)
			w.halted.Store(0)
			if info.NumAckPending >= full {
				w.halted.Store(info.Delivered.Stream)
			}
		}
		if sleep(ctx, crowdEvery) != nil {
			return
		}
	}
}
