package main

import (
	"context"
	"time"
)

// batcher gathers questions of many goroutines into few round trips. What
// comes while one is under way goes with the next: an idle worker asks at once,
// a busy one in large batches, and only a call that hangs makes others wait for a timer.
type batcher[Q, A any] struct {
	waiting chan asked[Q, A]
	call    func(context.Context, []Q) ([]A, error)
	lanes   int
	most    int
	enough  int
	size    func(Q) int // of what a question carries
}

type asked[Q, A any] struct {
	question Q
	answer   chan<- answered[A]
}

type answered[A any] struct {
	answer A
	err    error
}

// lanes is how many round trips of most kinds are under way at a time: a second
// one travels while the first waits for Postgres' disk. Under load it is worth
// its own flush only when enough questions wait: two that halve the questions
// between them cost twice as much as one.
const lanes = 2

const (
	// few questions in a call say that there is no load, and that time counts.
	few = 4
	// A call that takes longer than this hangs, and what waits goes without it.
	hangs = 100 * time.Millisecond
)

func newBatcher[Q, A any](lanes, most, enough int, size func(Q) int, call func(context.Context, []Q) ([]A, error)) *batcher[Q, A] {
	return &batcher[Q, A]{waiting: make(chan asked[Q, A], most), call: call, lanes: lanes, most: most, enough: enough, size: size}
}

// run serves until ctx ends.
func (b *batcher[Q, A]) run(ctx context.Context) {
	back := make(chan struct{}, b.lanes)
	var batch []asked[Q, A]
	bytes, away := 0, 0
	last := 0 // questions in the latest call
	late := time.NewTimer(hangs)
	for {
		full := len(batch) >= b.most || bytes >= mostBatch
		if !full {
			select {
			case next := <-b.waiting:
				batch = append(batch, next)
				bytes += b.size(next.question)
				continue
			default:
			}
		}
		quiet := last <= few
		if len(batch) > 0 && (away == 0 || away < b.lanes && (full || quiet || len(batch) >= b.enough)) {
			away++
			last = len(batch)
			late.Reset(hangs)
			go func(batch []asked[Q, A]) {
				b.serve(ctx, batch)
				back <- struct{}{}
			}(batch)
			batch, bytes = nil, 0
			continue
		}
		more := b.waiting
		if full {
			more = nil
		}
		select {
		case next := <-more:
			batch = append(batch, next)
			bytes += b.size(next.question)
		case <-back:
			away--
		case <-late.C:
			last = 0
		case <-ctx.Done():
			return
		}
	}
}

// serve asks for the batch and hands out the answers. A call comes back with
// an error only when the database refuses what it was given; then the batch is
// halved until the one member that is at fault stands alone.
func (b *batcher[Q, A]) serve(ctx context.Context, batch []asked[Q, A]) {
	questions := make([]Q, len(batch))
	for i, a := range batch {
		questions[i] = a.question
	}
	answers, err := b.call(ctx, questions)
	switch {
	case err == nil:
		for i, a := range batch {
			a.answer <- answered[A]{answer: answers[i]}
		}
	case len(batch) == 1 || ctx.Err() != nil:
		for _, a := range batch {
			a.answer <- answered[A]{err: err}
		}
	default:
		half := len(batch) / 2
		b.serve(ctx, batch[:half])
		b.serve(ctx, batch[half:])
	}
}

// ask waits for the answer to one question.
func (b *batcher[Q, A]) ask(ctx context.Context, q Q) (A, error) {
	reply := make(chan answered[A], 1)
	var none A
	select {
	case b.waiting <- asked[Q, A]{q, reply}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	select {
	case a := <-reply:
		return a.answer, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
