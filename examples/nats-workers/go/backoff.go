package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is the wait between tries of something that others mend: short at
// first, never over five seconds, never in step with other workers.
type backoff struct{ next time.Duration }

func (b *backoff) wait(ctx context.Context) error {
	if b.next == 0 {
		b.next = 50 * time.Millisecond
	}
	d := b.next/2 + rand.N(b.next)
	b.next = min(2*b.next, 4*time.Second)
	return sleep(ctx, d)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
