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

// watchConsumer keeps an eye on how many messages the group holds, and on what somebody makes of its consumer meanwhile. It
// ends with ctx, or with what would lose events.
func (w *worker) watchConsumer(ctx context.Context, consumer jetstream.Consumer) error {
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
			if err := w.regard(info); err != nil {
				return err
			}
		}
		if err := sleep(ctx, crowdEvery); err != nil {
			return err
		}
	}
}

func (w *worker) regard(info *jetstream.ConsumerInfo) error {
	field, loses := difference(w.cfg.consumerConfig(), info.Config)
	if loses {
		return w.changed(field)
	}
	about := []any{"stream", w.cfg.stream, "consumer", w.cfg.group}
	if field != "" {
		w.nats.say("the consumer was changed", "it has "+field, about...)
	}
	if until := info.Config.PauseUntil; info.Paused && until != nil {
		w.nats.say("the consumer is paused", "until "+until.UTC().Format(time.RFC3339), about...)
	}
	return nil
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
