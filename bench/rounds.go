package main

import (
	"context"
	"sync"
	"time"
)

// A looper does one thing again and again until a moment has come, and says how often it did it.
type looper interface {
	work(ctx context.Context, until time.Time) (int, error)
}

// A contender is loopers that do the same beside each other.
type contender struct {
	name    string
	loopers []looper
	// after, if set, is told of each slice how long one time took one looper.
	after func(each time.Duration) error
	rates figures
}

// slice has all loopers work for a while and notes their rate: the sum of their own, for some go on
// a little longer than others.
func (c *contender) slice(ctx context.Context, length time.Duration) error {
	var (
		mu     sync.Mutex
		rate   float64
		each   time.Duration
		failed error
		all    sync.WaitGroup
	)
	began := time.Now()
	for _, w := range c.loopers {
		all.Go(func() {
			n, err := w.work(ctx, began.Add(length))
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && failed == nil {
				failed = err
			}
			rate += float64(n) / took.Seconds()
			each += took / time.Duration(max(1, n)*len(c.loopers))
		})
	}
	all.Wait()
	if failed != nil {
		return failed
	}
	c.rates = append(c.rates, rate)
	if c.after != nil {
		return c.after(each)
	}
	return nil
}

// rounds lets the contenders run in turn, after a short slice each that does not count. before runs
// before each slice.
func rounds(ctx context.Context, measure effort, before func(context.Context) error, contenders ...*contender) error {
	for i := range measure.rounds + 1 {
		for _, c := range contenders {
			if err := before(ctx); err != nil {
				return err
			}
			if i == 0 {
				warm := contender{loopers: c.loopers}
				if err := warm.slice(ctx, measure.slice/5); err != nil {
					return err
				}
				continue
			}
			if err := c.slice(ctx, measure.slice); err != nil {
				return err
			}
		}
	}
	return nil
}
